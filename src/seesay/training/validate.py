"""How good a model is: its captions beside what people wrote, and how often they name what is in the photograph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from seesay.blip.model import Blip
from seesay.evaluation import evaluate_captions, name_in
from seesay.evaluation.retrieval import recalls
from seesay.records import Caption
from seesay.training.batches import Photos
from seesay.training.captioner import Captioner
from seesay.training.contrastive import Towers
from seesay.training.packing import Texts
from seesay.training.prepare import Prepared

BATCH = 50


@dataclass(frozen=True, slots=True)
class Scores:
    """On photographs that were never trained on, beam 3."""

    cider: float
    """Times 100, as tables print it."""
    bleu4: float
    """Times 100."""
    naming: float
    """Percentage of labelled photographs whose caption has one of the concept words of their class."""


def validate(captioner: Captioner, prepared: Prepared, most: int | None = None) -> Scores:
    """Scores of a model on `most` photographs of each kind, or all."""
    described = prepared.having("validation")[:most]
    labelled = [name for name in prepared.having("naming") if prepared.words.get(name)][:most]
    captions = describe_all(captioner, [*described, *labelled])
    found = evaluate_captions(
        {name: captions[name] for name in described}, {name: prepared.references[name] for name in described}
    )
    hits = sum(name_in(captions[name], prepared.words[name]) is not None for name in labelled)
    naming = hits / max(1, len(labelled))
    return Scores(*(round(100 * score, 2) for score in (found.cider, found.bleu[3], naming)))


@torch.no_grad()
def recalled(model: Blip, photos: Photos, prepared: Prepared, most: int | None = None) -> Mapping[str, float]:
    """Percentages of photographs whose own caption is the nearest of all, and the other way, by the contrastive vectors
    alone, on `most` photographs or all."""
    names = prepared.having("validation")[:most]
    tokenizer, towers, text = prepared.tokenizer, Towers(model), model.config.text
    captions = [(i, tokenizer.encode(one)) for i, name in enumerate(names) for one in prepared.references[name]]
    opening = prepared.vocabulary.index("[CLS]")
    vectors = [towers.image(model.encode_map(photos.maps(names[i : i + BATCH]))) for i in range(0, len(names), BATCH)]
    starts = range(0, len(captions), BATCH)
    texts = [towers.text(Texts.of([ids for _, ids in captions[i : i + BATCH]], opening, text)) for i in starts]
    scores = (torch.cat(vectors) @ torch.cat(texts).T).double().numpy()
    found = recalls(scores, scores, [owner for owner, _ in captions])
    return {
        "image_to_text_1": round(100 * found.image_to_text[0], 2),
        "text_to_image_1": round(100 * found.text_to_image[0], 2),
    }


def describe_all(captioner: Captioner, names: Sequence[str]) -> Mapping[str, str]:
    """The caption of each photograph, with the options that users have by default."""
    captions = {}
    for start in range(0, len(names), BATCH):
        batch = names[start : start + BATCH]
        for name, caption in zip(batch, captioner.describer.captions(captioner.see(batch)), strict=True):
            assert isinstance(caption, Caption)  # what is seen already cannot be a broken picture
            captions[name] = caption.text
    return captions
