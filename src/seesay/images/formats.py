"""The picture formats Seesay reads, known by their first bytes: names and extensions lie, and Pillow need not load."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from io import BytesIO
from typing import TYPE_CHECKING, cast

from seesay.errors import ImageExtraMissing

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

EXTENSIONS = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".dib"}
    | {".avif", ".avifs", ".heic", ".heif", ".hif"}
)
"""File names that a folder or a tar is searched for."""

SNIFFED = 32
"""Bytes that `sniff` looks at."""


class Format(Enum):
    """A container that can be decoded."""

    JPEG = "JPEG"
    PNG = "PNG"
    WEBP = "WebP"
    GIF = "GIF"
    TIFF = "TIFF"
    BMP = "BMP"
    AVIF = "AVIF"
    HEIF = "HEIF"


def sniff(head: bytes) -> Format | None:
    """The format that the first bytes (`SNIFFED` of them are enough) announce, or None."""
    if head.startswith(b"\xff\xd8\xff"):
        return Format.JPEG
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return Format.PNG
    if head.startswith((b"GIF87a", b"GIF89a")):
        return Format.GIF
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return Format.WEBP
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):  # the second pair is BigTIFF
        return Format.TIFF
    if head.startswith(b"BM") and head[6:10] == bytes(4):  # two reserved words: prose may start with BM, but not so
        return Format.BMP
    if head[4:8] == b"ftyp":
        return _sniff_iso_media(head)
    return None


def _sniff_iso_media(head: bytes) -> Format | None:
    """AVIF and HEIF share a container (ISO 14496-12) with MP4; the major brand, then the compatible ones, tell."""
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, len(head), 4))]
    for brand in brands:
        if brand in (b"avif", b"avis"):
            return Format.AVIF
        if brand in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"):
            return Format.HEIF
    return Format.HEIF if brands[0] in (b"mif1", b"msf1") else None


def open_container(data: bytes, kind: Format) -> ImageFile:
    """A Pillow image whose header is read and whose pixels are not.

    The plugin's class is called directly instead of PIL.Image.open: only that plugin is imported, formats that run
    other programs (EPS) stay out of reach, nothing is registered globally, and Pillow's process-wide limit on pixels
    does not interfere with the caller's. Raises whatever the plugin raises.
    """
    return _plugin(kind)(BytesIO(data))


def _plugin(kind: Format) -> Callable[[BytesIO], ImageFile]:
    match kind:
        case Format.JPEG:
            from PIL.JpegImagePlugin import JpegImageFile

            return JpegImageFile
        case Format.PNG:
            from PIL.PngImagePlugin import PngImageFile

            return PngImageFile
        case Format.WEBP:
            from PIL.WebPImagePlugin import WebPImageFile

            return WebPImageFile
        case Format.GIF:
            from PIL.GifImagePlugin import GifImageFile

            return GifImageFile
        case Format.TIFF:
            from PIL.TiffImagePlugin import TiffImageFile

            return TiffImageFile
        case Format.BMP:
            from PIL.BmpImagePlugin import BmpImageFile

            return BmpImageFile
        case Format.AVIF:
            from PIL.AvifImagePlugin import AvifImageFile

            return AvifImageFile
        case Format.HEIF:
            try:
                from pillow_heif import HeifImageFile
            except ImportError as error:
                raise ImageExtraMissing("a HEIC picture", "heic") from error
            return cast("Callable[[BytesIO], ImageFile]", HeifImageFile)


def is_cut_short(data: bytes, kind: Format) -> bool:
    """Whether the container says that bytes are missing at the end: the difference between half a copy and garbage."""
    match kind:
        case Format.JPEG:
            return b"\xff\xd9" not in data[-4096:]  # cameras and editors append things after the end marker
        case Format.PNG:
            return b"IEND" not in data[-4096:]
        case Format.GIF:
            return not data.rstrip(b"\0").endswith(b";")
        case Format.WEBP:
            return int.from_bytes(data[4:8], "little") + 8 > len(data)
        case Format.BMP:
            return int.from_bytes(data[2:6], "little") > len(data)
        case Format.AVIF | Format.HEIF:
            return _boxes_end(data) > len(data)
        case Format.TIFF:
            first = int.from_bytes(data[4:8], "little" if data.startswith(b"II") else "big")
            return first >= len(data)  # the directory of tags, which most writers put last


def _boxes_end(data: bytes) -> int:
    """Where the last box of an ISO media file ends, by the sizes that the boxes state."""
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        if size < 8:  # 0: to the end of the file
            return len(data)
        at += size
    return at
