"""The members of a tar, one after another, in constant memory whatever its size and whatever is wrong with it."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

from seesay.errors import ImageUnreadable

if TYPE_CHECKING:
    from tarfile import TarFile, TarInfo

TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


def members(path: str | Path) -> Iterator[tuple[str, int, Callable[[], bytes]]]:
    """Each file in a tar, also a compressed one: its name, its size, and what reads it while it is the current one.

    That, and going on to the next, raises ImageUnreadable where the tar breaks off; what came before is good.
    """
    import tarfile

    with _damage_told(path), _Finite(path) as file, tarfile.open(fileobj=file, mode="r|*") as tar:  # "|": as a stream
        while (member := tar.next()) is not None:
            tar.members.clear()  # type: ignore[attr-defined]  # TarFile remembers each header until it closes
            if member.isfile():  # `tar c .` writes ./000.jpg
                yield posixpath.normpath(member.name), member.size, partial(_contents, path, tar, member)


def _contents(path: str | Path, tar: TarFile, member: TarInfo) -> bytes:
    with _damage_told(path):
        contents = tar.extractfile(member)
        assert contents is not None  # only links and folders have none
        return contents.read()


@contextmanager
def _damage_told(path: str | Path) -> Iterator[None]:
    import tarfile
    from lzma import LZMAError
    from zlib import error as ZlibError  # it is an exception

    try:
        yield
    except (tarfile.TarError, OSError, EOFError, ZlibError, LZMAError) as error:
        message = f"truncated or damaged tar {path} ({error})"
        raise ImageUnreadable(message, "copy or download it again; what came before is good") from error


class _Finite(FileIO):
    """A file that raises EOFError once it has been read a hundred times past its end.

    tarfile passes over a member by reading as many blocks as its header states, also past the end of the file: one
    damaged or forged size would keep it busy for years.
    """

    _patience = 100

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self._patience -= not data
        if self._patience < 0:
            raise EOFError("it ends within a member")
        return data
