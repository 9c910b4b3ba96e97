"""A library in one SQLite file, in WAL mode: readers never wait, writers wait for one another."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seesay.errors import DataError
from seesay.library.database import KINDS, Kind, Run, Standing
from seesay.library.migrations import APPLICATION, MIGRATIONS, migrate
from seesay.library.vectors import Vectors, bring_up_index, open_matrix
from seesay.library.words import COLUMNS, Tokenizer

WAIT = 60.0
"""Seconds that a writer waits for another."""


class Sqlite:
    """The file, and beside it the matrices of its vectors. Raises DataError for a file that is no library, or one of a
    later version."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = str(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.connection = sqlite3.connect(path, timeout=WAIT, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise DataError(f"{path}: cannot be opened ({error})", "Choose a folder that you may write to.") from error
        try:
            self._prepare()
        except sqlite3.OperationalError as error:
            self.close()
            raise DataError(
                f"{path}: cannot be used ({error})", "See that you may write to it and its folder."
            ) from error
        except sqlite3.DatabaseError as error:
            self.close()
            raise DataError(f"{path}: no library ({error})", "Name the library's own file, or a new one.") from error
        except BaseException:
            self.close()
            raise

    def _prepare(self) -> None:
        run = self.connection.execute
        run("BEGIN")  # one moment for all three: another process may be making the file
        [tables] = run("SELECT count(*) FROM sqlite_master").fetchone()
        [application], [version] = run("PRAGMA application_id").fetchone(), run("PRAGMA user_version").fetchone()
        run("COMMIT")
        if application != APPLICATION and (tables or version):
            raise DataError(f"{self.path} is a database of another program", "Name a library's file, or a new one.")
        if version > len(MIGRATIONS):
            raise DataError(f"{self.path} was made by a later version of Seesay", "pip install --upgrade seesay")
        self._to_wal()
        run("PRAGMA synchronous = NORMAL")  # a power failure may cost the last pictures told, never the file
        run("PRAGMA foreign_keys = ON")
        if version < len(MIGRATIONS):
            migrate(self.connection)

    def _to_wal(self) -> None:
        """Once for a file. SQLite waits for others in everything else, but not in this."""
        deadline = time.monotonic() + WAIT
        while True:
            try:
                self.connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                busy = error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
                if not busy or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def close(self) -> None:
        self.connection.close()

    @contextmanager
    def writing(self) -> Iterator[Run]:
        with self._transaction("BEGIN IMMEDIATE"):
            yield self.connection

    @contextmanager
    def reading(self) -> Iterator[Run]:
        with self._transaction("BEGIN"):
            yield self.connection

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[None]:
        self.connection.execute(begin)
        try:
            yield
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        return self.connection.execute(query, values).fetchall()

    @property
    def version(self) -> tuple[int, int]:
        [[others]] = self.rows("PRAGMA data_version")
        return others, self.connection.total_changes

    def renumber(self) -> None:
        """Nothing: SQLite counts on from the highest number by itself."""

    # ----------------------------------------------------------------------------------------------------------- words

    def put_words(self, run: Run, item: int, texts: Sequence[str]) -> None:
        run.execute("DELETE FROM words WHERE rowid = ?", [item])
        run.execute(
            "INSERT INTO words (rowid, caption, text, keywords, description, name) VALUES (?, ?, ?, ?, ?, ?)",
            [item, *texts],
        )

    def items_with(self, term: str) -> NDArray[np.int64]:
        # One text of all numbers is read three times as fast as a row for each.
        [[numbers]] = self.rows("SELECT group_concat(rowid) FROM words WHERE words MATCH ?", [term])
        return np.fromstring(numbers or "", np.int64, sep=",")

    def word_counts(self) -> Mapping[int, int]:
        """FTS5 keeps how many words stand in each column, in its table of sizes."""
        return {item: _sum_of(sizes) for item, sizes in self.rows("SELECT id, sz FROM words_docsize")}

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        return Tokenizer()

    def standing(self, items: Sequence[int], terms: Sequence[str]) -> dict[int, Standing]:
        marks = ",".join("?" * len(items))
        rows = self.rows(f"SELECT rowid, {', '.join(COLUMNS)} FROM words WHERE rowid IN ({marks})", items)
        return self._tokenizer.standing([(item, texts) for item, *texts in rows], items, terms)

    # --------------------------------------------------------------------------------------------------------- vectors

    def stored(self, vector: NDArray[np.float32]) -> bytes:
        return vector.astype("<f2").tobytes()

    def vectors(self, space: int, kind: Kind) -> Vectors:
        return open_matrix(self.connection, self.path, space, kind)

    def settle(self, space: int) -> None:
        """The indexes of matrices that have become large; the matrices are brought up when they are opened."""
        for kind in KINDS:
            bring_up_index(self.connection, self.path, space, kind)


def _sum_of(sizes: bytes) -> int:
    """The sum of numbers in SQLite's variable length: seven bits a byte, the highest says that more follow."""
    total = number = 0
    for byte in sizes:
        number = number << 7 | byte & 0x7F
        if byte < 0x80:
            total, number = total + number, 0
    return total
