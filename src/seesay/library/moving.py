"""A library goes from one place to another, such as from a file into PostgreSQL, or back.

Row by row with its number, so that nothing that names a number breaks; what a process has claimed is free in the copy.
A run that is killed goes on where it was, after it has compared what is there; one whose source has changed meanwhile
begins again. At the end every table's rows are read back, counted, and compared by their SHA-256.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seesay.errors import DataError, UsageError
from seesay.library.database import Database, Run
from seesay.library.store import Library

BLOCK = 1000
"""Rows that are written in one transaction."""


@dataclass(frozen=True, slots=True)
class Table:
    """What is copied of a table, in the order of its first column."""

    name: str
    columns: tuple[str, ...]

    @property
    def key(self) -> str:
        return self.columns[0]


TABLES = (  # each behind those that it refers to
    Table("folders", ("path",)),
    Table(
        "contents",
        tuple(
            "id digest kind looked taken camera latitude longitude place people keywords description likeness "
            "captioned_by space read_by error".split()
        ),
    ),
    Table("files", tuple("id path content size modified sidecar missing".split())),
    Table("spaces", tuple("id model probe dimension slope intercept calibrated_on".split())),
    Table("items", tuple("id content start stop caption score text".split())),
    Table("captions", tuple("id item caption score author made earlier".split())),
    Table("vectors", tuple("id item space kind vector".split())),
    Table("words", tuple("rowid caption text keywords description name".split())),
    Table("writes", tuple("id path target before after written".split())),
)
VERSIONS = Table("items", ("id", "version"))
"""Refers to captions, which refer to items: put in when both are there."""


@dataclass(frozen=True, slots=True)
class Moved:
    """How far it is."""

    table: str
    rows: int
    """Of all tables, done."""
    total: int


@dataclass(frozen=True, slots=True)
class Compared:
    """A table that is the same in both."""

    table: str
    rows: int
    digest: str
    """SHA-256 of its rows."""


def move(source: Library, target: Library) -> Iterator[Moved | Compared]:
    """Copy all of a library into an empty one, or go on with it; the source stays as it is.

    Raises UsageError where the target is not empty and was not begun from this source, DataError where both are not the
    same at the end.
    """
    here, there = source.database, target.database
    if here.name == there.name:
        raise UsageError(f"{here.name} is already there", "Name another place.")
    _begin(here, there)
    with here.reading() as run:
        total = sum(_count(run, table) for table in TABLES)
        try:
            yield from (compared := _Move(run, there, total)).copy()
        except _ChangedMeanwhile:
            _clear(there)
            yield from (compared := _Move(run, there, total)).copy()
    yield from compared.compare()
    there.renumber()
    with there.writing() as writing:
        writing.execute("DROP TABLE moving")


class _ChangedMeanwhile(Exception):
    """What an earlier run copied is not what the source has now."""


class _Move:
    """One pass from a source that stands still."""

    def __init__(self, source: Run, target: Database, total: int) -> None:
        self._source = source
        self._target = target
        self._total = total
        self._rows = 0
        self._hashes: dict[Table, tuple[int, str]] = {}

    def copy(self) -> Iterator[Moved]:
        for table in TABLES:
            digest, count = hashlib.sha256(), 0
            reached = self._reached(table)
            if reached is not None:
                digest, count = self._same_so_far(table, reached)
                self._rows += count
                yield Moved(table.name, self._rows, self._total)
            for rows in _blocks(self._source, table, reached):
                with self._target.writing() as run:
                    _insert(self._target, run, table, rows)
                _add(digest, rows)
                count += len(rows)
                self._rows += len(rows)
                yield Moved(table.name, self._rows, self._total)
            self._hashes[table] = (count, digest.hexdigest())
        digest, count = hashlib.sha256(), 0
        for rows in _blocks(self._source, VERSIONS):
            with self._target.writing() as run:
                edited = [(version, item) for item, version in rows if version is not None]
                run.executemany("UPDATE items SET version = ? WHERE id = ?", edited)
            _add(digest, rows)
            count += len(rows)
        self._hashes[VERSIONS] = (count, digest.hexdigest())

    def _reached(self, table: Table) -> Any:
        """The last key that is there; None where there is no row."""
        rows = self._target.rows(f"SELECT {table.key} FROM {table.name} ORDER BY {table.key} DESC LIMIT 1")
        return rows[0][0] if rows else None

    def _same_so_far(self, table: Table, reached: Any) -> tuple[Any, int]:
        """The hash and the count of the source's rows up to there. Raises _ChangedMeanwhile unless they are there."""
        ours, theirs, count, others = hashlib.sha256(), hashlib.sha256(), 0, 0
        for rows in _blocks(self._source, table):
            known = [row for row in rows if row[0] <= reached]
            _add(ours, known)
            count += len(known)
            if len(known) < len(rows):
                break
        with self._target.reading() as run:
            for rows in _blocks(run, table):
                _add(theirs, rows)
                others += len(rows)
        if (count, ours.digest()) != (others, theirs.digest()):
            raise _ChangedMeanwhile
        return ours, count

    def compare(self) -> Iterator[Compared]:
        """Read back what was written."""
        with self._target.reading() as run:
            for table, expected in self._hashes.items():
                digest, count = hashlib.sha256(), 0
                for rows in _blocks(run, table):
                    _add(digest, rows)
                    count += len(rows)
                if (count, digest.hexdigest()) != expected:
                    raise DataError(
                        f"{self._target.name}: {table.name} are {count:,} rows, not the {expected[0]:,} of the source",
                        "See that nobody else writes there, and do it again.",
                    )
                if table is not VERSIONS:
                    yield Compared(table.name, count, digest.hexdigest())


def _begin(source: Database, target: Database) -> None:
    """A mark in the target that tells from where it is being filled."""
    with target.writing() as run:
        holds = any(_count(run, table) for table in TABLES)
        begun = _marked(run)
        if begun not in (None, source.name):
            raise UsageError(
                f"{target.name} is being filled from {begun}", "Go on with that, or name an empty library."
            )
        if begun is None and holds:
            raise UsageError(f"{target.name} is not empty", "Name a new library; two are not made into one.")
        if begun is None:
            run.execute("CREATE TABLE moving (source TEXT NOT NULL)")
            run.execute("INSERT INTO moving (source) VALUES (?)", [source.name])


def _marked(run: Run) -> str | None:
    run.execute("CREATE TABLE IF NOT EXISTS moving (source TEXT NOT NULL)")
    row = run.execute("SELECT source FROM moving").fetchone()
    if row:
        return str(row[0])
    run.execute("DROP TABLE moving")
    return None


def _clear(target: Database) -> None:
    with target.writing() as run:
        run.execute("UPDATE items SET version = NULL")
        for table in reversed(TABLES):
            run.execute(f"DELETE FROM {table.name}")


def _count(run: Run, table: Table) -> int:
    return int(run.execute(f"SELECT count(*) FROM {table.name}").fetchone()[0])


def _blocks(run: Run, table: Table, after: Any = None) -> Iterator[list[Sequence[Any]]]:
    """A table's rows in order, some at a time, behind a key."""
    columns = ", ".join(table.columns)
    while True:
        where, values = ("", []) if after is None else (f"WHERE {table.key} > ?", [after])
        query = f"SELECT {columns} FROM {table.name} {where} ORDER BY {table.key} LIMIT {BLOCK}"
        rows = run.execute(query, values).fetchall()
        if not rows:
            return
        yield rows
        after = rows[-1][0]


def _insert(target: Database, run: Run, table: Table, rows: Sequence[Sequence[Any]]) -> None:
    if table.name == "words":
        for item, *texts in rows:
            target.put_words(run, item, texts)
        return
    if table.name == "vectors":
        rows = [(*row[:-1], target.stored(np.frombuffer(row[-1], "<f2").astype(np.float32))) for row in rows]
    marks = ", ".join("?" * len(table.columns))
    query = f"INSERT INTO {table.name} ({', '.join(table.columns)}) VALUES ({marks})"
    run.executemany(query, rows)


def _add(digest: Any, rows: Sequence[Sequence[Any]]) -> None:
    """Each value with its kind and its length, so that no two rows look alike."""
    for row in rows:
        for value in row:
            kind, raw = _bytes_of(value)
            digest.update(struct.pack(">cq", kind, len(raw)))
            digest.update(raw)


def _bytes_of(value: Any) -> tuple[bytes, bytes]:
    if value is None:
        return b"n", b""
    if isinstance(value, float):
        return b"f", struct.pack(">d", value)
    if isinstance(value, int):
        return b"i", str(value).encode()
    if isinstance(value, str):
        return b"s", value.replace("\0", " ").encode()  # which PostgreSQL's text cannot hold
    return b"b", bytes(value)
