"""Many pictures: read, captioned in batches, each distinct one once; a bad one costs nothing but its own caption."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from seesay.errors import ImageError, UsageError
from seesay.records import Caption

if TYPE_CHECKING:
    from seesay.describe import Blip, CaptionOptions
    from seesay.images import ImageLike
    from seesay.images.sources import Loaded, Picture


@dataclass(frozen=True, slots=True)
class Captioned:
    """What became of one picture."""

    name: str
    result: Caption | ImageError


def caption_pictures(
    model: Blip,
    pictures: Iterable[Picture],
    options: CaptionOptions,
    *,
    batch_size: int = 8,
    wanted: Callable[[str], bool] = lambda name: True,
) -> Iterator[Captioned]:
    """The caption of every picture that is wanted, in order, or the error that says why it has none.

    Pictures of equal content, whatever their names, are captioned once. `wanted` is asked for each name before anything
    is read; an ImageError it raises becomes that picture's result.
    """
    if batch_size < 1:
        raise UsageError(f"a batch of {batch_size} pictures makes no sense", "Give a whole number from 1.")
    captions: dict[str, Caption | ImageError] = {}  # by content
    left = iter(pictures)
    while batch := list(islice(left, batch_size)):
        read = [(picture.name, found) for picture in batch if (found := _read(picture, wanted)) is not None]
        new = {found.key: found for _, found in read if not isinstance(found, ImageError) and found.key not in captions}
        captions.update(zip(new, model.captions([_image(found) for found in new.values()], options), strict=True))
        for name, found in read:
            yield Captioned(name, found if isinstance(found, ImageError) else captions[found.key])


def _read(picture: Picture, wanted: Callable[[str], bool]) -> Loaded | ImageError | None:
    """The picture's bytes, the reason why there are none, or None where nobody wants them."""
    try:
        return picture.load() if wanted(picture.name) else None
    except ImageError as error:
        return error


def _image(loaded: Loaded) -> ImageLike:
    """What the model decodes: bytes, so that large JPEGs are decoded at the scale it needs; a later frame is opened."""
    return loaded.open() if loaded.frame else loaded.data
