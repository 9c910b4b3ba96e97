"""Many pictures: read, told of in batches, each distinct one once; a bad one costs nothing but its own result."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Generic, TypeVar

from seesay.errors import CostLimit, ImageError, ImageRefused, UsageError

if TYPE_CHECKING:
    from seesay.images import ImageLike
    from seesay.images.sources import Loaded, Picture

Record = TypeVar("Record")
Made = TypeVar("Made")
Tell = Callable[[Sequence["ImageLike"]], Sequence[Record | ImageError]]
"""What tells of a batch of pictures: a record for each, or the error that says why there is none."""


@dataclass(frozen=True, slots=True)
class Told(Generic[Record]):
    """What became of one picture."""

    name: str
    result: Record | ImageError


def tell_pictures(
    tell: Tell[Record],
    pictures: Iterable[Picture],
    *,
    batch_size: int = 8,
    wanted: Callable[[str], bool] = lambda name: True,
) -> Iterator[Told[Record]]:
    """What `tell` says of every picture that is wanted, in order, or the error that says why it has no record.

    Pictures of equal content, whatever their names, are told of once. `wanted` is asked for each name before anything
    is read; an ImageError it raises becomes that picture's result.
    """
    if batch_size < 1:
        raise UsageError(f"a batch of {batch_size} pictures makes no sense", "Give a whole number from 1.")
    told: dict[str, Record | ImageError] = {}  # by content
    left = iter(pictures)
    while batch := list(islice(left, batch_size)):
        read = [(picture.name, found) for picture in batch if (found := _read(picture, wanted)) is not None]
        new = {found.key: found for _, found in read if not isinstance(found, ImageError) and found.key not in told}
        if new:
            told.update(zip(new, tell([_image(found) for found in new.values()]), strict=True))
        for name, found in read:
            yield Told(name, found if isinstance(found, ImageError) else told[found.key])


def each(
    tell: Callable[[ImageLike], Record], images: Sequence[ImageLike], model: object = None
) -> list[Record | ImageError]:
    """What `tell` says of each picture, or the picture's error.

    model: where it is one behind an API, pictures are told of side by side, as many as it sends requests at a time.
    A limit of costs is raised only where nothing was told: what was paid for is not lost.
    """

    def one(row: int) -> Record | ImageError | CostLimit:
        try:
            return tell(images[row])
        except (ImageError, CostLimit) as error:
            return error

    at_once: int = getattr(model, "concurrency", 1)
    if at_once > 1 and len(images) > 1:
        found = side_by_side(one, len(images), at_once, model.close)  # type: ignore[attr-defined]  # it has connections
    else:
        found = [one(row) for row in range(len(images))]
    limits = [result for result in found if isinstance(result, CostLimit)]
    if limits and len(limits) == len(found):
        raise limits[0]
    return [ImageRefused(f"not sent: {one}", one.remedy) if isinstance(one, CostLimit) else one for one in found]


def side_by_side(make: Callable[[int], Made], count: int, at_once: int, stop: Callable[[], object]) -> list[Made]:
    """make(0), make(1) ... in their order, `at_once` of them at a time, in threads that wait for others' answers.

    `stop` is called on Ctrl-C: what is under way is waited for, and nothing must be tried again.
    """
    with ThreadPoolExecutor(min(at_once, count), "seesay-api") as pool:
        results = [pool.submit(make, row) for row in range(count)]
        try:
            return [result.result() for result in results]
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            if not isinstance(error, Exception):
                stop()
            raise


def _read(picture: Picture, wanted: Callable[[str], bool]) -> Loaded | ImageError | None:
    """The picture's bytes, the reason why there are none, or None where nobody wants them."""
    try:
        return picture.load() if wanted(picture.name) else None
    except ImageError as error:
        return error


def _image(loaded: Loaded) -> ImageLike:
    """What the model decodes: bytes, so that large JPEGs are decoded at the scale it needs; a later frame is opened."""
    return loaded.open() if loaded.frame else loaded.data
