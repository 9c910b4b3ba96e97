"""The vectors of a library as one matrix: a file beside the library, mapped into memory, searched exactly, or from
hundreds of thousands on with an index (`approximate`).

The database holds the vectors; this file is a copy of them in the order of their numbers, which only grow. It may be
deleted at any time and by anybody: what is missing is appended when it is next opened.

A search looks at 8-bit values first (a tenth of the time that float16 takes), and then exactly at whatever could be
among the best by the bound on what rounding can have changed.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from seesay.library.approximate import Neighbours, bring_up, open_index
from seesay.library.database import Kind

BLOCK = 4096
"""Rows that are read at a time."""
MULTIPLIED = 512
"""Rows that are multiplied at a time: they stay in the processor's cache, and are too few for BLAS to share among
threads, which wait for one another on a busy machine (100,000 rows of 256: 5 ms of one thread; in blocks of 4,096
beside other programs 80)."""


@dataclass(frozen=True, eq=False)
class Vectors:
    """Vectors of one kind in one space, with the item that each belongs to; of an item the newest counts."""

    items: NDArray[np.int64]
    """(rows,): the item of each row; 0 where a newer one replaces it."""
    matrix: NDArray[np.float16] = field(repr=False)
    """(rows, dimension)"""
    index: Neighbours | None = field(default=None, repr=False)
    """Names candidates, where there are very many."""

    def __len__(self) -> int:
        return int(np.count_nonzero(self.items))

    def nearest(self, query: NDArray[np.float32], count: int, allowed: NDArray[np.int64]) -> list[tuple[int, float]]:
        """The `count` items nearest to the vector with their cosines, best first, of those `allowed` (sorted)."""
        if self.index is not None and (some := self._among_near(query, count, allowed)) is not None:
            return self._best(query, count, some)
        rows = np.flatnonzero(np.isin(self.items, allowed)) if len(self.items) else np.zeros(0, np.intp)
        if not len(rows):
            return []
        about = self._about(query)[rows]
        if len(rows) > count:
            # Rounding moves no component by more than half a step, so no product by more than half a step times the
            # sum of the query's magnitudes.
            off = self._steps[rows] / 2 * np.abs(query).sum()
            least = np.partition(about - off, len(rows) - count)[len(rows) - count]
            rows = rows[about + off >= least]
        return self._best(query, count, rows)

    def _among_near(
        self, query: NDArray[np.float32], count: int, allowed: NDArray[np.int64]
    ) -> NDArray[np.intp] | None:
        """Rows of which the best are to be taken; None where so many near ones are not allowed that all must be
        looked at."""
        assert self.index is not None
        near = self.index.near(query, 4 * count)
        near = near[np.isin(self.items[near], allowed)]
        later = np.arange(len(self.index), len(self.items))
        later = later[np.isin(self.items[later], allowed)]
        return np.concatenate([near, later]) if len(near) >= count else None

    def _best(self, query: NDArray[np.float32], count: int, rows: NDArray[np.intp]) -> list[tuple[int, float]]:
        exact = self.matrix[rows].astype(np.float32) @ query
        best = np.argsort(-exact, kind="stable")[:count]
        return [(int(self.items[rows[at]]), float(exact[at])) for at in best]

    def of(self, items: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Those of the items that have a vector, and the vectors, (found, dimension)."""
        rows = np.flatnonzero(np.isin(self.items, items))
        return self.items[rows], self.matrix[rows].astype(np.float32)

    def _about(self, query: NDArray[np.float32]) -> NDArray[np.float32]:
        """(rows,): cosines, but for rounding."""
        found = np.empty(len(self.items), np.float32)
        block = np.empty((MULTIPLIED, self.matrix.shape[1]), np.float32)
        for start in range(0, len(found), MULTIPLIED):
            part = self._rounded[start : start + MULTIPLIED]
            block[: len(part)] = part
            np.dot(block[: len(part)], query, out=found[start : start + MULTIPLIED])
        return found * self._steps

    @cached_property
    def _steps(self) -> NDArray[np.float32]:
        """(rows,): what 1 stands for in each row of `_rounded`."""
        largest = np.empty(len(self.items), np.float32)
        for start in range(0, len(largest), BLOCK):
            part = self.matrix[start : start + BLOCK]
            largest[start : start + BLOCK] = np.maximum(part.max(1, initial=0), -part.min(1, initial=0))
        return np.maximum(largest / 127, np.float32(1e-8))

    @cached_property
    def _rounded(self) -> NDArray[np.int8]:
        """(rows, dimension)"""
        found = np.empty(self.matrix.shape, np.int8)
        for start in range(0, len(found), BLOCK):
            part = self.matrix[start : start + BLOCK].astype(np.float32)
            found[start : start + BLOCK] = np.rint(part / self._steps[start : start + BLOCK, None])
        return found


def open_matrix(connection: sqlite3.Connection, database: Path, space: int, kind: Kind) -> Vectors:
    """The matrix beside a library's file, brought up to the database first."""
    [dimension] = connection.execute("SELECT dimension FROM spaces WHERE id = ?", [space]).fetchone()
    row = np.dtype([("id", "<i8"), ("item", "<i8"), ("vector", "<f2", (dimension,))])
    path = _file_of(database, space, kind)
    [newest, count] = connection.execute(
        "SELECT coalesce(max(id), 0), count(*) FROM vectors WHERE space = ? AND kind = ?", [space, kind]
    ).fetchone()
    if not newest:
        return Vectors(np.zeros(0, np.int64), np.zeros((0, dimension), np.float16))
    with _locked(path) as file:
        whole = _bring_up(connection, file, path, row, (space, kind), newest, count)
    mapped = np.memmap(path, row, mode="r", shape=(whole,))
    items = _newest_of(mapped["item"])
    if np.count_nonzero(items) > count:  # some were deleted, and nothing newer replaces them
        alive = connection.execute("SELECT id FROM vectors WHERE space = ? AND kind = ?", [space, kind]).fetchall()
        items[~np.isin(mapped["id"], np.array(alive, np.int64))] = 0
    return Vectors(items, mapped["vector"], open_index(_index_of(path), mapped["vector"]))


def bring_up_index(connection: sqlite3.Connection, database: Path, space: int, kind: Kind) -> None:
    """Make or complete the index of a matrix that has grown large (`approximate`)."""
    bring_up(_index_of(_file_of(database, space, kind)), open_matrix(connection, database, space, kind).matrix)


def _file_of(database: Path, space: int, kind: Kind) -> Path:
    return database.with_name(f"{database.name}-{kind}{space}.f16")


def _index_of(path: Path) -> Path:
    return path.with_suffix(".usearch")


def _bring_up(
    connection: sqlite3.Connection,
    file: BinaryIO,
    path: Path,
    row: Any,
    place: tuple[int, Kind],
    newest: int,
    count: int,
) -> int:
    """Append what is missing; how many rows there are then. A file that is another library's, damaged, or mostly out
    of date is made anew, beside the old one, which others may have mapped."""
    whole: int = file.seek(0, 2) // row.itemsize
    last = _id_at(file, row, whole - 1)
    if last > newest or whole > 2 * count + BLOCK or not _is_sound(connection, file, row, whole, place):
        fresh = path.with_name(f".{path.name}.partial")
        with fresh.open("w+b") as other:
            rows = _append(connection, other, row, place, 0)
        fresh.replace(path)
        return rows
    file.seek(whole * row.itemsize)
    file.truncate()  # half a row, which a killed process left
    return whole + _append(connection, file, row, place, last)


def _append(connection: sqlite3.Connection, file: BinaryIO, row: Any, place: tuple[int, Kind], last: int) -> int:
    """Write the vectors behind number `last`; how many they were."""
    found = connection.execute(
        "SELECT id, item, vector FROM vectors WHERE space = ? AND kind = ? AND id > ? ORDER BY id", [*place, last]
    )
    written = 0
    while some := found.fetchmany(BLOCK):
        rows = np.empty(len(some), row)
        for at, (identity, item, vector) in enumerate(some):
            rows[at] = (identity, item, np.frombuffer(vector, "<f2"))
        file.write(rows.tobytes())
        written += len(some)
    file.flush()
    return written


def _id_at(file: BinaryIO, row: Any, place: int) -> int:
    if place < 0:
        return 0
    file.seek(place * row.itemsize)
    return int(np.frombuffer(file.read(8), "<i8")[0])


def _is_sound(connection: sqlite3.Connection, file: BinaryIO, row: Any, whole: int, place: tuple[int, Kind]) -> bool:
    """Whether the first, the middle and the last row are the database's, where it still has them."""
    for at in {0, whole // 2, whole - 1} if whole else ():
        file.seek(at * row.itemsize)
        kept = np.frombuffer(file.read(row.itemsize), row)[0]
        if kept["id"] <= 0:
            return False
        found = connection.execute(
            "SELECT item, vector FROM vectors WHERE id = ? AND space = ? AND kind = ?", [int(kept["id"]), *place]
        ).fetchone()
        if found and (found[0] != kept["item"] or found[1] != kept["vector"].tobytes()):
            return False
    return True


def _newest_of(items: NDArray[np.int64]) -> NDArray[np.int64]:
    """The items, with 0 in every row that a later row of the same item replaces."""
    backwards = np.array(items[::-1])
    first = np.unique(backwards, return_index=True)[1]
    kept = np.zeros(len(items), np.int64)
    kept[first] = backwards[first]
    return kept[::-1].copy()


@contextmanager
def _locked(path: Path) -> Iterator[BinaryIO]:
    """The file, for this process alone until the block ends (not on Windows)."""
    while True:
        path.touch()
        with path.open("r+b") as file:
            _lock(file)
            if os.path.exists(path) and os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                yield file
                return
        # Another process put a new file in its place while we waited.


def _lock(file: BinaryIO) -> None:
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX)
    except ImportError:  # Windows
        pass
