"""DAQUAR: questions about indoor scenes, a row for each, with one answer or a list of things."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from seesay.data.example import Example, Question, Report, log_broken
from seesay.data.tables import read_table

HEADER = ["question", "answer", "image_id"]
SCENE = re.compile(r"image\d+")


def read_daquar(table: Path, images: Path | None = None, report: Report = log_broken) -> Iterator[Example]:
    """Examples of `qa_train.csv` or `qa_test.csv`, one a picture with all its questions, in the order of their first.

    `images` is the folder `images` beside the table unless another is given. Underscores in answers become spaces.
    An answer of several things ("book, tape_dispenser") stays one answer, the list: so the papers count it, as right
    when the whole list is met (Malinowski and Fritz 2014), and figures for single answers leave such questions out
    (Ren, Kiros, Zemel 2015). Broken rows are reported and skipped.
    """
    beside = table.parent / "images"
    folder = images or (beside if beside.is_dir() else None)
    asked: dict[str, Example] = {}
    for example in read_table(table, folder, report, image="image_id"):
        spoken = tuple(_spoken(question) for question in example.questions)
        before = asked.get(example.name)
        asked[example.name] = replace(before or example, questions=(before.questions if before else ()) + spoken)
    yield from asked.values()


def is_daquar(header: str, row: str) -> bool:
    """Whether these are the first two lines of such a table."""
    return header.split(",") == HEADER and SCENE.fullmatch(row.rpartition(",")[2].strip()) is not None


def _spoken(question: Question) -> Question:
    answers = {answer.replace("_", " "): weight for answer, weight in question.answers.items()}
    return replace(question, answers=answers)
