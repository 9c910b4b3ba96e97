"""How good captions are: beside what people wrote, and beside what is in the photo.

Other benchmarks have a module each: `vqa`, `retrieval`, `zero_shot`, `choice`, `yes_no` (POPE, MME), `chair`,
`reference_free`, `judgements`, `java` (METEOR, SPICE). They are functions of records; `running` puts models to work,
and `report` says what was found and how to find it again.
"""

from seesay.evaluation.captions import (
    BleuCounts,
    CaptionScores,
    DocumentFrequency,
    ImageScores,
    bleu,
    cider,
    evaluate_captions,
    rouge_l,
)
from seesay.evaluation.naming import NamingScores, accepted_names, name_in, object_naming
from seesay.evaluation.ptb import tokenize, tokenize_together
from seesay.evaluation.significance import Difference, Interval, compare, confidence_intervals
from seesay.evaluation.wordnet import Nouns, Synset

__all__ = [
    "BleuCounts",
    "CaptionScores",
    "Difference",
    "DocumentFrequency",
    "ImageScores",
    "Interval",
    "NamingScores",
    "Nouns",
    "Synset",
    "accepted_names",
    "bleu",
    "cider",
    "compare",
    "confidence_intervals",
    "evaluate_captions",
    "name_in",
    "object_naming",
    "rouge_l",
    "tokenize",
    "tokenize_together",
]
