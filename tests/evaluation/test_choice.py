"""Multiple choice: rows, letters out of words, turns, and circular scores, by hand."""

from __future__ import annotations

import pytest

from seesay.errors import DataError
from seesay.evaluation.choice import Choice, choice_scores, chosen, to_choice, turned

ANIMALS = {"A": "cat", "B": "dog", "C": "horse"}


def choice(index: int, answer: str = "A", category: str = "animals") -> Choice:
    return Choice(index, "What is it?", ANIMALS, answer, category, "perception")


def test_a_row_of_the_table() -> None:
    row = {"index": "7", "question": "What?", "hint": "Look.", "A": "cat", "B": "0", "answer": "B", "category": "x"}
    assert to_choice(row, "t:2") == Choice(7, "Look. What?", {"A": "cat", "B": "0"}, "B", "x", "")


@pytest.mark.parametrize("row", [{"index": "7", "question": "?"}, {"index": "x", "question": "?", "answer": "A"}])
def test_what_is_no_row_is_told_by_its_place(row: dict[str, str]) -> None:
    with pytest.raises(DataError, match=r"table\.tsv:2"):
        to_choice(row, "table.tsv:2")


def test_an_answer_that_is_no_option_is_refused() -> None:
    with pytest.raises(DataError, match="question 1: 'D' is none of its options"):
        choice(1, "D")


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("A", "A"),
        ("(B) dog", "B"),
        ("The answer is C.", "C"),
        ("A dog is what I see", "B"),  # "A" is the article
        ("it is a Horse", "C"),
        ("cat or dog", None),
        ("B or C", None),
        ("a bird", None),
        ("", None),
    ],
)
def test_letters_out_of_words(answer: str, letter: str | None) -> None:
    assert chosen(answer, ANIMALS) == letter


def test_turns_keep_the_right_option_right() -> None:
    turns = turned(choice(3, "B"))
    assert [one.index for one in turns] == [3, 1_000_003, 2_000_003]
    assert [one.options[one.answer] for one in turns] == ["dog"] * 3
    assert [next(iter(one.options.values())) for one in turns] == ["cat", "dog", "horse"]


def test_circular_scores_count_a_question_once() -> None:
    first, second = turned(choice(1, "A")), turned(choice(2, "B", "pets"))
    letters = [one.answer for one in first] + [second[0].answer, second[1].answer, None]
    plain = choice_scores([*first, *second], letters, circular=False)
    circular = choice_scores([*first, *second], letters, circular=True)
    assert (plain["all"].accuracy, plain["all"].questions) == (pytest.approx(5 / 6), 6)
    assert (circular["all"].accuracy, circular["all"].questions) == (0.5, 2)
    assert {kind: one.accuracy for kind, one in circular.items()} == {
        "all": 0.5,
        "perception": 0.5,
        "animals": 1,
        "pets": 0,
    }
