"""What became of every text, one picture a line: the record people read, and what a killed run goes on from."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from seesay.capfilt import Judged, Sifted
from seesay.data.files import writing
from seesay.errors import DataError, UsageError


def to_line(one: Sifted) -> bytes:
    """One record as a line of JSON. A name that is no valid text (lone surrogates) is escaped."""
    row: dict[str, Any] = {"name": one.name, "texts": [asdict(text) for text in one.texts]}
    if one.broken is not None:
        row["broken"] = one.broken
    try:
        return json.dumps(row, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:
        return json.dumps(row).encode() + b"\n"


def from_line(line: bytes) -> Sifted:
    """Raises ValueError, KeyError or TypeError for a line that is no record."""
    row = json.loads(line)
    return Sifted(row["name"], tuple(Judged(**text) for text in row["texts"]), row.get("broken"))


def read_records(path: str | Path) -> Iterator[Sifted]:
    """Every picture's texts with their scores, origins and decisions, in the order of the input; constant memory.

    `path`: the folder of a run, such as "clean.capfilt", finished or not, or one file of records. Raises DataError.
    """
    path = Path(path)
    files = [path] if path.is_file() else sorted((path / "records").glob("*.jsonl"))
    if not files:
        raise DataError(f"{path}: no records of capfilt there", 'Name the folder of a run, such as "clean.capfilt".')
    for file in files:
        yield from _read(file)


def _read(path: Path) -> Iterator[Sifted]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.endswith(b"\n"):  # one that does not is being written
                yield _parsed(line, f"{path}:{number}")


def _parsed(line: bytes, place: str) -> Sifted:
    try:
        return from_line(line)
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{place}: no record of capfilt", "Delete the file: its pictures are then sifted again."
        ) from error


class Journal:
    """The records of one shard: first those of an earlier run are given back, then new ones are appended."""

    def __init__(self, file: BinaryIO, path: Path, whole: int) -> None:
        self._file = file
        self._path = path
        self._left = whole
        self._line = 0

    def replay(self, names: Sequence[str]) -> list[Sifted]:
        """The records of these pictures, if they were sifted already; else none.

        Raises DataError where the journal tells of other pictures.
        """
        return [self.next(name) for name in names] if self._left else []

    def append(self, records: Sequence[Sifted]) -> None:
        """Records in one write: whoever is killed within it loses this batch, and nothing else."""
        with writing(self._path):
            self._file.write(b"".join(map(to_line, records)))
            self._file.flush()

    def next(self, name: str) -> Sifted:
        """The next record of an earlier run. Raises DataError where it tells of another picture, or there is none."""
        place = f"{self._path}:{self._line + 1}"
        if not self._left:
            raise _changed(place, "goes on and had ended")
        record = _parsed(self._file.readline(), place)
        if record.name != name:
            raise _changed(place, f"has {name} and had {record.name}")
        self._left -= 1
        self._line += 1
        return record

    def check_end(self) -> None:
        """Raises DataError where there are records left: the pictures were more."""
        if self._left:
            raise _changed(f"{self._path}:{self._line + 1}", "ends and had gone on")


def _changed(place: str, how: str) -> DataError:
    return DataError(
        f"{place}: the input {how} when this run began", "Give the same input, or begin anew with another output."
    )


@contextmanager
def open_journal(path: Path, batch_size: int) -> Iterator[Journal]:
    """The journal at `path`, for this process alone (where the system has such locks: not on Windows).

    Only whole batches of an earlier run count, so that batches fall as they would have in one go: in int8, what
    computes together shares a scale. Raises UsageError where another process is writing it.
    """
    with path.open("a+b") as file:
        lock(file, path)
        file.seek(0)
        records, end = _whole_batches(file, batch_size)
        file.truncate(end)
        file.seek(0)
        journal = Journal(file, path, records)
        yield journal
        journal.check_end()
        os.fsync(file.fileno())


def _whole_batches(file: BinaryIO, batch_size: int) -> tuple[int, int]:
    """How many records the file's whole batches hold, and where they end."""
    records = end = 0
    position = 0
    for number, line in enumerate(file, 1):
        position += len(line)
        if number % batch_size == 0 and line.endswith(b"\n"):
            records, end = number, position
    return records, end


def lock(file: BinaryIO, path: Path) -> None:
    """Until it is closed, the file is this process's (not on Windows). Raises UsageError where it is another's."""
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:  # Windows
        pass
    except OSError as error:
        raise UsageError(f"{path}: another process is at work there", "Wait for it, or name another output.") from error
