"""The picture column of a CSV, TSV, JSON Lines or Parquet file, cell by cell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

from seesay.errors import ImageError, ImageExtraMissing, ImageNotFound, ImageUnreadable
from seesay.images.limits import Limits

TABLES = frozenset({".csv", ".tsv", ".jsonl", ".ndjson", ".parquet"})

USUAL_NAMES = (
    *("image", "image_path", "image_url", "path", "file_path", "filepath", "file_name", "filename", "file"),
    *("url", "img", "photo", "picture", "src"),
)
"""Column names that hold pictures when nobody says which does; the earlier wins, capitals do not matter."""

Cell: TypeAlias = tuple[str, object]
"""Its place, such as "a.csv#3" (rows count from 1), and its value; an ImageError where it could not be read."""


def cells(path: Path, column: str | None, limits: Limits) -> Iterator[Cell]:
    """The cells of one column, read as a stream. What is wrong with the table arrives as an ImageError in a cell."""
    read = {".csv": _delimited, ".tsv": _delimited, ".parquet": _parquet}.get(path.suffix.lower(), _json_lines)
    try:
        yield from read(path, column, limits)
    except ImageError as error:
        yield str(path), error
    except (OSError, ValueError) as error:  # not readable, not UTF-8, not Parquet
        remedy = "check that it is a whole, UTF-8 encoded table"
        yield str(path), ImageUnreadable(f"damaged table {path} ({error})", remedy)


def pick(names: Iterable[str], column: str | None, where: str) -> str:
    """The name of the column to read, spelled as the table spells it. Raises ImageNotFound with the names there are."""
    spelled = {name.strip().lower(): name for name in reversed(list(names))}
    for wanted in USUAL_NAMES if column is None else (column.lower(),):
        if wanted in spelled:
            return spelled[wanted]
    missing = f"no column {column!r}" if column else "no column that is usually a picture's"
    there = ", ".join(reversed(spelled.values())) or "no columns at all"
    raise ImageNotFound(f"{missing} in {where}; it has {there}", "name the column: photos.csv::COLUMN")


def _delimited(path: Path, column: str | None, limits: Limits) -> Iterator[Cell]:
    import csv

    # The default of 128 KiB refuses pictures in base64. The setting is the whole process's, so it is only ever raised.
    csv.field_size_limit(max(csv.field_size_limit(), min(2 * limits.bytes, 2**31 - 1)))
    with path.open(newline="", encoding="utf-8-sig") as file:
        header = file.readline()
        file.seek(0)
        delimiter = "\t" if path.suffix.lower() == ".tsv" else max(",;\t|", key=header.count)
        try:
            rows = csv.reader(file, delimiter=delimiter, strict=True)
            names = next(rows, [])
            index = names.index(pick(names, column, str(path)))
            for number, row in enumerate(filter(None, rows), start=1):
                yield f"{path}#{number}", row[index] if index < len(row) else None
        except csv.Error as error:
            raise ImageUnreadable(f"damaged table {path} ({error})", "check its quotes and delimiters") from error


def _json_lines(path: Path, column: str | None, limits: Limits) -> Iterator[Cell]:
    import json

    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            place = f"{path}#{number}"
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise ImageUnreadable(f"{place} is not a JSON object", 'write {"image": "cat.jpg"}, one a line')
                yield place, row[pick(row, column, place)]
            except (ValueError, RecursionError) as error:
                yield place, ImageUnreadable(f"{place} is not JSON ({error})", "write one JSON object a line")
            except ImageError as error:
                yield place, error


def _parquet(path: Path, column: str | None, limits: Limits) -> Iterator[Cell]:
    try:
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise ImageExtraMissing("a Parquet table", "tables") from error

    with ParquetFile(path) as table:
        name = pick(table.schema_arrow.names, column, str(path))
        number = 0
        # Small batches: pictures may be in the cells.
        for batch in table.iter_batches(batch_size=16, columns=[name], use_threads=False):
            for value in batch.column(0):
                number += 1
                yield f"{path}#{number}", value.as_py()
