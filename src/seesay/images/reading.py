"""One picture from whatever names or holds it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, Union

import numpy as np

from seesay.errors import ImageNotFound, ImageUnreadable, UsageError
from seesay.images.decode import decode, finish, from_array, translated
from seesay.images.formats import sniff
from seesay.images.limits import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    from PIL.Image import Image

ImageLike: TypeAlias = Union[str, Path, bytes, np.ndarray, "Image"]
"""A path, an http(s) address, a data: URI or base64 text; encoded bytes; a (H, W, 3) uint8 array; a Pillow image."""


def open_image(
    source: ImageLike, *, limits: Limits = DEFAULT_LIMITS, side: int | None = None, allow_private: bool = False
) -> Image:
    """The picture as an upright 8-bit RGB Pillow image.

    `side` is how many pixels of width and height will be used: large JPEGs are then decoded at reduced scale, several
    times faster (`decode` says exactly what may change). Without it every pixel is decoded. `allow_private` lets
    addresses reach this machine and its network (see `fetch`).

    Raises ImageNotFound, ImageUnreadable, ImageTooLarge, ImageRefused, ImageExtraMissing; UsageError for an array of
    another type or shape and for objects that cannot be a picture.
    """
    if isinstance(source, (str, Path, bytes)):
        return decode(read_bytes(source, limits=limits, allow_private=allow_private), limits=limits, side=side)
    if isinstance(source, np.ndarray):
        return from_array(source, limits=limits)
    return _from_pillow(source, limits, side)


def _from_pillow(source: object, limits: Limits, side: int | None) -> Image:
    from PIL.Image import Image

    if not isinstance(source, Image):
        remedy = "give a path, an address, bytes, a (height, width, 3) uint8 array or a Pillow image"
        raise UsageError(f"a {type(source).__name__} is not a picture", remedy)
    limits.check_pixels(*source.size)
    with translated():
        return finish(source, side)  # no draft mode: it would change the caller's image


def read_bytes(source: str | Path | bytes, *, limits: Limits = DEFAULT_LIMITS, allow_private: bool = False) -> bytes:
    """The encoded bytes behind a path, an http(s) address, a data: URI or base64 text, not more than `limits.bytes`.

    Raises ImageNotFound, ImageUnreadable, ImageTooLarge, ImageRefused.
    """
    if isinstance(source, bytes):
        limits.check_bytes(len(source))
        return source
    if isinstance(source, str):
        if is_address(source):
            from seesay.images.fetch import fetch

            return fetch(source, limits=limits, allow_private=allow_private)
        if not source:  # Path("") is the current folder
            raise ImageNotFound("an empty name", "name a picture")
        if is_inline(source):
            return _from_data_uri(source, limits) if _is_data_uri(source) else _from_base64(source, limits)
    return _from_file(Path(source), limits)


def is_address(source: str) -> bool:
    """Whether the text is an http or https address."""
    return source[:8].lower().startswith(("http://", "https://"))


def _from_file(path: Path, limits: Limits) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(limits.bytes + 1)
    except FileNotFoundError as error:
        raise ImageNotFound(f"no such file: {path}", "check the path") from error
    except IsADirectoryError as error:
        raise ImageUnreadable(f"{path} is a folder", "give one picture of it, or use pictures() for all") from error
    except (OSError, ValueError) as error:  # permission, name too long, NUL in the name, input/output error
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ImageNotFound(f"cannot read {str(path)[:200]}: {reason}", "check the path and its permissions") from error
    if len(data) > limits.bytes:
        limits.check_bytes(max(path.stat().st_size, len(data)))
    return data


def _from_data_uri(uri: str, limits: Limits) -> bytes:
    """Bytes of a data: URI (RFC 2397), base64 or percent-encoded."""
    from urllib.parse import unquote, unquote_to_bytes

    header, comma, payload = uri.partition(",")
    if not comma:
        raise ImageUnreadable("a data: URI without a comma holds nothing", "write data:image/jpeg;base64,...")
    limits.check_bytes(len(payload) // 3)  # %FF is the longest way to write a byte; what it decodes to is checked next
    if re.search(r";\s*base64\s*$", header, re.IGNORECASE):
        return _from_base64(unquote(payload), limits)
    return unquote_to_bytes(payload.encode("utf-8", "surrogatepass"))


BASE64 = re.compile(r"[A-Za-z0-9+/\-_\s]+={0,2}\s*")


def is_inline(text: str) -> bool:
    """Whether the text is the picture itself: a data: URI, or base64 that begins as a picture does.

    Deciding by the decoded first bytes keeps a path such as "photos/cat" a path.
    """
    import base64

    if _is_data_uri(text):
        return True
    head = re.sub(r"\s", "", text[:64]).translate(URL_SAFE)[:40]
    return len(head) == 40 and BASE64.fullmatch(head) is not None and sniff(base64.b64decode(head)) is not None


def _is_data_uri(text: str) -> bool:
    return text[:64].lstrip()[:5].lower() == "data:"


URL_SAFE = str.maketrans("-_", "+/")  # RFC 4648 section 5 to section 4


def _from_base64(text: str, limits: Limits) -> bytes:
    import base64
    import binascii

    limits.check_bytes(len(text) * 3 // 4)
    if not BASE64.fullmatch(text):  # b64decode would drop foreign characters silently
        raise ImageUnreadable("damaged base64: characters that do not belong there", "encode the picture again")
    compact = re.sub(r"\s", "", text).translate(URL_SAFE)
    try:
        return base64.b64decode(compact + "=" * (-len(compact) % 4))
    except binascii.Error as error:
        raise ImageUnreadable(f"damaged base64 ({error})", "encode the picture again") from error
