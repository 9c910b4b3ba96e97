"""How good captions are."""

from seesay.evaluation.captions import (
    CaptionScores,
    DocumentFrequency,
    ImageScores,
    bleu,
    cider,
    evaluate_captions,
    rouge_l,
)
from seesay.evaluation.tokenize import tokenize

__all__ = [
    "CaptionScores",
    "DocumentFrequency",
    "ImageScores",
    "bleu",
    "cider",
    "evaluate_captions",
    "rouge_l",
    "tokenize",
]
