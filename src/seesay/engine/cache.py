"""Converted models on disk: made once, whole or not at all, and noticed when damaged.

A conversion lies in `cache/<key>/` with a manifest of its files. It is written to a temporary folder beside and renamed
into place, so that a reader never sees half of one, whatever is killed when. Two processes that convert the same model
at once both do the work; the first rename wins, and what they made is the same.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import random
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from seesay.errors import ModelError

_MANIFEST = "manifest.json"
_BLOCK = 1 << 20
_UNUSED_DAYS = 30
_STALE_TEMPORARY_HOURS = 24

log = logging.getLogger(__name__)


def converted(cache: Path, key: str, convert: Callable[[Path], None]) -> Path:
    """The folder with the files that `convert` writes into the folder it is given; converted now unless it is there.

    Raises ModelError where the cache cannot be written: its disk is full, or its permissions forbid it.
    """
    place = cache / key
    if _sound(place):
        _touch(place)
        return place
    damaged = os.path.exists(place)  # unlike Path.exists, also in a folder that may not be entered
    if damaged:
        log.warning("The converted model in %s is damaged; converting it again", place)
    _publish(place, convert, damaged)
    return place


def _publish(place: Path, convert: Callable[[Path], None], replace: bool) -> None:
    """Convert into a temporary folder and rename it to `place`, which another process may have filled meanwhile."""
    temporary = None
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        _sweep(place.parent)
        temporary = Path(tempfile.mkdtemp(prefix=".converting-", dir=place.parent))
        convert(temporary)
        _write_manifest(temporary)
        if replace:  # moved aside, since another process may have it open, and deleted below
            with suppress(FileNotFoundError):
                os.rename(place, temporary.with_name(f"{temporary.name}-damaged"))
        try:
            os.rename(temporary, place)
        except OSError:
            if not _sound(place):
                raise
    except OSError as error:
        raise ModelError(
            f"The converted model cannot be stored in {place.parent}: {error.strerror or error}",
            "Free some space there, or name another folder in SEESAY_CACHE."
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
            else "Name a folder that you may write to in SEESAY_CACHE.",
        ) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
            shutil.rmtree(temporary.with_name(f"{temporary.name}-damaged"), ignore_errors=True)


def _write_manifest(folder: Path) -> None:
    files = {}
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            os.fsync(file.fileno())  # the rename must not reach the disk before the data
            blocks = [zlib.crc32(block) for block in iter(lambda: file.read(_BLOCK), b"")]
        stat = path.stat()
        files[path.name] = {"size": stat.st_size, "modified": stat.st_mtime_ns, "blocks": blocks}
    (folder / _MANIFEST).write_text(json.dumps(files), encoding="utf-8")


def _sound(folder: Path) -> bool:
    """Whether the files are those of the manifest, at a cost that a start can bear.

    Each file's size and time of change are compared; where the time differs (something wrote to it, or it was copied)
    the whole file is read and compared, otherwise one block at random. So what a program does to a file is noticed at
    once; a bit that the disk itself loses is noticed sooner or later. Checksums are for accidents: whoever can write
    here can also write the manifest.
    """
    try:
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        return bool(manifest) and all(_same(folder / name, **entry) for name, entry in manifest.items())
    except (OSError, ValueError, TypeError, AttributeError):
        return False


def _same(path: Path, size: int, modified: int, blocks: list[int]) -> bool:
    stat = path.stat()
    if stat.st_size != size:
        return False
    wanted = range(len(blocks))
    if stat.st_mtime_ns == modified and len(blocks) > 1:
        wanted = range(chosen := random.randrange(len(blocks)), chosen + 1)
    with path.open("rb") as file:
        for i in wanted:
            file.seek(i * _BLOCK)
            if zlib.crc32(file.read(_BLOCK)) != blocks[i]:
                return False
    return True


def _touch(folder: Path) -> None:
    """Remember that the conversion was used; a cache that cannot be written is fine."""
    try:
        os.utime(folder / _MANIFEST)
    except OSError:
        log.debug("Could not note the use of %s", folder)


def _sweep(cache: Path) -> None:
    """Remove conversions that nobody used for a month, and what killed conversions left behind."""
    now = time.time()
    for folder in cache.iterdir():
        try:
            if folder.name.startswith(".converting-"):
                old = now - folder.stat().st_mtime > _STALE_TEMPORARY_HOURS * 3600
            else:
                old = now - (folder / _MANIFEST).stat().st_mtime > _UNUSED_DAYS * 86400
        except OSError:
            continue  # not a conversion, or gone meanwhile
        if old:
            shutil.rmtree(folder, ignore_errors=True)
