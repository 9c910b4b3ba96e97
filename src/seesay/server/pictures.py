"""Pictures as requests bring them: inline, or at an address that the operator allowed. Never a path of this machine."""

from __future__ import annotations

from fnmatch import fnmatchcase
from urllib.parse import urlsplit

from seesay.errors import ImageRefused, ImageUnreadable
from seesay.images import read_bytes
from seesay.images.reading import is_address, is_inline
from seesay.server.settings import ServerSettings


def picture_bytes(source: str, settings: ServerSettings) -> bytes:
    """The encoded bytes of a data: URI, of base64 text, or of an address. It may take a while: not for the event loop.

    Covers: texts that are neither are refused, so that no file of the server's can be named; addresses only of hosts
    that the operator listed, and what `images.fetch` guards; redirects are not followed, since they would lead past
    the list. Does not cover: what listed hosts answer, other than that it begins as a picture.

    Raises ImageError.
    """
    if is_address(source):
        _check_host(source, settings.hosts)
        return read_bytes(source, limits=settings.limits, allow_private=settings.private_hosts)
    if not is_inline(source):
        raise ImageUnreadable(
            "The picture is neither a data: URI nor base64 of a known format",
            "Send its bytes as data:image/jpeg;base64,...; files of the server cannot be named.",
        )
    return read_bytes(source, limits=settings.limits)


def _check_host(address: str, allowed: tuple[str, ...]) -> None:
    try:
        host = (urlsplit(address).hostname or "").lower()
    except ValueError as error:
        raise ImageUnreadable(f"{address[:200]} is no address ({error})", "Correct it.") from error
    if not any(fnmatchcase(host, pattern.lower()) for pattern in allowed):
        raise ImageRefused(
            f"Pictures at addresses of {host} are not fetched here",
            "Send the picture itself as a data: URI; the operator may allow the host (--allow-url).",
        )
