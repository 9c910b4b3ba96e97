"""The seam between a library and where it is kept: SQL that SQLite and PostgreSQL both speak, and by methods what each
does in its own way: transactions, full-text search and vectors.

Queries are written with `?` for values. Full-text search is FTS5's on both sides: its tokenizer, and its way to say
which words stand where (`words`).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Kind = Literal["image", "caption"]
"""Of a vector."""
KINDS: tuple[Kind, ...] = ("image", "caption")
Standing = tuple[Mapping[str, tuple[str, ...]], tuple[str, ...]]
"""The words found in an item, by column and as they stand there; and those that stand nowhere."""


class Result(Protocol):
    """What a statement gave."""

    @property
    def rowcount(self) -> int: ...

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...

    def __iter__(self) -> Iterator[Any]: ...


class Run(Protocol):
    """What statements are run by."""

    def execute(self, query: str, values: Sequence[Any] = (), /) -> Result: ...

    def executemany(self, query: str, values: Iterable[Sequence[Any]], /) -> object: ...


class Nearest(Protocol):
    """The vectors of one kind in one space."""

    def __len__(self) -> int: ...

    def nearest(self, query: NDArray[np.float32], count: int, allowed: NDArray[np.int64]) -> list[tuple[int, float]]:
        """The `count` items nearest to the vector with their cosines, best first, of those `allowed` (sorted)."""

    def of(self, items: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Those of the items that have a vector, and the vectors, (found, dimension)."""


class Database(Protocol):
    """Where a library is kept; for one thread at a time."""

    name: str
    """What messages call it; no password is in it."""

    @property
    def connection(self) -> Run: ...

    @property
    def version(self) -> Hashable:
        """Another value after every change, whoever made it."""

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        """All rows of a query."""

    def writing(self) -> AbstractContextManager[Run]:
        """A transaction that other writers wait for; all of it happens, or nothing."""

    def reading(self) -> AbstractContextManager[Run]:
        """A transaction in which everything is as it was at its beginning, whatever others write."""

    def put_words(self, run: Run, item: int, texts: Sequence[str]) -> None:
        """What full-text search reads of an item, column by column; within `writing`."""

    def items_with(self, term: str) -> NDArray[np.int64]:
        """Items in which a quoted word or phrase stands, in any order."""

    def word_counts(self) -> Mapping[int, int]:
        """How many words stand in each item."""

    def standing(self, items: Sequence[int], terms: Sequence[str]) -> dict[int, Standing]:
        """Where the terms stand in these items."""

    def stored(self, vector: NDArray[np.float32]) -> Any:
        """The value that keeps a vector, as float16; what comes back of it are the bytes, little end first."""

    def vectors(self, space: int, kind: Kind) -> Nearest: ...

    def settle(self, space: int) -> None:
        """After a run that told of pictures: what makes searching fast may be made now."""

    def renumber(self) -> None:
        """After rows came with their numbers: new ones get numbers behind them."""

    def close(self) -> None: ...
