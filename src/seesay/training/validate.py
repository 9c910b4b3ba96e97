"""How good a model is: its captions beside what people wrote, and how often they name what is in the photograph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from seesay.evaluation import evaluate_captions, name_in
from seesay.records import Caption
from seesay.training.captioner import Captioner
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


def describe_all(captioner: Captioner, names: Sequence[str]) -> Mapping[str, str]:
    """The caption of each photograph, with the options that users have by default."""
    captions = {}
    for start in range(0, len(names), BATCH):
        batch = names[start : start + BATCH]
        for name, caption in zip(batch, captioner.describer.captions(captioner.see(batch)), strict=True):
            assert isinstance(caption, Caption)  # what is seen already cannot be a broken picture
            captions[name] = caption.text
    return captions
