"""Tables: CSV, TSV, JSON Lines and Parquet with a column of pictures and one of captions, or questions and answers."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from seesay.data.example import Example, Report, check_folder, locate, log_broken, numbered_lines
from seesay.data.fields import Taken, merged, to_example
from seesay.data.files import need_pyarrow
from seesay.errors import DataError, ImageError
from seesay.images.formats import EXTENSIONS
from seesay.images.limits import DEFAULT_LIMITS
from seesay.images.reading import is_address, is_inline, read_bytes
from seesay.images.tables import USUAL_NAMES

IMAGES = (*USUAL_NAMES, "jpg", "png", "webp", "image_id", "img_id")
"""Names that the column of pictures goes by when nobody says which; the earlier wins. The three after the usual ones
are img2dataset's."""

Named = tuple[str | None, str | None]
"""The columns of pictures and of captions that were named."""
Row = tuple[str, Mapping[str, Any]]
"""Its place, such as "a.csv:3", and its cells by the name of their column."""


def read_table(
    path: Path,
    images: Path | None = None,
    report: Report = log_broken,
    *,
    image: str | None = None,
    caption: str | None = None,
) -> Iterator[Example]:
    """Examples of a .csv, .tsv, .jsonl or .parquet, read as a stream. `image` and `caption` name columns.

    Without them the first of `IMAGES` that is there is the picture: a path below `images` (the table's own folder where
    that is not given), an http(s) address, a data: URI, base64, bytes, or Hugging Face's {"bytes": ..., "path": ...}.
    Rows about one picture that follow each other become one example of several captions or questions. Broken rows are
    reported and skipped.
    """
    if images:
        check_folder(images)
    read = {".csv": _delimited, ".tsv": _delimited, ".txt": _delimited, ".parquet": _parquet}
    rows = read.get(path.suffix.lower(), _json_lines)(path, report, (image, caption))
    yield from joined(_examples(rows, images or path.parent, report, image, caption))


def names_pictures(columns: Iterable[str]) -> bool:
    """Whether one of the columns is called as pictures usually are."""
    return not {name.strip().lower() for name in columns}.isdisjoint(IMAGES)


def _check(path: Path, columns: Iterable[str], named: Named) -> None:
    """Raise DataError where a named column, or any that usually holds pictures, is missing."""
    columns = list(columns)
    there = {name.strip().lower() for name in columns}
    for name in filter(None, named):
        if name.lower() not in there:
            raise DataError(f"{path}: no column {name!r}; it has {', '.join(columns)}", "name one of these")
    if not named[0] and not names_pictures(columns):
        message = f"{path}: no column that is usually a picture's; it has {', '.join(columns) or 'none'}"
        raise DataError(message, "name the column: table.csv::COLUMN")


def joined(examples: Iterable[Example]) -> Iterator[Example]:
    """The examples, those that follow each other about one picture made one."""
    last = None
    for example in examples:
        if last and (last.name, last.split, last.image) == (example.name, example.split, example.image):
            last = merged(last, example)
            continue
        if last:
            yield last
        last = example
    if last:
        yield last


def _examples(
    rows: Iterator[Row], images: Path, report: Report, image: str | None, caption: str | None
) -> Iterator[Example]:
    for place, row in rows:
        try:
            fields = Taken(row)
            name, picture = find_picture(fields.take(*([image] if image else IMAGES)), images, place, tuple(row))
            yield to_example(fields, name, picture, place, caption)
        except DataError as error:
            report(error)


def find_picture(
    value: Any, images: Path | None, place: str, columns: tuple[str, ...] = ()
) -> tuple[str, Path | bytes | str | None]:
    """The name and the picture that a cell stands for. Pictures without a name are called by their place.

    Raises DataError, which lists the row's columns, for a cell that is none.
    """
    match value:
        case bytes() if value:
            return place, value
        case {"bytes": bytes() | str() as inner, **rest} if inner:
            return str(rest.get("path") or place), find_picture(inner, images, place)[1]
        case {"path": str() as inner} | {"url": str() as inner}:
            return find_picture(inner, images, place)
        case str() if is_address(value.strip()):
            return value.strip(), value.strip()
        case str() if is_inline(value.strip()):
            try:
                return place, read_bytes(value.strip())
            except ImageError as error:
                raise DataError(f"{place}: {error}", error.remedy) from error
        case str() if value.strip():
            return _file(value.strip(), images, place)
    there = f"; it has {', '.join(columns)}" if columns else ""
    raise DataError(f"{place}: no picture in this row{there}", "name the column: table.csv::COLUMN")


def _file(name: str, images: Path | None, place: str) -> tuple[str, Path | None]:
    """A picture's file. DAQUAR leaves its suffix out."""
    if images and Path(name).suffix.lower() not in EXTENSIONS and not os.path.exists(images / name):
        for suffix in (".jpg", ".png", ".jpeg", ".webp"):
            if os.path.isfile(images / (name + suffix)):
                return name + suffix, locate(images, name + suffix, place)
    return name, locate(images, name, place)


def _json_lines(path: Path, report: Report, named: Named) -> Iterator[Row]:
    for number, line in numbered_lines(path, report):
        place = f"{path}:{number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            report(DataError(f"{place}: not JSON ({error})", "write one JSON object a line"))
            continue
        if isinstance(row, dict):
            yield place, row
        else:
            report(DataError(f"{place}: a {type(row).__name__}, not an object", 'write {"image": "cat.jpg", ...}'))


def _delimited(path: Path, report: Report, named: Named) -> Iterator[Row]:
    # The default of 128 KiB refuses pictures in base64. The setting is the whole process's, so it is only ever raised.
    csv.field_size_limit(max(csv.field_size_limit(), min(2 * DEFAULT_LIMITS.bytes, 2**31 - 1)))
    try:
        with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            header = file.readline()
            file.seek(0)
            delimiter = "\t" if path.suffix.lower() == ".tsv" else max(",;\t|", key=header.count)
            rows = csv.reader(file, delimiter=delimiter, strict=True)
            columns = next(rows, [])
            _check(path, columns, named)
            while True:
                place = f"{path}:{rows.line_num + 1}"
                try:
                    row = next(rows)
                    "".join(row).encode()
                    if row and len(row) != len(columns):
                        raise ValueError(f"{len(row)} cells, where the header has {len(columns)}")
                except StopIteration:
                    return
                except (csv.Error, ValueError) as error:
                    report(DataError(f"{place}: {_reason(error)}", "correct the row; check its quotes"))
                    continue
                if row:
                    yield place, {name: cell or None for name, cell in zip(columns, row, strict=True)}
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})", "check the path") from error
    except csv.Error as error:
        raise DataError(f"{path}: a damaged header ({error})", "correct the first line") from error


def _reason(error: Exception) -> str:
    return "not UTF-8" if isinstance(error, UnicodeEncodeError) else str(error)


def _parquet(path: Path, report: Report, named: Named) -> Iterator[Row]:
    need_pyarrow()
    from pyarrow.parquet import ParquetFile

    number = 0
    try:
        with ParquetFile(path) as table:
            _check(path, table.schema_arrow.names, named)
            for batch in table.iter_batches(batch_size=16, use_threads=False):  # small: pictures may be in the cells
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}:{number}", row
    except (OSError, ValueError) as error:  # pyarrow's own errors are kinds of ValueError
        raise DataError(f"{path}: a damaged table after row {number} ({error})", "copy or write it again") from error
