"""What a command line names, one picture after another: files, folders, globs, addresses, tars, tables, animations."""

from __future__ import annotations

import glob
import hashlib
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, cast

from seesay.errors import ImageError, ImageNotFound, ImageUnreadable, UsageError
from seesay.images.decode import Animation, decode
from seesay.images.formats import EXTENSIONS, SNIFFED, sniff
from seesay.images.limits import DEFAULT_LIMITS, Limits
from seesay.images.reading import is_address, is_inline, read_bytes
from seesay.images.tables import TABLES, cells
from seesay.images.tars import TARS, members

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, slots=True)
class Loaded:
    """A picture's encoded bytes: they can be told apart before they are decoded."""

    data: bytes = field(repr=False)
    limits: Limits = DEFAULT_LIMITS
    frame: int = 0
    animation: Animation | None = field(default=None, repr=False, compare=False)

    @property
    def key(self) -> str:
        """Equal for equal pictures, whatever they are called: SHA-256 of the bytes; "#12" follows for a later frame."""
        digest = hashlib.sha256(self.data).hexdigest()
        return f"{digest}#{self.frame}" if self.frame else digest

    def open(self, side: int | None = None) -> Image:
        """Upright RGB; `side` and errors as in `decode`."""
        if self.animation:
            return self.animation.frame(self.frame, side)
        return decode(self.data, limits=self.limits, side=side)


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that was named and not yet looked at."""

    name: str
    """Its key in outputs, the same in every run: "photos/cat.jpg", "shard.tar/000012.jpg", "a.gif#12", "t.csv#3"."""
    load: Callable[[], Loaded] = field(repr=False)
    """Reads the bytes, or raises the ImageError that says why this picture is missing or broken."""


def pictures(
    sources: str | Path | Iterable[str | Path],
    *,
    column: str | None = None,
    frames: int | None = None,
    limits: Limits = DEFAULT_LIMITS,
    allow_private: bool = False,
    stdin: BufferedReader | None = None,
) -> Iterator[Picture]:
    """Every picture that the sources name, in a stable order and in constant memory.

    A source is a file; a folder (searched through, names in natural order, hidden names and other extensions left out);
    a glob pattern ("**" crosses folders); "-" for standard input, which holds one picture's bytes or sources line by
    line; an http(s) address, a data: URI or base64; a tar, also compressed (WebDataset); or a table (.csv .tsv .jsonl
    .parquet) with a column of paths, addresses, data: URIs, base64 or bytes, named by `photos.csv::column` or `column`,
    else the first that has a usual name; relative paths in it start at the table's folder. `frames`: take every Nth
    frame of animations and pages of TIFFs, not only the first.

    A missing or broken picture is yielded like any other, and its `load` raises ImageError: one bad picture never stops
    a batch. Pictures out of tars, Parquet and animations hold their bytes: drop each before drawing the next.
    """
    if frames is not None and frames < 1:
        raise UsageError(f"every {frames}th frame makes no sense", "1 takes every frame, 2 every second")
    sources = [sources] if isinstance(sources, (str, Path)) else sources
    expansion = _Expansion(column, limits, allow_private, stdin)
    for source in sources:
        for picture in expansion.expand(str(source)):
            yield from [picture] if frames is None else _frames(picture, frames)


def natural(name: str) -> tuple[list[int | str], str]:
    """Sort key by which "photo10" comes after "photo9"."""
    pieces = re.split(r"(\d+)", name.lower())  # texts and numbers take turns, so like meets like
    return [int(piece) if index % 2 else piece for index, piece in enumerate(pieces)], name


def failing(name: str, error: ImageError) -> Picture:
    """A picture whose loading raises the error."""

    def load() -> Loaded:
        raise error

    return Picture(name, load)


def _frames(picture: Picture, every: int) -> Iterator[Picture]:
    try:
        loaded = picture.load()
        animation = Animation(loaded.data, loaded.limits)
    except ImageError as error:
        yield failing(picture.name, error)
        return
    if animation.frames == 1:
        yield Picture(picture.name, lambda: loaded)
        return
    for frame in range(0, animation.frames, every):
        yield Picture(f"{picture.name}#{frame}", partial(Loaded, loaded.data, loaded.limits, frame, animation))


@dataclass(frozen=True, slots=True)
class _Expansion:
    """What turning any source into pictures needs to know."""

    column: str | None
    limits: Limits
    allow_private: bool
    stdin: BufferedReader | None

    def expand(self, source: str) -> Iterator[Picture]:
        """The pictures of one source."""
        path, _, column = source.partition("::")
        if source == "-":
            yield from self._standard_input()
        elif is_inline(source):
            digest = hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()
            yield self._one(source, name=f"{source[:32]}...{digest[:12]}")
        elif is_address(source):
            yield self._one(source)
        elif Path(path).suffix.lower() in TABLES and os.path.isfile(path):
            yield from self._table(Path(path), column or self.column)
        elif os.path.isdir(source):
            yield from self._folder(source)
        elif source.lower().endswith(TARS) and os.path.isfile(source):
            yield from self._tar(source)
        elif glob.has_magic(source) and not os.path.lexists(source):
            yield from self._glob(source)
        else:
            yield self._one(source)

    def _one(self, source: str, name: str = "") -> Picture:
        """The picture behind a path, an address, a data: URI or base64, not read yet."""

        def load() -> Loaded:
            return Loaded(read_bytes(source, limits=self.limits, allow_private=self.allow_private), self.limits)

        return Picture(name or source, load)

    def _held(self, data: bytes, name: str) -> Picture:
        """A picture whose bytes are here already."""
        try:
            self.limits.check_bytes(len(data))
        except ImageError as error:
            return failing(name, error)
        return Picture(name, partial(Loaded, data, self.limits))

    def _standard_input(self) -> Iterator[Picture]:
        stdin = self.stdin or cast(BufferedReader, sys.stdin.buffer)
        head = stdin.peek(SNIFFED)[:SNIFFED]  # consumes nothing, and waits for no more than the first write
        if sniff(head) or b"\0" in head:
            yield self._held(stdin.read(self.limits.bytes + 1), "-")
            return
        if not head:
            yield failing("-", ImageNotFound("standard input is empty", "pipe in a picture, or paths line by line"))
        for line in stdin:
            source = os.fsdecode(line).rstrip("\r\n")
            if source == "-":
                yield self._one(source)  # a file of that name; standard input is being read already
            elif source:
                yield from self.expand(source)

    def _folder(self, folder: str) -> Iterator[Picture]:
        found = self._files_below(folder)
        first = next(found, None)
        if first is None:
            first = failing(folder, ImageNotFound(f"no pictures in {folder}", "name a folder that holds pictures"))
        yield first
        yield from found

    def _files_below(self, folder: str) -> Iterator[Picture]:
        """A folder's files, then its folders. Linked folders are not entered: they may lead in a circle."""
        try:
            with os.scandir(folder) as entries:
                visible = sorted((e for e in entries if not e.name.startswith(".")), key=lambda e: natural(e.name))
        except OSError as error:
            message = f"cannot list {folder}: {error.strerror}"
            yield failing(folder, ImageNotFound(message, "check its permissions"))
            return
        for entry in visible:
            if _is_picture_name(entry.name) and entry.is_file():
                yield self._one(entry.path)
        for entry in visible:
            if entry.is_dir(follow_symlinks=False):
                yield from self._files_below(entry.path)

    def _glob(self, pattern: str) -> Iterator[Picture]:
        """Files that match. Where the pattern leaves the extension open, it means pictures, as a folder does."""
        open_ended = glob.has_magic(Path(pattern).suffix) or not Path(pattern).suffix
        empty = True
        for path in sorted(glob.iglob(pattern, recursive=True), key=natural):
            if os.path.isfile(path) and (_is_picture_name(path) or not open_ended):
                empty = False
                yield from self.expand(path)
        if empty:
            yield failing(pattern, ImageNotFound(f"no picture matches {pattern}", "check the pattern"))

    def _tar(self, path: str) -> Iterator[Picture]:
        empty = True
        try:
            for name, size, read in members(path):
                if _is_picture_name(name):
                    empty = False
                    yield self._member(f"{path}/{name}", size, read)
        except ImageError as error:
            yield failing(path, error)
        else:
            if empty:
                yield failing(path, ImageNotFound(f"no pictures in {path}", "name a tar that holds pictures"))

    def _member(self, name: str, size: int, read: Callable[[], bytes]) -> Picture:
        try:
            self.limits.check_bytes(size)
        except ImageError as error:
            return failing(name, error)
        return self._held(read(), name)

    def _table(self, path: Path, column: str | None) -> Iterator[Picture]:
        for place, value in cells(path, column, self.limits):
            yield self._cell(path.parent, place, value)

    def _cell(self, folder: Path, place: str, value: object) -> Picture:
        """The picture in a table's cell: text, bytes, or Hugging Face's {"bytes": ..., "path": ...}."""
        match value:
            case ImageError():
                return failing(place, value)
            case bytes() if value:
                return self._held(value, place)
            case {"bytes": bytes() | str() as inner} if inner:
                return self._cell(folder, place, inner)
            case {"path": str() as inner} | {"url": str() as inner}:
                return self._cell(folder, place, inner)
            case str() if is_inline(value.strip()):
                return self._one(value.strip(), name=place)
            case str() if is_address(value.strip()):
                return self._one(value.strip())
            case str() if value.strip():
                return self._one(str(folder / value.strip()))
            case None | "" | b"" | str():
                return failing(place, ImageNotFound(f"{place} is empty", "fill the cell, or leave the row out"))
            case _:
                message = f"{place} holds a {type(value).__name__}, not a picture"
                return failing(place, ImageUnreadable(message, "store a path, an address, base64 or bytes"))


def _is_picture_name(path: str) -> bool:
    base = os.path.basename(path)
    return not base.startswith(".") and os.path.splitext(base)[1].lower() in EXTENSIONS
