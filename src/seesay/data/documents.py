"""Examples as the rows of one file: JSON Lines, CSV, Parquet, and COCO's JSON; no journals here."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from seesay.data.example import Example
from seesay.data.fields import Fields, dumps
from seesay.errors import DataError, ImageUnreadable
from seesay.images.formats import SNIFFED, Format, sniff
from seesay.images.reading import read_bytes

SUFFIXES = {
    Format.JPEG: ".jpg", Format.PNG: ".png", Format.WEBP: ".webp", Format.GIF: ".gif",
    Format.TIFF: ".tif", Format.BMP: ".bmp", Format.AVIF: ".avif", Format.HEIF: ".heic",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Document:
    """A format of one file."""

    picture: Callable[[Example], Fields]
    """The fields that say which picture a row is about."""
    publish: Callable[[BinaryIO, Callable[[], Iterator[Fields]]], None]
    """Writes the file, given a function that reads the rows from the first."""


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


def _json_lines(file: BinaryIO, rows: Callable[[], Iterator[Fields]]) -> None:
    for row in rows():
        file.write(dumps(row).encode() + b"\n")


DOCUMENTS = {
    ".jsonl": Document(_in_row, _json_lines),
}
"""By the suffix of the file."""
