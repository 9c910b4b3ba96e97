"""Intervals and p-values where the answer is known: by hand, by symmetry, or by the theory of the mean."""

from __future__ import annotations

import random
from itertools import product

import numpy as np
import pytest

from seesay.errors import UsageError
from seesay.evaluation import CaptionScores, compare, confidence_intervals, evaluate_captions

WORDS = "a the dog cat man runs sits jumps red blue ball water grass on in with two and street snow".split()


def sentence(chance: random.Random, words: int = 8) -> str:
    return " ".join(chance.choices(WORDS, k=words))


def spoiled(chance: random.Random, caption: str, share: float) -> str:
    return " ".join(chance.choice(WORDS) if chance.random() < share else word for word in caption.split())


@pytest.fixture(scope="module")
def models() -> dict[str, CaptionScores]:
    """Captions of 120 images with a third of their words wrong, twice by chance, and with half of them wrong."""
    chance = random.Random(1)
    references = {f"{i}.jpg": [sentence(chance) for _ in range(3)] for i in range(120)}
    shares = {"good": 0.33, "as good": 0.33, "worse": 0.5}
    return {
        model: evaluate_captions({n: spoiled(chance, r[0], share) for n, r in references.items()}, references)
        for model, share in shares.items()
    }


def test_intervals_hold_the_scores_and_are_as_wide_as_theory_says(models: dict[str, CaptionScores]) -> None:
    scores = models["good"]
    intervals = confidence_intervals(scores, draws=2000)
    values = dict(zip(intervals, (*scores.bleu, scores.rouge_l, scores.cider), strict=True))
    assert list(intervals) == ["BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr"]
    assert all(intervals[name].low < value < intervals[name].high for name, value in values.items())
    each = np.array([image.cider for image in scores.images.values()])
    width = 2 * 1.96 * each.std() / len(each) ** 0.5  # of a mean, by the central limit theorem
    assert intervals["CIDEr"].high - intervals["CIDEr"].low == pytest.approx(width, rel=0.1)


def test_a_worse_model_is_told_from_luck(models: dict[str, CaptionScores]) -> None:
    for name, found in compare(models["worse"], models["good"]).items():
        assert found.difference > 0, name
        assert found.p_value < 0.01, name
    assert all(found.p_value > 0.05 for found in compare(models["as good"], models["good"]).values())


def test_the_other_way_round_changes_the_sign_only(models: dict[str, CaptionScores]) -> None:
    there, back = compare(models["worse"], models["good"], 200), compare(models["good"], models["worse"], 200)
    for name in there:
        assert there[name].difference == -back[name].difference
        assert there[name].p_value == back[name].p_value


def test_a_model_does_not_differ_from_itself(models: dict[str, CaptionScores]) -> None:
    assert {(d.difference, d.p_value) for d in compare(models["good"], models["good"], 50).values()} == {(0, 1)}


def test_the_p_value_is_that_of_all_tosses() -> None:
    references = {str(i): [f"word{i} and word{i + 1} or word{i + 2}"] for i in range(6)}
    best = {name: captions[0] for name, captions in references.items()}
    one = evaluate_captions({**best, "0": "nothing", "1": "word1"}, references)
    other = evaluate_captions({**best, "2": "word2 and"}, references)
    gaps = [other.images[name].cider - one.images[name].cider for name in references]
    tosses = [abs(sum(g * side for g, side in zip(gaps, sides, strict=True))) for sides in product((1, -1), repeat=6)]
    exact = sum(toss >= abs(sum(gaps)) - 1e-9 for toss in tosses) / len(tosses)
    assert compare(one, other, draws=20_000)["CIDEr"].p_value == pytest.approx(exact, abs=0.015)


def test_seeds_give_the_same_again(models: dict[str, CaptionScores]) -> None:
    scores = models["good"]
    assert confidence_intervals(scores, 50, seed=3) == confidence_intervals(scores, 50, seed=3)
    assert confidence_intervals(scores, 50, seed=3) != confidence_intervals(scores, 50, seed=4)


def test_results_of_other_images_cannot_be_compared(models: dict[str, CaptionScores]) -> None:
    with pytest.raises(UsageError, match="not of the same images"):
        compare(models["good"], evaluate_captions({"x": "a"}, {"x": ["a"]}))
