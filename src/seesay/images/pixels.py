"""A picture becomes what an image encoder reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image


def to_pixels(image: Image, side: int, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """(1, 3, side, side) float32: the RGB picture squashed to a square, as (value / 255 - mean) / std per channel.

    Resizing is Pillow's antialiased bicubic, aspect ratio ignored: what transformers' BlipImageProcessor does.
    """
    from PIL.Image import Resampling

    square = image.resize((side, side), Resampling.BICUBIC)
    pixels = np.empty((1, 3, side, side), np.float32)
    # One multiply and one add in place per channel plane: a quarter of the time of (array / 255 - mean) / std.
    for plane, band, centre, spread in zip(pixels[0], square.split(), mean, std, strict=True):
        np.multiply(np.asarray(band), np.float32(1 / (255 * spread)), out=plane, dtype=np.float32)
        plane -= np.float32(centre / spread)
    return pixels
