"""How well a metric agrees with people: Kendall's tau against the ratings of Flickr8k-Expert and Flickr8k-CF."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Literal

from seesay.data.example import log_broken, numbered_lines
from seesay.errors import DataError, UsageError
from seesay.evaluation.captions import BleuCounts, cider, rouge_l
from seesay.evaluation.ptb import tokenize_together

Variant = Literal["b", "c"]


@dataclass(frozen=True, slots=True)
class Judged:
    """A caption that people rated for an image: each of their ratings, and what else was written about the image."""

    image: str
    caption: str
    ratings: tuple[float, ...]
    references: tuple[str, ...]


def read_flickr8k_expert(ratings: Path, captions: Path) -> list[Judged]:
    """`ExpertAnnotations.txt`: image, caption's name and three ratings of 1 to 4, each an observation of its own.

    A caption that is one of the image's own references is left out, as published figures do (SPICE, CLIPScore).
    """
    texts, references = _captions(captions)
    judged = []
    for place, image, name, numbers in _lines(ratings, 3):
        caption, truth = _look_up(place, texts, references, image, name)
        if caption not in truth:
            judged.append(Judged(image, caption, tuple(numbers), tuple(truth)))
    return judged


def read_flickr8k_cf(ratings: Path, captions: Path) -> list[Judged]:
    """`CrowdFlowerAnnotations.txt`: image, caption's name, and the share of people who said that it fits.

    A caption that is one of the image's own references stays, and is no longer a reference, as published figures do.
    """
    texts, references = _captions(captions)
    rows = []
    for place, image, name, (share, *_) in _lines(ratings, 3):
        caption, truth = _look_up(place, texts, references, image, name)
        if caption in truth:
            truth.remove(caption)
        rows.append((image, caption, share))
    return [Judged(image, caption, (share,), tuple(references[image])) for image, caption, share in rows]


def _captions(path: Path) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Of a token file: caption by its name (`photo.jpg#2`), and the captions of each image."""
    texts: dict[str, str] = {}
    references: dict[str, list[str]] = {}
    for number, line in numbered_lines(path, log_broken):
        name, tab, caption = line.partition("\t")
        image, hash_sign, _ = name.rpartition("#")
        if not (tab and hash_sign and caption.strip()):
            raise DataError(f"{path}:{number}: not `name.jpg#k<TAB>caption`: {line[:60]!r}", "correct the line")
        texts[name] = " ".join(caption.split())
        references.setdefault(image, []).append(texts[name])
    return texts, references


def _lines(path: Path, ratings: int) -> Iterator[tuple[str, str, str, list[float]]]:
    """Place, image, name of the caption, ratings."""
    for number, line in numbered_lines(path, log_broken):
        place = f"{path}:{number}"
        try:
            image, name, *numbers = line.split("\t")
            if len(numbers) != ratings:
                raise ValueError
            yield place, image, name, [float(one) for one in numbers]
        except ValueError as error:
            raise DataError(
                f"{place}: not image, caption's name and {ratings} numbers between tabs: {line[:60]!r}",
                "give the file as its authors publish it",
            ) from error


def _look_up(
    place: str, texts: dict[str, str], references: dict[str, list[str]], image: str, name: str
) -> tuple[str, list[str]]:
    if name not in texts or image not in references:
        missing = name if name not in texts else image
        raise DataError(f"{place}: no captions of {missing}", "give the captions of all the photographs")
    return texts[name], references[image]


def caption_metrics(judged: Sequence[Judged]) -> dict[str, list[float]]:
    """BLEU-1 to 4, ROUGE-L and CIDEr of each judged caption alone; document frequencies are those over all of them."""
    candidates, references = tokenised(judged)
    pairs = zip(candidates, references, strict=True)
    bleus = zip(*(BleuCounts.of(candidate, truth).scores() for candidate, truth in pairs), strict=True)
    return {
        **{f"BLEU-{n}": list(scores) for n, scores in enumerate(bleus, 1)},
        "ROUGE-L": rouge_l(candidates, references),
        "CIDEr": cider(candidates, references),
    }


def tokenised(judged: Sequence[Judged]) -> tuple[list[str], list[list[str]]]:
    """Captions and their references as `tokenize` writes them; each distinct one is tokenised once."""
    captions = list(dict.fromkeys(one.caption for one in judged))
    words = dict(zip(captions, tokenize_together(captions), strict=True))
    truths = {texts: tokenize_together(texts) for texts in dict.fromkeys(one.references for one in judged)}
    return [words[one.caption] for one in judged], [truths[one.references] for one in judged]


def correlation(scores: Sequence[float], judged: Sequence[Judged], variant: Variant) -> float:
    """Kendall's tau of a metric's scores, one a judged caption, with every single rating."""
    pairs = [(score, rating) for score, one in zip(scores, judged, strict=True) for rating in one.ratings]
    return kendall_tau([score for score, _ in pairs], [rating for _, rating in pairs], variant)


def kendall_tau(first: Sequence[float], second: Sequence[float], variant: Variant) -> float:
    """Rank correlation with ties: tau-b, or Stuart's tau-c, which captions' metrics are compared by.

    1 where all pairs are in the same order, -1 where all are reversed; the same as SciPy's `kendalltau`. Raises
    UsageError where one of the two never changes: then there is no order to compare.
    """
    if len(first) != len(second):
        raise UsageError(f"{len(first)} scores and {len(second)} ratings", "give one of each")
    if min(len(set(first)), len(set(second)), 2) < 2:
        raise UsageError("a correlation needs at least two different scores and ratings", "give more captions")
    balance = _balance(first, second)
    if variant == "c":
        levels = min(len(set(first)), len(set(second)))
        return 2 * balance / (len(first) ** 2 * (levels - 1) / levels)
    pairs = len(first) * (len(first) - 1) // 2
    return balance / math.sqrt((pairs - _ties(first)) * (pairs - _ties(second)))


def _balance(first: Sequence[float], second: Sequence[float]) -> int:
    """Pairs in the same order less pairs in opposite order; one pass, over those with a lower second, kept sorted."""
    balance = 0
    lower: list[float] = []
    for _, group in groupby(sorted(zip(second, first, strict=True)), key=lambda pair: pair[0]):
        level = [score for _, score in group]
        for score in level:
            balance += bisect_left(lower, score) - (len(lower) - bisect_right(lower, score))
        for score in level:
            insort(lower, score)
    return balance


def _ties(values: Sequence[float]) -> int:
    return sum(count * (count - 1) // 2 for count in Counter(values).values())
