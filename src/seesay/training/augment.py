"""What training does to a photograph before the model sees it: a random crop, a mirror image, RandAugment.

As BLIP fine-tunes (arXiv 2201.12086, appendix A; github.com/salesforce/BLIP, `transform/randaugment.py`): ten kinds of
change, two drawn for each photograph, each made with probability 1/2 at strength 5 of 10. None changes colours beyond
brightness and contrast, since captions speak of colours. In Pillow; grey fills what a shift leaves empty.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

DRAWN, CHANCE, STRENGTH = 2, 0.5, 5 / 10
CROP = (0.5, 1.0)  # of the photograph's area
ASPECT = (3 / 4, 4 / 3)  # the crop's width by its height
GREY = (128, 128, 128)
MOST_SHEAR, MOST_PIXELS, MOST_DEGREES = 0.3, 10, 30  # at strength 1

Change = Callable[["Image", float], "Image"]
"""An image and +1 or -1 in, the changed image out."""


def augmented(image: Image, side: int, rng: np.random.Generator) -> Image:
    """A square of `side` pixels: a random part of the photograph, mirrored every other time, then RandAugment."""
    from PIL import ImageOps

    square = random_crop(image, side, rng)
    if rng.random() < 0.5:
        square = ImageOps.mirror(square)
    return rand_augment(square, rng)


def random_crop(image: Image, side: int, rng: np.random.Generator) -> Image:
    """A part of the photograph, half of its area or more, squashed to a square of `side` pixels.

    Drawn as torchvision's RandomResizedCrop draws it: again where it sticks out, ten times at most, then the whole.
    """
    from PIL.Image import Resampling

    width, height = image.size
    for _ in range(10):
        area, aspect = rng.uniform(*CROP) * image.width * image.height, np.exp(rng.uniform(*np.log(ASPECT)))
        wide, high = np.sqrt(area * aspect), np.sqrt(area / aspect)
        if wide <= image.width and high <= image.height:
            width, height = wide, high
            break
    left, top = rng.uniform(0, image.width - width), rng.uniform(0, image.height - height)
    return image.resize((side, side), Resampling.BICUBIC, box=(left, top, left + width, top + height))


def rand_augment(image: Image, rng: np.random.Generator) -> Image:
    """RandAugment (arXiv 1909.13719) with BLIP's kinds of change, how many and how strong."""
    for change in rng.choice(len(CHANGES), DRAWN):
        if rng.random() < CHANCE:
            image = CHANGES[change](image, 1.0 if rng.random() < 0.5 else -1.0)
    return image


def _autocontrast(image: Image, sign: float) -> Image:
    from PIL import ImageOps

    return ImageOps.autocontrast(image)


def _equalize(image: Image, sign: float) -> Image:
    from PIL import ImageOps

    return ImageOps.equalize(image)


def _same(image: Image, sign: float) -> Image:
    """Identity; and brightness and sharpness, whose factor 0.1 + 1.8 * strength is exactly 1 at BLIP's strength."""
    return image


def _affine(image: Image, *matrix: float) -> Image:
    from PIL.Image import Resampling, Transform

    return image.transform(image.size, Transform.AFFINE, matrix, Resampling.BILINEAR, fillcolor=GREY)


def _shear_x(image: Image, sign: float) -> Image:
    return _affine(image, 1, sign * STRENGTH * MOST_SHEAR, 0, 0, 1, 0)


def _shear_y(image: Image, sign: float) -> Image:
    return _affine(image, 1, 0, 0, sign * STRENGTH * MOST_SHEAR, 1, 0)


def _translate_x(image: Image, sign: float) -> Image:
    return _affine(image, 1, 0, sign * STRENGTH * MOST_PIXELS, 0, 1, 0)


def _translate_y(image: Image, sign: float) -> Image:
    return _affine(image, 1, 0, 0, 0, 1, sign * STRENGTH * MOST_PIXELS)


def _rotate(image: Image, sign: float) -> Image:
    from PIL.Image import Resampling

    return image.rotate(sign * STRENGTH * MOST_DEGREES, Resampling.BILINEAR, fillcolor=GREY)


CHANGES: tuple[Change, ...] = (
    *(_same, _autocontrast, _same, _same, _equalize),  # Identity, AutoContrast, Brightness, Sharpness, Equalize
    *(_shear_x, _shear_y, _translate_x, _translate_y, _rotate),
)
