"""Examples as the rows of one file: JSON Lines, CSV, Parquet, and COCO's JSON; no journals here."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, BinaryIO

from seesay.data.example import Example
from seesay.data.fields import Fields, dumps
from seesay.errors import DataError, ImageUnreadable
from seesay.images.formats import SNIFFED, Format, sniff
from seesay.images.reading import read_bytes

SUFFIXES = {
    Format.JPEG: ".jpg", Format.PNG: ".png", Format.WEBP: ".webp", Format.GIF: ".gif",
    Format.TIFF: ".tif", Format.BMP: ".bmp", Format.AVIF: ".avif", Format.HEIF: ".heic",
}  # fmt: skip


Rows = Callable[[], Iterator[Fields]]
"""Reads the rows from the first."""


@dataclass(frozen=True, slots=True)
class Document:
    """A format of one file."""

    picture: Callable[[Example], Fields]
    """The fields that say which picture a row is about."""
    publish: Callable[[BinaryIO, Rows], None]
    """Writes the file; it may read the rows several times, and holds few of them at once."""


def picture_bytes(example: Example) -> bytes:
    """The picture as it is encoded, fetched where it is an address. Raises ImageError, or DataError without one."""
    if example.image is None:
        raise DataError(f"{example.place or example.name}: no picture to write", "read it with its folder of images")
    return read_bytes(example.image)


def suffix_of(data: bytes, example: Example) -> str:
    """The file suffix of a picture's format, whatever it was called. Raises ImageUnreadable where it is none."""
    kind = sniff(data[:SNIFFED])
    if kind is None:
        raise ImageUnreadable(f"{example.place or example.name}: not a picture of a known format", "leave it out")
    return SUFFIXES[kind]


def _in_row(example: Example) -> Fields:
    """A file by its name, an address, or the bytes in base64."""
    name = {"key": example.name}
    match example.image:
        case bytes() as data:
            return {"image": base64.b64encode(data).decode()} | name
        case str() as address:
            return {"image": address} | (name if address != example.name else {})
    return {"image": example.name}


def _json_lines(file: BinaryIO, rows: Rows) -> None:
    for row in rows():
        file.write(dumps(row).encode() + b"\n")


def _table(delimiter: str) -> Callable[[BinaryIO, Rows], None]:
    def publish(file: BinaryIO, rows: Rows) -> None:
        """A row a caption, as other programs expect; lists and objects as JSON."""
        columns = list(dict.fromkeys(name for row in rows() for name in row))
        text = io.TextIOWrapper(file, encoding="utf-8", errors="replace", newline="")
        table = csv.writer(text, delimiter=delimiter, lineterminator="\n")
        table.writerow(columns)
        for row in rows():
            captions = row["caption"] if isinstance(row["caption"], list) else [row["caption"]]
            for number, caption in enumerate(captions or [None]):
                own = row if number == 0 else {name: value for name, value in row.items() if name != "questions"}
                table.writerow([_cell(value) for value in map((own | {"caption": caption}).get, columns)])
        text.detach()

    return publish


def _cell(value: object) -> object:
    return value if value is None or isinstance(value, str) else dumps(value)


def _inside(example: Example) -> Fields:
    """The picture itself, as Hugging Face's data sets have it."""
    data = picture_bytes(example)
    return {"image": {"bytes": base64.b64encode(data).decode(), "path": example.name}}


def _parquet(file: BinaryIO, rows: Rows) -> None:
    """Row groups of a hundred pictures. Extra fields become numbers or texts; lists and objects among them, JSON."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    texts = pa.list_(pa.string())
    picture = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    known = {"image": picture, "caption": texts, "labels": texts, "image_id": pa.int64()}
    kinds: dict[str, set[type]] = {}
    for row in rows():
        for name, value in row.items():
            fits = not isinstance(value, int) or -(2**63) <= value < 2**63
            kinds.setdefault(name, set()).add(type(value) if fits else str)
    schema = pa.schema([(name, known.get(name) or _arrow_type(found)) for name, found in kinds.items()])
    with ParquetWriter(file, schema) as table:
        left = rows()
        while group := list(islice(left, 100)):
            columns = [pa.array([_arrow(row.get(each.name), each.type) for row in group], each.type) for each in schema]
            table.write_batch(pa.record_batch(columns, schema=schema))


def _arrow_type(kinds: set[type]) -> Any:
    import pyarrow as pa

    kinds = kinds - {type(None)}
    if kinds == {bool}:
        return pa.bool_()
    if kinds == {int}:
        return pa.int64()
    return pa.float64() if kinds and kinds <= {int, float} else pa.string()


def _arrow(value: Any, kind: Any) -> object:
    import pyarrow as pa

    if value is None:
        return None
    if pa.types.is_struct(kind):
        return {"bytes": base64.b64decode(value["bytes"]), "path": _text(value["path"])}
    if pa.types.is_list(kind):
        return [_text(one) for one in (value if isinstance(value, list) else [value])]
    return _text(_cell(value)) if pa.types.is_string(kind) else value


def _text(value: object) -> object:
    """A question mark for what no file can hold as text, such as half an emoji."""
    return value.encode(errors="replace").decode() if isinstance(value, str) else value


def _named(example: Example) -> Fields:
    return {"file_name": example.name}


def _coco(file: BinaryIO, rows: Rows) -> None:
    """COCO captions, what COCO has no place for in the images' entries. Pictures without a number get one."""
    file.write(b'{"images": [')
    for number, (image_id, row) in enumerate(_numbered(rows, once=True)):
        entry = {"id": image_id} | {name: value for name, value in row.items() if name not in ("caption", "image_id")}
        entry |= {"objects": entry.pop("labels")} if "labels" in entry else {}
        file.write((b",\n" if number else b"\n") + dumps(entry).encode())
    file.write(b'],\n"annotations": [')
    annotations = (
        (image_id, caption)
        for image_id, row in _numbered(rows)
        for caption in (row["caption"] if isinstance(row["caption"], list) else [row["caption"]])
    )
    for number, (image_id, caption) in enumerate(annotations):
        entry = {"id": number + 1, "image_id": image_id, "caption": caption}
        file.write((b",\n" if number else b"\n") + dumps(entry).encode())
    file.write(b"]}\n")


def _numbered(rows: Rows, once: bool = False) -> Iterator[tuple[int, Fields]]:
    """Rows with their COCO number, a new one where it is another picture's; `once`, only the first row of each."""
    free = 1 + max((row["image_id"] for row in rows() if "image_id" in row), default=0)
    owners: dict[int, str] = {}
    for row in rows():
        number, name = row.get("image_id"), row["file_name"]
        if number is None or owners.get(number, name) != name:
            number, free = free, free + 1
        if not (once and number in owners):
            yield number, row
        owners[number] = name


DOCUMENTS = {
    ".jsonl": Document(_in_row, _json_lines),
    ".csv": Document(_in_row, _table(",")),
    ".tsv": Document(_in_row, _table("\t")),
    ".parquet": Document(_inside, _parquet),
    ".json": Document(_named, _coco),
}
"""By the suffix of the file."""
