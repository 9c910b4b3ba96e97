"""How sure a score is, and whether one model's captions are better than another's or only luckier."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seesay.errors import UsageError
from seesay.evaluation.captions import ORDER, BleuCounts, CaptionScores

METRICS = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr")
CHUNK = 200
"""Draws made at a time: memory stays at a few megabytes for the usual sets of 5,000 images."""


@dataclass(frozen=True, slots=True)
class Interval:
    """The middle 95 % of the scores that sets of images get which are drawn anew from these."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Difference:
    """How much higher the second score is, and `p_value`: how often chance alone makes a difference as large."""

    difference: float
    p_value: float


def confidence_intervals(scores: CaptionScores, draws: int = 1000, seed: int = 0) -> dict[str, Interval]:
    """A 95 % interval for each of METRICS: the percentile bootstrap over images (Koehn, EMNLP 2004).

    CIDEr's document frequencies stay those of the whole set.
    """
    table = _table(scores, scores)
    generator = np.random.default_rng(seed)
    images = len(table)
    share = np.full(images, 1 / images)
    drawn = np.concatenate([_scores(generator.multinomial(images, share, n) @ table) for n in _chunks(draws)])
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    return {name: Interval(float(a), float(b)) for name, a, b in zip(METRICS, low, high, strict=True)}


def compare(first: CaptionScores, second: CaptionScores, draws: int = 1000, seed: int = 0) -> dict[str, Difference]:
    """For each of METRICS: is `second` better than `first`, on the same images against the same references?

    The p-value is two-sided, of a paired permutation test (approximate randomisation; Riezler & Maxwell, 2005): in each
    draw every image's captions change sides by the toss of a coin. It is never 0: 1 / (draws + 1) is the least.
    """
    if first.images.keys() != second.images.keys():
        raise UsageError("the two results are not of the same images", "score both on the same images")
    one, other = _table(first, first), _table(second, first)
    observed = (_scores(other.sum(0, keepdims=True)) - _scores(one.sum(0, keepdims=True)))[0]
    generator = np.random.default_rng(seed)
    gap = other - one
    beyond = np.zeros(len(METRICS), int)
    for n in _chunks(draws):
        moved = generator.integers(0, 2, (n, len(gap))) @ gap
        chance = _scores(other.sum(0) - moved) - _scores(one.sum(0) + moved)
        beyond += (np.abs(chance) >= np.abs(observed) - 1e-12).sum(0)
    return {
        name: Difference(float(difference), float((count + 1) / (draws + 1)))
        for name, difference, count in zip(METRICS, observed, beyond, strict=True)
    }


def _table(scores: CaptionScores, order: CaptionScores) -> npt.NDArray[np.float64]:
    """(images, 13) of what adds up over the images of `order`: BLEU's counts, ROUGE-L, CIDEr, and 1 for the image."""
    rows = []
    for name in order.images:
        image = scores.images[name]
        counts = image.counts
        rows.append(
            [counts.length, counts.reference_length, *counts.correct, *counts.total, image.rouge_l, image.cider, 1]
        )
    return np.array(rows, float)


def _scores(sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(draws, 6) METRICS of (draws, 13) sums over images."""
    rows = []
    for length, reference_length, *counts, rouge_l, cider, images in sums.tolist():
        bleu = BleuCounts(length, reference_length, tuple(counts[:ORDER]), tuple(counts[ORDER:])).scores()
        rows.append([*bleu, rouge_l / images, cider / images])
    return np.array(rows)


def _chunks(draws: int) -> Iterator[int]:
    return (min(CHUNK, draws - start) for start in range(0, draws, CHUNK))
