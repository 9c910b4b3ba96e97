"""BLIP's own annotation files: one JSON list of rows for captions, retrieval, questions and pre-training alike."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from seesay.data.example import Example, Report, check_folder, load_json, locate, log_broken
from seesay.data.fields import Taken, merged, to_example
from seesay.errors import DataError


def read_blip(path: Path, images: Path | None = None, report: Report = log_broken) -> Iterator[Example]:
    """Examples of a JSON list such as `coco_karpathy_train.json` or `vqa_train.json`, one a picture, in its order.

    A row is {"image", "caption" (a text, or a list as in retrieval's val and test), "image_id"}, or {"image",
    "question", "answer" (VQAv2's ten, Visual Genome's one, none in test), "question_id", "dataset"}. Answers weigh as
    in BLIP: the share of people who gave one, and 0.2 for Visual Genome's. Broken rows are reported and skipped.
    """
    return blip_examples(path, load_json(path), images, report)


def blip_examples(path: Path, rows: Any, images: Path | None, report: Report) -> Iterator[Example]:
    """As `read_blip`, of a file whose JSON was read."""
    if images:
        check_folder(images)
    if not isinstance(rows, list):
        raise DataError(f"{path}: a JSON list is needed, not a {type(rows).__name__}", "check the file's format")
    pictures: dict[str, Example] = {}
    for number, row in enumerate(rows):
        try:
            example = _example(f"{path}: [{number}]", row, images)
        except DataError as error:
            report(error)
            continue
        earlier = pictures.get(example.name)
        pictures[example.name] = merged(earlier, example) if earlier else example
    yield from pictures.values()


def _example(place: str, row: Any, images: Path | None) -> Example:
    if not isinstance(row, dict) or not isinstance(row.get("image"), str):
        raise DataError(f"{place}: needs 'image' of type str", "compare the file with its format's description")
    fields = Taken(row)
    name = fields.take("image")
    example = to_example(fields, name, locate(images, name, place), place)
    if example.image_id is None and (number := re.search(r"COCO_\w+_(\d{12})\.jpg$", name)):
        return replace(example, image_id=int(number[1]))  # as BLIP tells its results apart
    return example
