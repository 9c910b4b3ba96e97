"""How captions are written down: lines for people and programs, and documents made of many; no files here."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seesay.records import Caption

Row = Mapping[str, Any]
"""What programs are told about one picture, the same in every format; `COLUMNS` in this order."""

COLUMNS = (
    "path", "caption", "log_probability", "flags", "alternatives", "model", "precision", "options", "milliseconds",
)  # fmt: skip


def row(name: str, caption: Caption) -> Row:
    made = caption.provenance
    assert made is not None  # a describer's captions say how they were made
    return {
        "path": name,
        **_sentence(caption),
        "alternatives": [_sentence(other) for other in caption.alternatives],
        "model": made.model,
        "precision": made.precision,
        "options": dict(made.options),
        "milliseconds": round(made.milliseconds, 1),
    }


def _sentence(caption: Caption) -> dict[str, Any]:
    return {"caption": caption.text, "log_probability": round(caption.score, 4), "flags": list(caption.flags)}


@dataclass(frozen=True, slots=True)
class LineFormat:
    """One picture, one record, which can be told from a torn one and gives back the picture's name."""

    line: Callable[[str, Caption], str]
    name: Callable[[str], str]
    """The picture's name in a record; ValueError or KeyError where it is none of ours."""
    head: str = ""
    opening: str = ""
    """How every file of this format begins: what begins otherwise is somebody else's."""
    quoted: bool = False
    """Whether records may hold line breaks between double quotes."""


def text_line(name: str, caption: Caption) -> str:
    """For people: the picture's name before each of its captions."""
    return "".join(f"{printable(name)}: {one.text}\n" for one in caption.all)


def bare_line(name: str, caption: Caption) -> str:
    """For one picture, whose name needs no telling; also what stands in a side-car."""
    return "".join(f"{one.text}\n" for one in caption.all)


def json_line(name: str, caption: Caption) -> str:
    return dumps(row(name, caption)) + "\n"


def csv_line(name: str, caption: Caption) -> str:
    values = row(name, caption)
    return _csv([dumps(value) if isinstance(value, list | dict) else value for value in map(values.get, COLUMNS)])


def _csv(cells: Sequence[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


HEAD = _csv(COLUMNS)
JSONL = LineFormat(json_line, lambda line: str(json.loads(line)["path"]), opening='{"path": "')
LINES = {
    "text": LineFormat(text_line, name=str),  # names cannot be had back from it, so it is never gone on with
    "jsonl": JSONL,
    "csv": LineFormat(csv_line, lambda line: next(csv.reader(io.StringIO(line)))[0], HEAD, opening=HEAD, quoted=True),
}
BARE = LineFormat(bare_line, name=str)


@dataclass(frozen=True, slots=True)
class DocumentFormat:
    """Many pictures as one JSON value."""

    document: Callable[[list[Row]], Any]
    rows: Callable[[Any], list[Row]]
    """The rows of such a document; TypeError or KeyError where it is none of ours."""


def coco(rows: list[Row]) -> Any:
    """COCO's caption annotations: images with ids, and one annotation a caption, with its log-probability.

    The ids are COCO's own where every file is named as COCO names them (twelve digits at the end), else 1, 2, 3, ...
    """
    found = [re.search(r"(\d{12})\.\w+$", row["path"]) for row in rows]
    ids = [int(match[1]) for match in found if match]
    if len(set(ids)) < len(rows):
        ids = list(range(1, len(rows) + 1))
    sentences = [(image, one) for image, row in zip(ids, rows, strict=True) for one in (row, *row["alternatives"])]
    return {
        "images": [{"id": image, "file_name": row["path"]} for image, row in zip(ids, rows, strict=True)],
        "annotations": [
            {"id": number, "image_id": image, "caption": one["caption"], "log_probability": one["log_probability"]}
            for number, (image, one) in enumerate(sentences, 1)
        ],
    }


def coco_rows(document: Any) -> list[Row]:
    sentences: dict[int, list[Row]] = {image["id"]: [] for image in document["images"]}
    for one in document["annotations"]:
        sentences[one["image_id"]].append({"caption": one["caption"], "log_probability": one["log_probability"]})
    return [
        {"path": image["file_name"], **first, "alternatives": others}
        for image in document["images"]
        for first, *others in [sentences[image["id"]]]
    ]


DOCUMENTS = {
    "json": DocumentFormat(document=lambda rows: rows, rows=lambda document: [row for row in document if row["path"]]),
    "coco": DocumentFormat(document=coco, rows=coco_rows),
}


def dumps(value: object) -> str:
    """JSON that people can read, and that stays JSON where a file name is no valid text (lone surrogates)."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value)
    return text


def printable(name: str) -> str:
    """A file name without control characters, which could move the cursor or break the line."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", "?", name)
