"""What an evaluation found, as a table and as JSON, with what it takes to run it again."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from seesay.errors import DataError

Row = Mapping[str, object]
"""A line of the table, column -> word, number, or None where there is nothing to say."""

P_VALUE = "p"
"""The column whose values are probabilities, which two digits cannot tell from 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The scores, and beside them everything that they depend on."""

    benchmark: str
    rows: tuple[Row, ...]
    models: tuple[Mapping[str, object], ...] = ()
    """How each model was run, as its records tell it."""
    options: Mapping[str, object] = field(default_factory=dict)
    seed: int | None = None
    data: Mapping[str, str] = field(default_factory=dict)
    """Each file or folder that was read, and the SHA-256 of what was in it."""
    versions: Mapping[str, str] = field(default_factory=lambda: versions())

    def json(self) -> str:
        return json.dumps(asdict(self), indent=2, ensure_ascii=False)

    def table(self) -> str:
        """Columns in the order in which rows name them; numbers to the right."""
        columns = list(dict.fromkeys(column for row in self.rows for column in row))
        cells = [columns, *([_cell(column, row.get(column)) for column in columns] for row in self.rows)]
        widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
        right = [any(isinstance(row.get(column), int | float) for row in self.rows) for column in columns]
        return "\n".join(
            "  ".join(
                cell.rjust(width) if number else cell.ljust(width)
                for cell, width, number in zip(line, widths, right, strict=True)
            ).rstrip()
            for line in cells
        )


def _cell(column: str, value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4f}" if column == P_VALUE else f"{value:.2f}"
    return "" if value is None else str(value)


def versions(*packages: str) -> dict[str, str]:
    """Versions of Python, Seesay, NumPy and `packages`, those that are installed."""
    found = {"python": platform.python_version()}
    for package in ("seesay", "numpy", *packages):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def digest(path: Path) -> str:
    """SHA-256 of a file's content."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})", "check the path") from error


def digest_together(images: Iterable[Path | bytes | None]) -> str:
    """SHA-256 of the contents of several pictures, one after the other; it depends on their order, not their names."""
    total = hashlib.sha256()
    for image in images:
        if isinstance(image, Path):
            total.update(bytes.fromhex(digest(image)))
        elif image is not None:
            total.update(hashlib.sha256(image).digest())
    return total.hexdigest()
