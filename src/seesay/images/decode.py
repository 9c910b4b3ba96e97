"""Encoded bytes, Pillow images and arrays become one thing: an upright 8-bit RGB picture."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from seesay.errors import ImageTooLarge, ImageUnreadable, SeesayError, UsageError
from seesay.images.formats import SNIFFED, Format, is_cut_short, open_container, sniff
from seesay.images.limits import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    from PIL.Image import Image


def decode(data: bytes, *, limits: Limits = DEFAULT_LIMITS, side: int | None = None) -> Image:
    """An upright RGB picture from the bytes of a file, whatever its name says; the first of an animation or of pages.

    EXIF orientation is applied, transparency is laid over white, 16-bit grey is scaled (not clipped) to 8 bits, CMYK
    becomes RGB without colour management; colour profiles are ignored, as transformers' processors ignore them.
    `side`: how many pixels of width and height will be used. With it the picture may come back smaller than the file's,
    never smaller than `side` where the file is larger: JPEGs are decoded at 1/2, 1/4 or 1/8 scale (libjpeg's scaled
    DCT), others are averaged down. Values then change by about one grey level of 255 (bench/images.py), and a picture
    whose width or height is no multiple of the scale is stretched by less than one of the reduced pixels.

    Raises ImageUnreadable, ImageTooLarge, or ImageExtraMissing (HEIC without pillow-heif).
    """
    kind = known(data, limits)
    with translated(data, kind):
        image = open_container(data, kind)
        limits.check_pixels(*image.size)
        if side:
            image.draft(None, (side, side))
        return finish(image, side)


class Animation:
    """The frames of an animation, or the pages of a TIFF. In rising order they cost one pass over the file.

    Opening raises what `decode` raises. Safe to use from several threads.
    """

    def __init__(self, data: bytes, limits: Limits = DEFAULT_LIMITS) -> None:
        self._data, self._limits, self._kind = data, limits, known(data, limits)
        self._lock = Lock()
        with translated(data, self._kind):
            self._image = open_container(data, self._kind)
            limits.check_pixels(*self._image.size)
            self.frames: int = getattr(self._image, "n_frames", 1)

    def frame(self, index: int, side: int | None = None) -> Image:
        """Frame `index`, counted from 0, upright and RGB; `side` and errors as in `decode`."""
        with self._lock, translated(self._data, self._kind):
            if index < self._image.tell():
                self._image = open_container(self._data, self._kind)  # Pillow cannot rewind every APNG
            self._image.seek(index)
            self._limits.check_pixels(*self._image.size)  # pages differ in size
            return finish(self._image.copy(), side)


def known(data: bytes, limits: Limits) -> Format:
    """The format of bytes that are a picture within the limit; else ImageUnreadable or ImageTooLarge."""
    limits.check_bytes(len(data))
    kind = sniff(data[:SNIFFED])
    if kind is None:
        raise ImageUnreadable(*_not_a_picture(data))
    return kind


def finish(image: Image, side: int | None) -> Image:
    """Pixels of an opened Pillow image, made upright, RGB and not much larger than `side` asks."""
    image.load()
    upright = _upright(image)
    # Twice the pixels needed are kept, so that the bicubic filter still has the say over the box filter of `reduce`.
    factor = min(upright.size) // (2 * side) if side else 1
    rgb = to_rgb(upright)
    return rgb.reduce(factor) if factor > 1 else rgb


def from_array(array: np.ndarray, *, limits: Limits = DEFAULT_LIMITS) -> Image:
    """A picture from (height, width, 3) RGB, (height, width, 4) RGBA over white, or (height, width[, 1]) grey uint8.

    Raises UsageError for another type or shape: whether floats mean 0..1 or 0..255 is not for us to guess.
    """
    from PIL import Image

    if array.dtype != np.uint8:
        remedy = "scale to 0..255 and convert: (array * 255).astype(numpy.uint8) for values 0..1"
        raise UsageError(f"a picture of {array.dtype} is ambiguous; arrays are uint8", remedy)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or 0 in array.shape or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        remedy = "give (height, width, 3); array.transpose(1, 2, 0) turns channels-first around"
        raise UsageError(f"an array of shape {array.shape} is not one picture", remedy)
    limits.check_pixels(array.shape[1], array.shape[0])
    return to_rgb(Image.fromarray(np.ascontiguousarray(array)))


def to_rgb(image: Image) -> Image:
    """The picture in mode RGB; transparent parts show white."""
    from PIL import Image

    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I;16"):
        # 65535 / 257 = 255: Pillow's own conversion has clipped or shifted, depending on its version.
        return Image.fromarray((np.asarray(image).astype(np.uint32) * 255 // 65535).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        return Image.fromarray(_stretch(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        over = image.convert("RGBA")
        white = Image.new("RGBA", over.size, "white")
        return Image.alpha_composite(white, over).convert("RGB")
    return image.convert("RGB")


def _stretch(values: np.ndarray) -> np.ndarray:
    """8-bit grey from 32-bit integers or floats, whose white is nowhere defined: darkest to 0, brightest to 255."""
    finite = np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)
    low, high = finite.min(), finite.max()
    grey: np.ndarray = np.rint((finite - low) * (255 / (high - low or 1))).astype(np.uint8)
    return grey


ORIENTATION = 0x0112  # EXIF tag


def _upright(image: Image) -> Image:
    """The picture turned and mirrored as its EXIF orientation says (TIFF and HEIC were, when their pixels loaded)."""
    from PIL.Image import Transpose

    try:
        orientation = image.getexif().get(ORIENTATION, 1)
    except Exception:  # a damaged EXIF block costs the rotation, not the picture
        return image
    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    turn = turns.get(orientation)
    return image if turn is None else image.transpose(turn)


@contextmanager
def translated(data: bytes = b"", kind: Format | None = None) -> Iterator[None]:
    """Whatever decoding raises comes out as ImageError.

    Pillow's plugins raise OSError, SyntaxError, struct.error, RuntimeError and more; and its warnings, where the caller
    has turned warnings into exceptions.
    """
    from PIL.Image import DecompressionBombError, DecompressionBombWarning

    try:
        yield
    except SeesayError:
        raise
    except (MemoryError, DecompressionBombError, DecompressionBombWarning) as error:
        raise ImageTooLarge(f"too large to decode: {error or 'out of memory'}", "make the picture smaller") from error
    except Exception as error:
        name = kind.value if kind else "picture"
        if "truncated" in str(error).lower() or (kind and is_cut_short(data, kind)):
            message = f"truncated {name}: {len(data):,} bytes are there, and the end is missing ({error})"
            raise ImageUnreadable(message, "copy or download it again") from error
        if "unknown pixel mode" in str(error):  # so says Pillow's TIFF reader of, among others, floats in colour
            raise ImageUnreadable(f"a {name} of a kind that cannot be read", "save it with 8 bits a channel") from error
        raise ImageUnreadable(f"damaged {name} ({error})", "save it again from its source, or leave it out") from error


def _not_a_picture(data: bytes) -> tuple[str, str]:
    """Message and remedy for bytes of no known picture format."""
    if not data:
        return "empty: 0 bytes", "copy or download it again"
    start = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in start:
        return "an SVG drawing, not pixels", "render it to PNG first"
    if start.startswith((b"<!doctype html", b"<html")):
        return "a web page, not a picture", "give the address of the picture itself"
    if start.startswith(b"%pdf"):
        return "a PDF, not a picture", "render its pages to PNG first"
    return "not a picture of a known format", "give a JPEG, PNG, WebP, GIF, TIFF, BMP, AVIF or HEIC picture"
