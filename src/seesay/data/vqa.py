"""VQAv2 as its authors publish it: a file of questions, a file of annotations."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from seesay.data.coco import rows_of, value_of
from seesay.data.example import Example, Question, Report, check_folder, locate, log_broken, read_json
from seesay.data.fields import weights
from seesay.errors import DataError


def read_vqa(
    questions: Path, annotations: Path | None = None, images: Path | None = None, report: Report = log_broken
) -> Iterator[Example]:
    """Examples of VQAv2, one a picture with all its questions, pictures in the order of their first question.

    An answer weighs what BLIP gives it, the share of the ten people who gave it. Without `annotations` (test sets) the
    questions have no answers. Pictures are named as COCO of 2014 names them (COCO_train2014_000000000009.jpg) or, where
    `images` holds those, of 2017. Broken rows are reported and skipped.
    """
    return vqa_examples(questions, read_json(questions), annotations, images, report)


def vqa_examples(
    path: Path, document: dict[str, Any], annotations: Path | None, images: Path | None, report: Report
) -> Iterator[Example]:
    """As `read_vqa`, of questions whose JSON was read."""
    if images:
        check_folder(images)
    answers = _answers(annotations, report) if annotations else None
    subtype = str(document.get("data_subtype")).replace("test-dev", "test")  # of the same pictures
    asked: dict[int, tuple[str, list[Question]]] = {}
    for place, row in rows_of(path, document, "questions"):
        try:
            number = value_of(row, "question_id", int, place)
            if answers is not None and number not in answers:
                raise DataError(f"{place}: no answers to question {number} in {annotations}", "use files of one split")
            given, kind = (answers or {}).get(number, ({}, ""))
            question = Question(value_of(row, "question", str, place).strip(), given, number, kind)
            asked.setdefault(value_of(row, "image_id", int, place), (place, []))[1].append(question)
        except DataError as error:
            report(error)
    split = re.sub(r"\d+$", "", subtype) or None
    for image_id, (place, found) in asked.items():
        try:
            name = _name(image_id, subtype, images)
            yield Example(
                name,
                locate(images, name, place),
                split=split,
                image_id=image_id,
                questions=tuple(found),
                place=place,
            )
        except DataError as error:
            report(error)


def annotations_beside(questions: Path) -> Path | None:
    """The annotations that belong to a file of questions, where they lie beside it under their own name."""
    name = questions.name.replace("OpenEnded_", "").replace("questions", "annotations")
    found = questions.with_name(name)
    return found if found != questions and found.is_file() else None


def _answers(path: Path, report: Report) -> dict[int, tuple[dict[str, float], str]]:
    """Question -> answers with their weights, and what kind they are."""
    found = {}
    for place, row in rows_of(path, read_json(path), "annotations"):
        try:
            given = value_of(row, "answers", list, place)
            texts = [value_of(one, "answer", str, f"{place}.answers[{i}]") for i, one in enumerate(given)]
            found[value_of(row, "question_id", int, place)] = weights(texts), str(row.get("answer_type") or "")
        except DataError as error:
            report(error)
    return found


def _name(image_id: int, subtype: str, images: Path | None) -> str:
    of_2014, of_2017 = f"COCO_{subtype}_{image_id:012d}.jpg", f"{image_id:012d}.jpg"
    if images and not os.path.isfile(images / of_2014) and os.path.isfile(images / of_2017):
        return of_2017
    return of_2014
