"""Kendall's tau against SciPy's, on made rankings full of ties, and the readers' rules on made files.

Flickr8k's ratings may be used for research but are not ours to pass on; the published correlations (BLEU-4 30.8,
ROUGE-L 32.3, CIDEr 43.9, METEOR 41.8 on Flickr8k-Expert) are reproduced by `seesay evaluate judgements`.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Literal

import pytest
from scipy.stats import kendalltau

from seesay.errors import DataError, UsageError
from seesay.evaluation.judgements import (
    Judged,
    caption_metrics,
    correlation,
    kendall_tau,
    read_flickr8k_cf,
    read_flickr8k_expert,
)


@pytest.mark.parametrize("variant", ["b", "c"])
@pytest.mark.parametrize(("length", "levels"), [(2, 2), (9, 3), (200, 4), (500, 40), (300, 10_000)])
def test_tau_is_scipys(length: int, levels: int, variant: Literal["b", "c"]) -> None:
    chance = random.Random(length)
    for _ in range(5):
        first = [0, 1, *(chance.randrange(levels) for _ in range(length - 2))]
        second = [1, 0, *(one // 2 + chance.randrange(3) for one in first[2:])]
        assert kendall_tau(first, second, variant) == pytest.approx(kendalltau(first, second, variant=variant)[0])


def test_tau_by_hand() -> None:
    # 6 pairs: 4 in order, 1 reversed (the last two), 1 tied in the ratings.
    assert kendall_tau([1, 2, 4, 3], [1, 1, 2, 3], "c") == pytest.approx(2 * 3 / (16 * 2 / 3))
    assert kendall_tau([1, 2, 4, 3], [1, 1, 2, 3], "b") == pytest.approx(3 / (6 * 5) ** 0.5)
    with pytest.raises(UsageError, match="two different"):
        kendall_tau([1, 1], [1, 2], "c")


CAPTIONS = """\
one.jpg#0\tA dog runs .
one.jpg#1\tThe dog  is running .
two.jpg#0\tA cat .
two.jpg#1\tA cat sits .
"""


@pytest.fixture
def captions(tmp_path: Path) -> Path:
    path = tmp_path / "captions.txt"
    path.write_text(CAPTIONS, encoding="utf-8")
    return path


def test_expert_leaves_out_an_images_own_captions(tmp_path: Path, captions: Path) -> None:
    ratings = tmp_path / "ExpertAnnotations.txt"
    ratings.write_text("one.jpg\tone.jpg#1\t4\t4\t4\none.jpg\ttwo.jpg#1\t1\t2\t1\n", encoding="utf-8")
    assert read_flickr8k_expert(ratings, captions) == [
        Judged("one.jpg", "A cat sits .", (1, 2, 1), ("A dog runs .", "The dog is running ."))
    ]


def test_cf_takes_them_off_the_references(tmp_path: Path, captions: Path) -> None:
    ratings = tmp_path / "CrowdFlowerAnnotations.txt"
    ratings.write_text("one.jpg\ttwo.jpg#0\t0\t0\t3\none.jpg\tone.jpg#0\t0.75\t3\t1\n", encoding="utf-8")
    assert read_flickr8k_cf(ratings, captions) == [
        Judged("one.jpg", "A cat .", (0,), ("The dog is running .",)),
        Judged("one.jpg", "A dog runs .", (0.75,), ("The dog is running .",)),
    ]


@pytest.mark.parametrize(
    "line", ["one.jpg\ttwo.jpg#1\t1", "one.jpg\ttwo.jpg#1\t1\tx\t2", "one.jpg\ttwo.jpg#7\t1\t1\t1"]
)
def test_what_is_no_rating_is_told_by_its_place(tmp_path: Path, captions: Path, line: str) -> None:
    ratings = tmp_path / "ratings.txt"
    ratings.write_text(line + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"ratings\.txt:1: "):
        read_flickr8k_expert(ratings, captions)


def test_a_metric_that_agrees_with_people() -> None:
    truth = ("a dog runs on the grass", "the dog is running over green grass")
    rated = {"a dog runs on the green grass": (4, 4), "a dog is on the grass": (3, 3), "two cats asleep": (1, 2)}
    judged = [Judged("one.jpg", caption, ratings, truth) for caption, ratings in rated.items()]
    judged += [Judged("two.jpg", "a man on a horse", (4, 3), ("a man rides a horse", "the man is on a horse"))]
    metrics = caption_metrics(judged)
    assert list(metrics) == ["BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr"]
    scores = [one for one in metrics["ROUGE-L"] for _ in range(2)]
    ratings = [one for each in judged for one in each.ratings]
    assert correlation(metrics["ROUGE-L"], judged, "c") == pytest.approx(kendalltau(scores, ratings, variant="c")[0])
    assert correlation(metrics["ROUGE-L"], judged, "c") > 0.3
