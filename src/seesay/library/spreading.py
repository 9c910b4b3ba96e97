"""A library filled by the workers of a Ray cluster, which all see the photographs and the library's database.

Each worker takes a few files at a time and claims them in the name of the piece, so that whoever gets the piece of a
worker that died has its claims too. A library in a file serves workers of one machine; for several it takes PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from seesay.cluster import on_ray
from seesay.describe import Describer
from seesay.library.indexing import Event, Indexer
from seesay.library.scan import FoundFile, Scan
from seesay.library.store import Library

if TYPE_CHECKING:
    from seesay.ocr import Reader


@dataclass(frozen=True, slots=True)
class _Piece:
    owner: str
    files: Sequence[FoundFile]


@dataclass(frozen=True, slots=True, kw_only=True)
class Indexing:
    """How workers index; each field as for `Indexer`."""

    batch_size: int = 8
    read_text: bool = False
    recaption: bool = False
    retry: bool = False
    every: float = 2.0


class Worker:
    """Has the model, and takes one piece after another, each with a connection of its own: Ray's calls come in threads
    of its choice."""

    def __init__(self, place: str | Path, load: Callable[[], Describer], how: Indexing, threads: int) -> None:
        self._place = place
        self._model = load()
        self._how = how
        self._reader = reader(how, threads)

    def __call__(self, piece: _Piece) -> list[Event]:
        with Library(self._place) as library:
            library.owner = piece.owner
            return list(indexer(library, self._model, self._how, self._reader).take(piece.files))


def reader(how: Indexing, threads: int | None) -> Reader | None:
    """What reads the text in photographs, where it is to be read."""
    if not how.read_text:
        return None
    from seesay.ocr import Reader

    return Reader(threads)


def indexer(library: Library, model: Describer, how: Indexing, reads: Reader | None) -> Indexer:
    """An Indexer that does so."""
    return Indexer(
        library,
        model,
        reader=reads,
        batch_size=how.batch_size,
        recaption=how.recaption,
        retry=how.retry,
        every=how.every,
    )


def index_on_ray(
    place: str | Path,
    load: Callable[[], Describer],
    found: Scan,
    address: str,
    *,
    how: Indexing | None = None,
    workers: int = 2,
    threads: int = 1,
) -> Iterator[Event]:
    """As `Indexer.index`, on a cluster (`cluster.on_ray`), in the order in which pieces are finished.

    `place`: the library, by a name that all workers know. `load` gives the model, and is pickled.
    """
    how = how or Indexing()
    job = uuid4().hex
    step = 4 * how.batch_size
    pieces = [
        _Piece(f"ray {job}:{at}:0", found.files[at : at + step])  # a claim's owner has three parts
        for at in range(0, len(found.files), step)
    ]
    with Library(place) as library:
        here = indexer(library, load(), how, reader(how, threads))
        yield from here.begin(found)
        make = partial(Worker, place, load, how, threads)
        for events in on_ray(make, pieces, address, workers=workers, threads=threads):
            yield from events
        here.finish()
