"""What lies in folders: photographs and videos, by name, size and time, and what their bytes are called."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from seesay.errors import ImageNotFound
from seesay.images.formats import EXTENSIONS
from seesay.images.sources import natural

Kind = Literal["photo", "video"]
VIDEOS = frozenset({".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".3gp", ".mts", ".m2ts", ".mpg", ".mpeg", ".wmv"})
"""File names that are taken for videos."""
LATEST = 2**63 - 1
"""The largest number that a database takes."""


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file that was seen in a folder, not opened yet."""

    path: Path
    kind: Kind
    size: int
    modified: int
    """Nanoseconds."""
    sidecar: int = 0
    """When the XMP file beside it was modified; 0 where there is none."""


@dataclass(frozen=True, slots=True)
class Scan:
    """What lies in some folders now."""

    folders: tuple[Path, ...]
    files: tuple[FoundFile, ...]
    unreadable: tuple[Path, ...]
    """Folders that could not be listed: what was known of them stays known."""
    videos: bool = True

    def covers(self, path: Path) -> bool:
        """Whether the scan would have seen the file, were it there."""
        if not self.videos and kind_of(path.name) == "video":
            return False
        within = any(path.is_relative_to(folder) for folder in self.folders)
        return within and not any(path.is_relative_to(folder) for folder in self.unreadable)


def scan(folders: Iterable[Path], *, videos: bool = True) -> Scan:
    """All photographs (and videos) below the folders, in natural order; hidden names are left out, linked folders are
    not entered. A folder that is not there, as where a disk is not plugged in, counts as unreadable."""
    roots = tuple(dict.fromkeys(Path(os.path.abspath(folder)) for folder in folders))
    unreadable: list[Path] = []
    found = {file.path: file for root in roots for file in _below(root, videos, unreadable)}
    return Scan(roots, tuple(found.values()), tuple(unreadable), videos)


def _below(folder: Path, videos: bool, unreadable: list[Path]) -> Iterator[FoundFile]:
    try:
        with os.scandir(folder) as entries:
            visible = sorted((e for e in entries if not e.name.startswith(".")), key=lambda e: natural(e.name))
    except OSError:
        unreadable.append(folder)
        return
    sidecars = {entry.name: entry for entry in visible if entry.name.lower().endswith(".xmp")}
    for entry in visible:
        kind = kind_of(entry.name)
        if kind and (videos or kind == "photo"):
            try:
                if entry.is_file():
                    yield _found(entry, kind, sidecars)
            except OSError:
                continue  # gone meanwhile
    for entry in visible:
        if entry.is_dir(follow_symlinks=False):
            yield from _below(Path(entry.path), videos, unreadable)


def kind_of(name: str) -> Kind | None:
    """By the end of the name."""
    suffix = os.path.splitext(name)[1].lower()
    return "photo" if suffix in EXTENSIONS else "video" if suffix in VIDEOS else None


def _found(entry: os.DirEntry[str], kind: Kind, sidecars: dict[str, os.DirEntry[str]]) -> FoundFile:
    known = entry.stat()
    beside = (modified(sidecars[name]) for name in sidecar_names(entry.name) if name in sidecars)
    return FoundFile(Path(entry.path), kind, known.st_size, modified(entry), next((when for when in beside if when), 0))


def modified(file: Path | os.DirEntry[str]) -> int:
    """When it was modified, in nanoseconds, as far as 64 bits go (the years 1677 to 2262); 0 for what is not there."""
    try:
        return max(-LATEST, min(file.stat().st_mtime_ns, LATEST))
    except OSError:
        return 0


def sidecar_names(name: str) -> tuple[str, ...]:
    """What an XMP file beside a photograph may be called: as digiKam and darktable do, and as Adobe does."""
    return tuple(f"{start}{end}" for start in (name, os.path.splitext(name)[0]) for end in (".xmp", ".XMP"))


def sidecar_of(path: Path) -> Path | None:
    """The XMP file beside a photograph, where there is one."""
    beside = (path.with_name(name) for name in sidecar_names(path.name))
    return next((one for one in beside if one.is_file()), None)


def sidecar_to_write(path: Path) -> Path:
    """The XMP file beside a photograph, where it is that one's alone; else the one to make."""
    own, beside = path.with_name(f"{path.name}.xmp"), sidecar_of(path)
    if beside is None or beside.stem == path.name:
        return beside or own
    names = (os.path.splitext(name) for name in os.listdir(path.parent) if kind_of(name) == "photo")
    return beside if sum(stem == path.stem for stem, _ in names) == 1 else own


def digest_of(path: Path) -> str:
    """SHA-256 of a file, read piece by piece. Raises ImageNotFound."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ImageNotFound(f"cannot read {path}: {error.strerror}", "check its permissions") from error
