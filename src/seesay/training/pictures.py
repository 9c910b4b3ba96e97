"""The image side of a batch: pixels made anew each time, or what a frozen image side made of them, computed once.

What is kept is, for the hybrid, its network's maps in eight bits (`engine.maps`), for a plain ViT its features in
half precision, in several views: view 0 is the picture as inference sees it, the others are augmented.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seesay.blip.config import BlipConfig
from seesay.blip.model import Blip
from seesay.engine.maps import MapEncoder, restored, stored, stored_as
from seesay.errors import ImageError
from seesay.images import open_image, to_pixels
from seesay.training.augment import augmented
from seesay.training.batches import Part, batches_in_epoch, part_of
from seesay.training.lora import merged
from seesay.training.maps import check_space
from seesay.training.samples import Sample

DECODERS = min(8, os.cpu_count() or 1)
CHUNK = 8  # pictures encoded at a time

log = logging.getLogger("seesay.training")


class Pictures(Protocol):
    """What the model sees of each sample."""

    def load(self, places: Sequence[int], seeds: Sequence[int] | None) -> Tensor:
        """Images (B, ...) of samples: as inference sees them, or each changed as its seed says."""
        ...


def see(model: Blip, images: Tensor) -> Tensor:
    """Features (B, N, D) of what pictures load: pixels (B, 3, S, S), maps (B, P, channels), or features themselves."""
    if images.ndim == 4:
        return model.encode(images)
    return model.encode_map(images) if model.config.vision.embedding == "efficientnet_lite2" else images


@dataclass(frozen=True)
class Pixels:
    """Pictures decoded when they are wanted, on several threads."""

    samples: Sequence[Sample]
    config: BlipConfig
    augment: bool = False

    def load(self, places: Sequence[int], seeds: Sequence[int] | None) -> Tensor:
        """(B, 3, S, S). A picture that cannot be read is logged, and all grey."""
        changes = seeds if seeds is not None and self.augment else [None] * len(places)
        with ThreadPoolExecutor(DECODERS) as pool:
            made = pool.map(self._one, places, changes)
            return torch.from_numpy(np.concatenate(list(made)))

    def _one(self, place: int, seed: int | None) -> NDArray[np.float32]:
        try:
            return self.pixels(place, None if seed is None else np.random.default_rng(seed))
        except ImageError as error:
            log.warning("cannot be read: %s: %s", self.samples[place].name, error)
            return np.zeros((1, 3, *(self.config.vision.image_size,) * 2), np.float32)

    def pixels(self, place: int, rng: np.random.Generator | None) -> NDArray[np.float32]:
        """(1, 3, S, S) of one picture, augmented where there is something to draw from. Raises ImageError."""
        side = self.config.vision.image_size
        image = open_image(self.samples[place].image, side=side)
        if rng is not None:
            image = augmented(image, side, rng)
        return to_pixels(image, side, self.config.image_mean, self.config.image_std)


class Kept:
    """What a frozen image side made of the pictures, in several views."""

    def __init__(self, folder: Path) -> None:
        self.views = [np.load(path, mmap_mode="r") for path in sorted(folder.glob("view*.npy"))]

    def load(self, places: Sequence[int], seeds: Sequence[int] | None) -> Tensor:
        """(B, P, channels) maps, or (B, N, D) features."""
        views = [0] * len(places) if seeds is None else [seed % len(self.views) for seed in seeds]
        rows = np.stack([self.views[view][place] for view, place in zip(views, places, strict=True)])
        return torch.from_numpy(restored(rows))


def keep(
    folder: Path,
    model: Blip,
    pictures: Pixels,
    views: int,
    show: Callable[[int, int], None] = lambda done, total: None,
) -> list[int]:
    """Compute what is kept of each picture, unless it is there; places of those that cannot be read (kept as zeros).

    A view that was interrupted is made again, as it was. show: told now and then how many pictures are done, and of how
    many; each counts once a view.
    """
    folder.mkdir(parents=True, exist_ok=True)
    vision, images = model.config.vision, len(pictures.samples)
    hybrid = vision.embedding == "efficientnet_lite2"
    shape = (images, vision.grid_side**2, vision.map_width) if hybrid else (images, vision.tokens, vision.hidden_size)
    kind = stored_as(vision) if hybrid else np.dtype(np.float16)
    missing = [view for view in range(views) if not (folder / f"view{view}.npy").exists()]
    check_space(folder, len(missing) * int(np.prod(shape)) * kind.itemsize)
    encode = _encoder(model) if missing else None
    for number, view in enumerate(missing):
        assert encode
        partial = folder / f"view{view}.partial"
        rows = np.lib.format.open_memmap(partial, "w+", kind, shape)
        broken = []
        for start in range(0, images, CHUNK):
            places = range(start, min(start + CHUNK, images))
            broken += _write_places(rows, pictures, view, places, encode)
            show(number * images + places.stop, len(missing) * images)
        rows.flush()
        if view == 0:
            (folder / "unreadable.json").write_text(json.dumps(broken), encoding="utf-8")
        os.replace(partial, folder / f"view{view}.npy")
        log.info("view %d of %d: %d pictures", view + 1, views, images)
    unreadable: list[int] = json.loads((folder / "unreadable.json").read_text(encoding="utf-8"))
    return unreadable


Encode = Callable[[NDArray[np.float32]], NDArray[np.generic]]


def _encoder(model: Blip) -> Encode:
    """Pixels (images, 3, S, S) to what is kept of them."""
    if model.config.vision.embedding == "efficientnet_lite2":
        weights = {name: value.cpu().float().numpy() for name, value in merged(model).items() if "backbone" in name}
        network, kind = MapEncoder(model.config.vision, weights), stored_as(model.config.vision)
        return lambda pixels: stored(network(pixels), kind)
    device = next(model.parameters()).device

    @torch.no_grad()
    def features(pixels: NDArray[np.float32]) -> NDArray[np.generic]:
        return model.encode(torch.from_numpy(pixels).to(device)).cpu().half().numpy()

    return features


def _write_places(
    rows: NDArray[np.generic], pictures: Pixels, view: int, places: Sequence[int], encode: Encode
) -> list[int]:
    """Fill these rows of a view; the places of pictures that cannot be read."""
    pixels, broken = {}, []
    for place in places:
        try:
            pixels[place] = pictures.pixels(place, np.random.default_rng((view, place)) if view else None)
        except ImageError as error:
            broken.append(place)
            if view == 0:
                log.warning("left out: %s: %s", pictures.samples[place].name, error)
    if pixels:
        rows[list(pixels)] = encode(np.concatenate(list(pixels.values())))
    return broken


# ---------------------------------------------------------------------------------------------------------- batches


@dataclass(frozen=True)
class Draw:
    """One batch, or a part of it."""

    step: int
    places: list[int]
    """Samples of the whole batch."""
    mine: slice
    """Where the part lies among them."""
    images: Tensor
    """Of the part, as pictures load them."""
    rng: np.random.Generator
    """For whatever else is drawn of the whole batch: alike for all parts."""


def draws(
    pictures: Pictures, usable: Sequence[int], batch: int, seed: int, start: int, parts: Sequence[Part]
) -> Iterator[Draw]:
    """Batches without end from the `start`-th on, of each the given parts: every sample once an epoch, in a new order.

    A batch depends on the seed and its number alone.
    """
    length = batches_in_epoch(len(usable), batch, "images")
    shuffled = lru_cache(1)(lambda epoch: np.random.default_rng((seed, epoch)).permutation(len(usable)))
    for index in count(start):
        epoch, place = divmod(index, length)
        places = [usable[i] for i in shuffled(epoch)[place * batch : (place + 1) * batch]]
        seeds = np.random.default_rng((seed, epoch, place, 1)).integers(2**32, size=batch).tolist()
        for part in parts:
            mine = part_of(batch, part)
            images = pictures.load(places[mine], seeds[mine])
            yield Draw(index, places, mine, images, np.random.default_rng((seed, epoch, place)))


def ahead(batches: Iterator[Draw]) -> Iterator[Draw]:
    """The same, the next being made while one is used."""
    with ThreadPoolExecutor(1) as maker:
        coming = maker.submit(next, batches)
        while True:
            ready = coming.result()
            coming = maker.submit(next, batches)
            yield ready
