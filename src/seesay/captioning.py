"""Captions of many pictures, in this process or by the workers of a Ray cluster."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from seesay.batches import Told, tell_pictures
from seesay.cluster import on_ray
from seesay.errors import ImageError, UsageError
from seesay.images.reading import is_address, is_inline
from seesay.images.sources import natural, pictures
from seesay.images.tables import TABLES
from seesay.images.tars import TARS
from seesay.records import Caption

if TYPE_CHECKING:
    from seesay.describe import CaptionOptions, Describer
    from seesay.images.sources import Picture


def caption_pictures(
    model: Describer,
    pictures: Iterable[Picture],
    options: CaptionOptions,
    *,
    batch_size: int = 8,
    wanted: Callable[[str], bool] = lambda name: True,
) -> Iterator[Told[Caption]]:
    """The caption of every picture that is wanted, in order, or the error that says why it has none; as
    `batches.tell_pictures`."""
    tell = partial(model.captions, options=options)
    return tell_pictures(tell, pictures, batch_size=batch_size, wanted=wanted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How sources are read, as for `images.sources.pictures`, and how many pictures are told of at a time."""

    column: str | None = None
    frames: int | None = None
    allow_private: bool = False
    batch_size: int = 8


@dataclass(frozen=True, slots=True)
class _Source:
    """A source by its name here, and by the one that workers elsewhere know."""

    given: str
    absolute: str

    def name_here(self, name: str) -> str:
        """What a picture of this source would be called here."""
        given, absolute = (one.partition("::")[0] for one in (self.given, self.absolute))
        return given + name.removeprefix(absolute) if name.startswith(absolute) else name


class Worker:
    """Has the model, and captions the pictures of one piece after another."""

    def __init__(self, load: Callable[[], Describer], options: CaptionOptions, reading: Reading) -> None:
        self._model = load()
        self._options = options
        self._reading = reading

    def __call__(self, piece: Sequence[_Source]) -> list[Told[Caption]]:
        reading = self._reading
        named = (
            replace(picture, name=source.name_here(picture.name))
            for source in piece
            for picture in pictures(
                source.absolute, column=reading.column, frames=reading.frames, allow_private=reading.allow_private
            )
        )
        return list(caption_pictures(self._model, named, self._options, batch_size=reading.batch_size))


def caption_on_ray(
    load: Callable[[], Describer],
    sources: Sequence[str],
    options: CaptionOptions,
    address: str,
    *,
    reading: Reading | None = None,
    workers: int = 2,
    threads: int = 1,
    wanted: Callable[[str], bool] = lambda name: True,
) -> Iterator[Told[Caption]]:
    """The captions of all pictures of the sources, in the order in which pieces are finished (`cluster.on_ray`).

    Files are sent to workers by name, some at a time; a tar or a table is one piece. All workers must see them at the
    same place. `load` gives the model, and is pickled. Raises UsageError for standard input, which they do not see.
    """
    reading = reading or Reading()
    refused: list[Told[Caption]] = []
    pieces = list(_pieces(sources, 4 * reading.batch_size, _Filter(wanted, refused, every=reading.frames is not None)))
    yield from refused
    make = partial(Worker, load, options, reading)
    for told in on_ray(make, pieces, address, workers=workers, threads=threads):
        for one in told:
            try:
                if wanted(one.name):
                    yield one
            except ImageError as error:
                yield Told(one.name, error)


@dataclass(frozen=True, slots=True)
class _Filter:
    """Which names are sent to workers. One that is refused becomes a result at once."""

    wanted: Callable[[str], bool]
    refused: list[Told[Caption]]
    every: bool
    """Names of frames are only known where they are read."""

    def sends(self, name: str) -> bool:
        if self.every and not is_address(name):
            return True
        try:
            return self.wanted(name) or self.every
        except ImageError as error:
            self.refused.append(Told(name, error))
            return False


def _pieces(sources: Sequence[str], size: int, which: _Filter) -> Iterator[list[_Source]]:
    expanded = [one for source in sources for one in _expanded(source)]
    files = _files(expanded, which)
    while some := list(islice(files, size)):
        yield some
    for source in filter(_is_whole, expanded):
        path, *column = source.split("::")
        yield [_Source(source, "::".join([os.path.abspath(path), *column]))]


def _expanded(source: str) -> list[str]:
    """The files that a pattern names, where there are tars or tables among them; any other source as it is."""
    if not glob.has_magic(source) or os.path.lexists(source) or is_address(source):
        return [source]
    found = sorted(glob.glob(source, recursive=True), key=natural)
    return found if any(map(_is_whole, found)) else [source]


def _files(sources: Sequence[str], which: _Filter) -> Iterator[_Source]:
    """Single pictures, those in folders and patterns by their own names."""
    for source in sources:
        if source == "-" or is_inline(source):
            raise UsageError("Workers elsewhere do not see what is given here", "Name files, folders or shards.")
        if is_address(source) and which.sends(source):
            yield _Source(source, source)
        elif not is_address(source) and not _is_whole(source):
            names = (picture.name for picture in pictures(source))
            yield from (_Source(name, os.path.abspath(name)) for name in names if which.sends(name))


def _is_whole(source: str) -> bool:
    """Whether it is read as one: a tar or a table."""
    path = source.partition("::")[0]
    return os.path.isfile(path) and path.lower().endswith((*TARS, *TABLES))
