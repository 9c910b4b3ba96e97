"""A library's captions as other programs read them: CSV, JSON lines, COCO's annotations, XMP side-cars.

Names and shapes are those of `seesay caption --format`.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import ZIP_DEFLATED, ZipFile

from seesay.errors import SeesayError
from seesay.library.listing import Record
from seesay.library.marks import mark
from seesay.library.store import Library
from seesay.library.writing import side_car
from seesay.library.xmp import Fields, legal

COLUMNS = (
    *("path", "caption", "log_probability", "model", "edited", "taken", "camera", "place", "latitude", "longitude"),
    *("people", "keywords", "description", "text", "start", "stop", "sha256"),
)


def to_csv(records: Iterable[Record]) -> Iterator[str]:
    """A table with a head, record by record; lists are JSON."""
    yield _line(COLUMNS)
    for one in records:
        values = row(one)
        yield _line([_dumps(value) if isinstance(value, list) else value for value in map(values.get, COLUMNS)])


def to_jsonl(records: Iterable[Record]) -> Iterator[str]:
    """An object a line."""
    return (_dumps(row(one)) + "\n" for one in records)


def to_coco(records: Iterable[Record]) -> Iterator[str]:
    """COCO's caption annotations as one document; ids are the library's. Records without a caption have none."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for one in records:
        images.append({"id": one.item, "file_name": str(one.paths[0])})
        if one.caption:
            said = {"caption": one.caption, "log_probability": _rounded(one.score)}
            annotations.append({"id": one.item, "image_id": one.item, **said})
    yield _dumps({"images": images, "annotations": annotations}) + "\n"


def to_xmp(library: Library, records: Iterable[Record], file: BinaryIO) -> int:
    """An archive of the side-cars that `seesay write` would write, beside one another as the photographs are; how many.

    Photographs that a person described, in their files or beside them, are left out, and so are those that cannot be
    read.
    """
    folders = sorted(library.folders(), key=lambda folder: -len(folder.parts))
    taken: set[str] = set()
    with ZipFile(file, "w", ZIP_DEFLATED) as archive:
        for one in records:
            if one.kind != "photo" or not one.caption:
                continue
            said = legal(one.caption)
            fields = Fields(said, said, (), mark(one.author, said) if one.author else "")
            try:
                planned = side_car(library, one.paths[0], fields)
            except (SeesayError, OSError):
                continue
            if planned.after is not None:
                name = _free(_within(planned.target, folders), taken)
                archive.writestr(name, planned.after)
    return len(taken)


def row(one: Record) -> dict[str, Any]:
    """What programs are told of a record."""
    north, east = one.coordinates or (None, None)
    return {
        "path": str(one.paths[0]),
        "caption": one.caption,
        "log_probability": _rounded(one.score),
        "model": one.author,
        "edited": not one.author and bool(one.caption),
        "taken": one.taken.isoformat() if one.taken else None,
        "camera": one.camera,
        "place": one.place,
        "latitude": north,
        "longitude": east,
        "people": list(one.people),
        "keywords": list(one.keywords),
        "description": one.description,
        "text": one.text,
        "start": one.start,
        "stop": one.stop,
        "sha256": one.digest,
    }


def _within(path: Path, folders: Iterable[Path]) -> str:
    """The path from the indexed folder on, the folder's own name included; no archive should hold more of it."""
    for folder in folders:
        if path.is_relative_to(folder):
            return path.relative_to(folder.parent).as_posix()
    return path.name


def _free(name: str, taken: set[str]) -> str:
    """The name, or one with a number where two folders are called the same."""
    stem, dot, end = name.partition(".")
    number, free = 1, _plain(name)
    while free in taken:
        number += 1
        free = _plain(f"{stem} {number}{dot}{end}")
    taken.add(free)
    return free


def _plain(name: str) -> str:
    """Without what no archive can hold: names that are no valid text."""
    return re.sub("[\ud800-\udfff]", "?", name)


def _line(cells: Iterable[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return _plain(text.getvalue())


def _dumps(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if _plain(text) == text else json.dumps(value)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
