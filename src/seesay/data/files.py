"""Files that appear whole or not at all, and the journal by which a killed run knows what it had done."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from seesay.errors import DataError, MissingExtra, UsageError


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """A full disk or a forbidden folder as a DataError that says so."""
    try:
        yield
    except OSError as error:
        remedy = "choose a folder you may write to, with room on its disk"
        raise DataError(f"{path}: cannot be written ({error.strerror or error})", remedy) from error


@contextmanager
def whole(path: Path, *, settled: bool = True) -> Iterator[BinaryIO]:
    """A file to write that takes its place when the block ends, and never if it ends by an exception.

    `settled`: its bytes are on the disk before it does, for the sake of power failures. That takes milliseconds.
    """
    partial = path.with_name(f".{path.name}.partial")  # one name, so that what a killed process left is taken over
    with writing(path):
        try:
            with partial.open("wb") as file:
                yield file
                if settled:
                    settle(file)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def settle(file: BinaryIO) -> None:
    """Wait until the file's bytes are on the disk."""
    file.flush()
    os.fsync(file.fileno())


class Journal:
    """Lines of JSON, each appended and flushed; a torn last one is cut off when it is opened again.

    For this process alone until it is closed, except on Windows.
    """

    def __init__(self, path: Path, resume: bool) -> None:
        """Raises UsageError where it is there already, and going on was not asked for, or another process writes it."""
        if path.exists() and not resume:
            raise UsageError(
                f"{path}: an earlier run was stopped before it was done",
                "go on with it (resume), or delete it and what it had written",
            )
        self.path = path
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+b")
        _lock(self._file, path)
        self.last: Any = None
        """The value of the last whole line; None in a new journal."""
        end, line = 0, b"null"
        self._file.seek(0)
        for each in self._file:
            if not each.endswith(b"\n"):
                break
            end, line = end + len(each), each
        self._file.truncate(end)
        self.last = json.loads(line)

    def append(self, line: str) -> None:
        with writing(self.path):
            self._file.write(line.encode() + b"\n")
            self._file.flush()

    def lines(self) -> Iterator[Any]:
        """The values of all lines, from the first."""
        self._file.flush()
        with self.path.open("rb") as file:
            yield from map(json.loads, file)

    def close(self) -> None:
        self._file.close()

    def delete(self) -> None:
        """The output is complete."""
        self.close()
        self.path.unlink()


def need_pyarrow() -> None:
    """Raise MissingExtra where Parquet can be neither read nor written."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise MissingExtra("a Parquet table", "tables") from error


def _lock(file: BinaryIO, path: Path) -> None:
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:  # Windows
        pass
    except OSError as error:
        file.close()
        raise UsageError(f"{path}: another process is writing", "wait for it, or name another output") from error
