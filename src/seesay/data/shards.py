"""WebDataset: tars in which the files of one sample follow each other and share a name up to its first dot.

img2dataset writes them, and so does `seesay.data.open_writer`. A sample is a picture (`000.jpg`), and beside it its
captions (`000.txt`, one a line), its class (`000.cls`) or all fields as JSON (`000.json`), which has the last word.
"""

from __future__ import annotations

import glob
import json
import os
import posixpath
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path

from seesay.data.example import Example, Report, log_broken
from seesay.data.fields import Taken, to_example
from seesay.errors import DataError, ImageError
from seesay.images.formats import EXTENSIONS
from seesay.images.limits import DEFAULT_LIMITS
from seesay.images.sources import natural
from seesay.images.tars import TARS, members

CAPTION_SUFFIXES = ("caption", "txt")
"""Of the file beside a picture that holds its captions, one a line."""
BESIDE = frozenset({*CAPTION_SUFFIXES, "json", "cls"})
"""Suffixes that are read beside a picture."""


def read_shards(shards: str | Path | Sequence[Path], report: Report = log_broken) -> Iterator[Example]:
    """Examples of WebDataset shards, one after another in constant memory: one sample's bytes are all that is held.

    `shards` is what `shard_paths` takes, or a list of tars. What is broken is reported with its place: a sample without
    a picture, with damaged JSON, or one that img2dataset failed to download is skipped; a tar that breaks off is left
    for the next.
    """
    for shard in shard_paths(shards) if isinstance(shards, str | Path) else shards:
        for sample in _samples(shard, report):
            try:
                yield sample.example()
            except DataError as error:
                report(error)


def shard_paths(shards: str | Path) -> list[Path]:
    """The tars that a name stands for, in natural order: a file, `shard-{000..009}.tar`, a glob, or a folder of tars.

    Raises DataError where one that braces name is missing, or none is there.
    """
    pattern = str(shards)
    if Path(pattern).is_dir():
        found = [str(path) for path in Path(pattern).iterdir() if path.name.lower().endswith(TARS)]
    else:
        names = [pattern] if Path(pattern).is_file() else expand_braces(pattern)
        found = [path for name in names for path in matching(name)]
        if missing := [path for path in found if not Path(path).is_file()]:
            raise DataError(f"{missing[0]}: no such shard", "check the name, or the range in braces")
    if not found:
        raise DataError(f"{pattern}: no shards there", "name tars: shard-{000..009}.tar, shard-*.tar, or their folder")
    return [Path(path) for path in sorted(found, key=natural)]


def matching(pattern: str) -> list[str]:
    """What a glob finds, in natural order. A name that is no pattern, or of a file or folder, stands for itself."""
    if not glob.has_magic(pattern) or os.path.lexists(pattern):
        return [pattern]
    folder, name = os.path.split(pattern)
    if os.path.isdir(folder):
        folder = glob.escape(folder)
    return sorted(glob.glob(os.path.join(folder, name), recursive=True), key=natural)


def expand_braces(pattern: str) -> list[str]:
    """All names that `{000..009}` and `{train,val}` in a pattern stand for, in order."""
    pieces = re.split(r"\{([^{}]*(?:,|\.\.)[^{}]*)\}", pattern)
    choices = [_choices(piece) if index % 2 else [piece] for index, piece in enumerate(pieces)]
    return ["".join(chosen) for chosen in product(*choices)]


def _choices(braced: str) -> list[str]:
    if not (limits := re.fullmatch(r"(\d+)\.\.(\d+)", braced)):
        return braced.split(",")
    first, last = limits.groups()
    width = len(first) if first.startswith("0") else 0
    return [f"{number:0{width}}" for number in range(int(first), int(last) + 1)]


def of_files(name: str, image: Path | bytes, beside: Mapping[str, bytes], place: str) -> Example:
    """The example of a picture and of the files that share its name, by suffix, in a tar or in a folder.

    Raises DataError for those that cannot be read.
    """
    try:
        row = json.loads(beside["json"]) if "json" in beside else {}
        lines = {
            suffix: tuple(line.strip() for line in data.decode("utf-8-sig").splitlines() if line.strip())
            for suffix, data in beside.items()
            if suffix != "json"
        }
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{place}: the text or JSON beside it is damaged ({error})", "write it again, in UTF-8"
        ) from error
    if not isinstance(row, dict):
        raise DataError(f"{place}: its JSON is a {type(row).__name__}", "write an object of fields")
    fields = Taken(row)
    if row.get("key") == posixpath.basename(name).partition(".")[0]:
        fields.take("key")  # img2dataset repeats the file's name there
    example = to_example(fields, name, image, place)
    captions = next((lines[suffix] for suffix in CAPTION_SUFFIXES if suffix in lines), ())
    return replace(example, captions=example.captions or captions, labels=example.labels or lines.get("cls", ()))


@dataclass(slots=True)
class _Sample:
    """The files of one key, as they come out of the tar."""

    shard: Path
    key: str
    picture: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    broken: str = ""

    def add(self, name: str, suffix: str, size: int, read: Callable[[], bytes]) -> None:
        """Keep a file if it is one of those that count; the picture under its suffix alone before `000.seg.png`."""
        is_picture = f".{suffix.rpartition('.')[2]}" in EXTENSIONS
        if not is_picture and suffix not in BESIDE:
            return
        if is_picture and self.picture and "." in suffix:
            return
        if suffix in self.files:
            self.broken = f"a second {suffix}"
            return
        try:
            DEFAULT_LIMITS.check_bytes(size)
        except ImageError as error:
            self.broken = str(error)
            return
        self.files[suffix] = read()
        if is_picture:
            self.picture = name

    def example(self) -> Example:
        place = f"{self.shard}/{self.picture or self.key}"
        if self.broken:
            raise DataError(f"{place}: {self.broken}", "write the sample again")
        if not self.picture:
            raise DataError(f"{place}: a sample without a picture", "leave it out")
        suffix = split_name(self.picture)[1]
        beside = {name: data for name, data in self.files.items() if name in BESIDE}
        return of_files(self.picture, self.files[suffix], beside, place)


def split_name(name: str) -> tuple[str, str]:
    """A member's key and its suffix in small letters, without the dot between: WebDataset splits at the first one."""
    folder, base = posixpath.split(name)
    stem, _, suffix = base.partition(".")
    return posixpath.join(folder, stem), suffix.lower()


def _samples(shard: Path, report: Report) -> Iterator[_Sample]:
    """The samples of a tar. Passed over: hidden files, and names between double underscores, as WebDataset does."""
    sample = None
    try:
        for name, size, read in members(shard):
            key, suffix = split_name(name)
            if posixpath.basename(name).startswith(".") or re.match(r"__[^/]*__($|/)", name):
                continue
            if sample is None or key != sample.key:
                if sample:
                    yield sample
                sample = _Sample(shard, key)
            sample.add(name, suffix, size, read)
    except ImageError as error:
        report(DataError(str(error), error.remedy))
        sample = None  # it may lack files
    if sample:
        yield sample
