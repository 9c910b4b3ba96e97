"""Multiple choice in VLMEvalKit's tables: MMBench (circular), SEED-Bench and whatever else has that form."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from string import ascii_uppercase
from typing import Any

from seesay.errors import DataError, UsageError

ROLLED = 1_000_000
"""MMBench's tables hold a question once for each turn of its options: numbers that leave the same rest are one."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A question with options to choose from; `answer` is the letter of the right one."""

    index: int
    question: str
    options: Mapping[str, str]
    """Letter -> option."""
    answer: str
    category: str = ""
    group: str = ""
    """The wider kind of question (`l2-category`)."""

    def __post_init__(self) -> None:
        if len(self.options) < 2 or self.answer not in self.options:
            raise DataError(
                f"question {self.index}: {self.answer!r} is none of its options {list(self.options)}",
                "give a table with answers (those of test parts are kept back)",
            )


def to_choice(row: Mapping[str, Any], place: str) -> Choice:
    """Of a row with index, question, A, B, ..., answer, and where it has them hint, category and l2-category."""
    try:
        return Choice(
            index=int(row["index"]),
            question=f"{row['hint']} {row['question']}" if row.get("hint") else str(row["question"]),
            options={letter: str(row[letter]) for letter in ascii_uppercase if row.get(letter) not in (None, "")},
            answer=str(row["answer"]).strip(),
            category=str(row.get("category") or ""),
            group=str(row.get("l2-category") or ""),
        )
    except (KeyError, ValueError) as error:
        raise DataError(
            f"{place}: not a row of VLMEvalKit's table ({error})", "it has index, question, A, B, ..., answer"
        ) from error


def turned(choice: Choice) -> list[Choice]:
    """The question once for each turn of its options, itself first; numbered as MMBench does."""
    letters, texts = list(choice.options), list(choice.options.values())
    right = letters.index(choice.answer)
    return [
        replace(
            choice,
            index=choice.index + by * ROLLED,
            options=dict(zip(letters, texts[by:] + texts[:by], strict=True)),
            answer=letters[(right - by) % len(letters)],
        )
        for by in range(len(letters))
    ]


def chosen(answer: str, options: Mapping[str, str]) -> str | None:
    """The letter that an answer in words means, or None: a letter that stands alone, else the one option it tells.

    VLMEvalKit's exact matching in its main rules. "A" in a longer sentence is taken for the article.
    """
    words = re.sub(r"[.()\[\],:;!*#{}]", " ", answer).split()
    letters = [letter for letter in options if letter in words]
    if len(letters) == 1 and not (letters == ["A"] and len(words) > 3):
        return letters[0]
    told = [letter for letter, option in options.items() if option.lower() in answer.lower()]
    return told[0] if len(told) == 1 else None


@dataclass(frozen=True, slots=True)
class ChoiceScores:
    """Share of questions answered right, in 0..1."""

    accuracy: float
    questions: int


def choice_scores(
    choices: Sequence[Choice], letters: Sequence[str | None], *, circular: bool
) -> dict[str, ChoiceScores]:
    """Accuracy of all questions under "all", then of each group and each category.

    letters: the answers, None for none. Circular (MMBench): the turns of a question are one question, which is right
    where every turn is.
    """
    if not choices:
        raise UsageError("there are no answers to score", "give at least one")
    turns: dict[int, list[bool]] = defaultdict(list)
    first: dict[int, Choice] = {}
    for choice, letter in zip(choices, letters, strict=True):
        key = choice.index % ROLLED if circular else choice.index
        turns[key].append(letter == choice.answer)
        first.setdefault(key, choice)
    right = {key: all(each) for key, each in turns.items()}
    kinds: dict[str, list[bool]] = {"all": list(right.values())}
    for of in ("group", "category"):
        for kind in sorted({getattr(choice, of) for choice in choices} - {""}):
            kinds[kind] = [right[key] for key, choice in first.items() if getattr(choice, of) == kind]
    return {kind: ChoiceScores(sum(each) / len(each), len(each)) for kind, each in kinds.items()}
