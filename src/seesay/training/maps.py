"""Feature maps of the photographs, computed once: training never runs the image network again, or its end alone.

A view is a file `view<k>.npy` (photographs, P, channels) of what `VisionConfig.map_width` says: the last map in eight
bits (104 kB a photograph), or what the adapted blocks start from in half precision (34 kB). View 0 is the photograph as
inference sees it, view 1 its mirror image, each further one a crop with changed colours, mirrored if k is odd. Which
crop depends on the view and the photograph's place alone, so a view that was interrupted is made again as it was.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seesay.blip.config import BlipConfig
from seesay.engine.maps import MapEncoder, stored, stored_as
from seesay.errors import ImageError, UsageError
from seesay.images import open_image, to_pixels
from seesay.training.start import image_weights

if TYPE_CHECKING:
    from PIL.Image import Image

BATCH = 8
CROP = (0.72, 0.95)  # of the photograph's width; of its height within 8 % of that, so that shapes change a little
COLOUR = (0.8, 1.2)  # factors on brightness, contrast and saturation

log = logging.getLogger("seesay.training")


def write_views(folder: Path, images: Sequence[Path], count: int, config: BlipConfig) -> set[int]:
    """Make the views that are not there yet; the places of images that cannot be read, whose maps are zeros.

    `config` gives the size of pictures and how they are normalised. Unreadable images are logged once.
    """
    unreadable = folder / "unreadable.json"
    encoder = None
    missing = [view for view in range(count) if not (folder / f"view{view}.npy").exists()]
    cells = config.vision.grid_side**2
    check_space(
        folder, len(missing) * len(images) * cells * config.vision.map_width * stored_as(config.vision).itemsize
    )
    for view in missing:
        path = folder / f"view{view}.npy"
        encoder = encoder or MapEncoder(config.vision, {name: w.numpy() for name, w in image_weights().items()})
        broken = _write_view(path, images, view, config, encoder)
        if view == 0:  # the first view knows which cannot be read; it is not there before this list is
            unreadable.write_text(json.dumps(broken), encoding="utf-8")
        os.replace(_partial(path), path)
        log.info("view %d of %d: %d photographs", view + 1, count, len(images))
    return set(json.loads(unreadable.read_text(encoding="utf-8")))


def check_space(folder: Path, needed: int) -> None:
    """Raise UsageError unless the disk has room: a mapped file that finds none kills the process."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UsageError(
            f"The feature maps need {needed / 1e9:.1f} GB in {folder}, which has {free / 1e9:.1f} GB left",
            "Free some space, name another output folder, or have fewer views in the recipe.",
        )


def _write_view(path: Path, images: Sequence[Path], view: int, config: BlipConfig, encoder: MapEncoder) -> list[int]:
    """Write one view to its partial file; the places of images that cannot be read."""
    vision, kind = config.vision, stored_as(config.vision)
    maps = np.lib.format.open_memmap(_partial(path), "w+", kind, (len(images), vision.grid_side**2, vision.map_width))
    broken = []
    for start in range(0, len(images), BATCH):
        pixels = {}
        for place in range(start, min(start + BATCH, len(images))):
            try:
                pixels[place] = view_pixels(open_image(images[place]), view, place, config)
            except ImageError as error:
                broken.append(place)
                if view == 0:
                    log.warning("left out: %s: %s", images[place], error)
        if pixels:
            maps[list(pixels)] = stored(encoder(np.concatenate(list(pixels.values()))), kind)
    maps.flush()
    return broken


def _partial(path: Path) -> Path:
    return path.with_suffix(".partial")


def view_pixels(image: Image, view: int, place: int, config: BlipConfig) -> np.ndarray:
    """Pixels (1, 3, S, S) of one view of the photograph at `place`."""
    if view >= 2:
        image = _cropped(image, np.random.default_rng((view, place)), config.vision.image_size)
    pixels = to_pixels(image, config.vision.image_size, config.image_mean, config.image_std)
    return pixels[..., ::-1] if view % 2 else pixels


def _cropped(image: Image, rng: np.random.Generator, side: int) -> Image:
    """A random part of the picture, squashed to a square of `side`, its colours changed a little."""
    from PIL import ImageEnhance
    from PIL.Image import Resampling

    share = rng.uniform(*CROP)
    width, height = image.width * share, image.height * min(1.0, share * rng.uniform(0.92, 1.08))
    left, top = rng.uniform(0, image.width - width), rng.uniform(0, image.height - height)
    image = image.resize((side, side), Resampling.BICUBIC, box=(left, top, left + width, top + height))
    for change in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = change(image).enhance(rng.uniform(*COLOUR))
    return image
