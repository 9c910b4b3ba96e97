"""POPE and MME by hand."""

from __future__ import annotations

import pytest

from seesay.errors import UsageError
from seesay.evaluation.yes_no import (
    COGNITION,
    PERCEPTION,
    Asked,
    mme_scores,
    mme_totals,
    mme_verdict,
    pope_scores,
    pope_verdict,
)


@pytest.mark.parametrize(
    ("answer", "pope", "mme"),
    [
        ("yes", "yes", "yes"),
        ("No", "no", "no"),
        ("No, there is no dog.", "no", "no"),
        ("Yes. There is no doubt.", "yes", "yes"),  # POPE reads the first sentence only
        ("There is not a dog", "no", "other"),
        ("Nothing", "yes", "no"),  # POPE looks for words, MME for letters
        ("I cannot tell", "yes", "other"),
        ("", "yes", "other"),
    ],
)
def test_verdicts(answer: str, pope: str, mme: str) -> None:
    assert pope_verdict(answer) == pope
    assert mme_verdict(answer) == mme


def test_pope_by_hand() -> None:
    scores = pope_scores(["yes", "yes", "yes", "no", "no"], ["yes", "yes", "no", "yes", "no"])
    assert (scores.accuracy, scores.precision, scores.recall) == (0.6, pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert (scores.f1, scores.yes_ratio, scores.questions) == (pytest.approx(2 / 3), 0.6, 5)
    never = pope_scores(["no", "no"], ["yes", "no"])
    assert (never.precision, never.recall, never.f1) == (0, 0, 0)
    with pytest.raises(UsageError, match="yes or no"):
        pope_scores(["yes"], ["maybe"])


def test_mme_counts_images_whose_questions_are_all_right() -> None:
    asked = [
        Asked("color", "1.jpg", "Yes", "yes"),
        Asked("color", "1.jpg", "No", "no"),
        Asked("color", "2.jpg", "Yes", "yes"),
        Asked("color", "2.jpg", "No", "yes"),
        Asked("count", "1.jpg", "Yes", "I see two"),
        Asked("count", "1.jpg", "No", "no"),
    ]
    scores = mme_scores(asked)
    assert (scores["color"].accuracy, scores["color"].accuracy_plus) == (0.75, 0.5)
    assert scores["color"].points == 125
    assert (scores["count"].accuracy, scores["count"].accuracy_plus, scores["count"].questions) == (0.5, 0, 2)
    assert mme_totals(scores) == {}


def test_mme_totals_are_sums_of_points() -> None:
    perfect = [Asked(task, "1.jpg", "Yes", "yes") for task in PERCEPTION + COGNITION]
    assert mme_totals(mme_scores(perfect)) == {"perception": 2000, "cognition": 800}
