"""Captions of many pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from seesay.batches import Told, tell_pictures
from seesay.records import Caption

if TYPE_CHECKING:
    from seesay.describe import CaptionOptions, Describer
    from seesay.images.sources import Picture


def caption_pictures(
    model: Describer,
    pictures: Iterable[Picture],
    options: CaptionOptions,
    *,
    batch_size: int = 8,
    wanted: Callable[[str], bool] = lambda name: True,
) -> Iterator[Told[Caption]]:
    """The caption of every picture that is wanted, in order, or the error that says why it has none; as
    `batches.tell_pictures`."""
    tell = partial(model.captions, options=options)
    return tell_pictures(tell, pictures, batch_size=batch_size, wanted=wanted)
