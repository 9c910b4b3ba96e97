"""VQAv2's accuracy: its normalisation in all its quirks, and its rule on answers of ten people, by hand."""

from __future__ import annotations

import pytest

from seesay.errors import UsageError
from seesay.evaluation.vqa import (
    CONTRACTIONS,
    Answered,
    Commonest,
    evaluate_answers,
    exact_match,
    normalise_answer,
    people,
    vqa_accuracy,
)


@pytest.mark.parametrize(
    ("answer", "normal"),
    [
        ("The Cat", "cat"),
        ("a an the", ""),
        ("two dogs", "2 dogs"),
        ("none", "0"),
        ("eleven", "eleven"),  # the table ends at ten
        ("Dont", "don't"),
        ("couldntve", "couldntve"),  # only one apostrophe may be missing
        ("couldnt've", "couldn't've"),
        ("yall'd've", "y'all'd've"),
        ("somebody'd", "somebodyd"),  # turned round, there
        ("Im", "im"),  # their table has it with a capital, which is gone by then
        ("wed", "wed"),  # a word of its own
        ("twas", "'twas"),
        ("ow's'at", "'ow's'at"),
        # A mark beside a space goes without a trace, one between letters becomes a space ...
        ("x-ray", "x ray"),
        ("black, white", "black white"),
        ("black,white", "black white"),
        ("and/or", "and or"),
        ("yes!", "yes"),
        ("red-ish - blue", "redish blue"),  # ... everywhere, if one of its kind stands beside a space ...
        ("1,000 red-ish", "1000 redish"),  # ... or if there is a comma in any number.
        # Periods go unless a digit follows.
        ("u.s.a.", "usa"),
        ("3.", "3"),
        ("3.5", "3.5"),
        ("no.5", "no.5"),
        ("." * 34, ".."),  # no more than 32 of them
        ("10:30", "10:30"),  # colons and apostrophes stay
        ("dog's", "dog's"),
        ("one\ttwo\nthree", "1 2 3"),
        ("  spaced   out  ", "spaced out"),
    ],
)
def test_normalisation(answer: str, normal: str) -> None:
    assert normalise_answer(answer) == normal


def test_contractions_lack_exactly_one_apostrophe() -> None:
    assert len(CONTRACTIONS) == 114  # those of their 121 entries that can match and change something
    for lacking, word in CONTRACTIONS.items():
        if lacking != "somebody'd":
            assert len(word) - len(lacking) == 1
            assert lacking.replace("'", "") == word.replace("'", "")


@pytest.mark.parametrize(
    ("agree", "accuracy"),
    # m of ten gave the answer: m of the ten leave m - 1 others who did, the other 10 - m leave m.
    [(0, 0), (1, 9 / 30), (2, (2 * 1 + 8 * 2) / 30), (3, (3 * 2 + 7 * 3) / 30), (4, 1), (10, 1)],
)
def test_accuracy_is_the_mean_over_the_people(agree: int, accuracy: float) -> None:
    others = [f"other {i}" for i in range(10 - agree)]
    assert vqa_accuracy("cat", ["cat"] * agree + others) == pytest.approx(accuracy)


def test_both_sides_are_normalised_unless_all_said_the_same() -> None:
    assert vqa_accuracy("The cat.", ["cat"] * 9 + ["a cat"]) == 1
    assert vqa_accuracy("The cat.", ["cat"] * 10) == 0
    assert vqa_accuracy(" cat\n", ["cat"] * 10) == 1
    assert vqa_accuracy("The cat.", ["The cat."] * 10) == 1


def test_exact_match_normalises_always() -> None:
    assert exact_match("The cat.", ["cat"]) == 1
    assert exact_match("dog", ["cat", "hot dog"]) == 0


def test_people_from_their_shares() -> None:
    assert people({"yes": 0.7, "no": 0.3}) == ("yes",) * 7 + ("no",) * 3
    assert people({"chair": 1.0}) == ("chair",) * 10
    assert people({"chair": 0.2}) == ("chair",) * 10  # Visual Genome's
    assert people({"a": 1 / 3, "b": 2 / 3}) == ("a", "b", "b")
    with pytest.raises(UsageError, match=r"add up to 0\.800"):
        people({"yes": 0.8})
    with pytest.raises(UsageError, match="no number of people"):
        people({"yes": 2**-0.5, "no": 1 - 2**-0.5})


def test_means_of_all_and_of_each_kind() -> None:
    ten = ("yes",) * 9 + ("no",)
    scores = evaluate_answers(
        [
            Answered("Yes", ten, "yes/no"),
            Answered("no", ten, "yes/no"),
            Answered("2", ("two",) * 4 + ("3",) * 6, "number"),
        ]
    )
    assert list(scores) == ["all", "number", "yes/no"]
    assert scores["yes/no"].accuracy == pytest.approx((1 + 0.3) / 2)
    assert scores["yes/no"].exact == 1
    assert scores["all"].accuracy == pytest.approx((1 + 0.3 + 1) / 3)
    assert [one.questions for one in scores.values()] == [3, 1, 2]
    with pytest.raises(UsageError, match="no answers"):
        evaluate_answers([])


def test_the_commonest_answers() -> None:
    known = [("How many dogs", {"2": 1.0}), ("how many cats", {"3": 0.4, "2": 0.6}), ("what is it", {"dog": 2.5})]
    commonest = Commonest.of(known)
    assert commonest.overall == "dog"
    assert commonest.answer("how many are there") == "2"
    assert commonest.answer("why") == "dog"
    with pytest.raises(UsageError, match="no question has an answer"):
        Commonest.of([("what is it", {})])
