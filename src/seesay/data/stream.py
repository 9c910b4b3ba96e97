"""A data set as training eats it: shuffled, decoded by several threads, without end, and gone on with where it stood.

The n-th sample of a stream depends on its seed, its part and n alone, however many threads decode and however often the
run was stopped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from seesay.data.example import Example, Report, log_broken
from seesay.data.shards import read_shards, shard_paths
from seesay.errors import DataError, ImageError, UsageError
from seesay.images import open_image

if TYPE_CHECKING:
    from PIL.Image import Image

Loaded = TypeVar("Loaded")
Part = tuple[int, int]
"""(i, n): the i-th of n processes."""
ORDER, BUFFER, LOAD = 1, 2, 3
"""First word of a random generator's seed, so that no two kinds of draw are alike."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a stream stands: kept with a checkpoint, it lets a later stream go on as if there had been no stop."""

    epoch: int = 0
    taken: int = 0
    """Samples of the epoch that were drawn, broken ones among them."""


@dataclass(frozen=True, slots=True)
class Sample(Generic[Loaded]):
    """An example and what `load` made of it."""

    example: Example
    loaded: Loaded
    after: Position
    """Where the stream stands once this sample is taken."""


def stream(
    source: Sequence[Example] | str | Path,
    load: Callable[[Example, np.random.Generator], Loaded],
    *,
    seed: int = 0,
    start: Position = Position(),
    part: Part = (0, 1),
    buffer: int = 1000,
    threads: int = 4,
    report: Report = log_broken,
) -> Iterator[Sample[Loaded]]:
    """Samples without end, each epoch in an order of its own.

    `source` is a list of examples, shuffled as a whole; or names WebDataset shards (see `shard_paths`), read in
    shuffled order through a buffer that holds `buffer` examples with their encoded bytes and gives them up at random.
    `load`, such as `load_picture`, runs in `threads` threads, with a random generator of the sample's own for
    augmentation. Where it raises ImageError or DataError, the sample is reported with its place and skipped.

    Each of n processes has its `part`: of a list every n-th example of the order that all share; of shards every n-th
    shard, or every n-th sample where there are fewer shards than processes. Processes that have shards of their own
    have epochs of different lengths, so each keeps its own position. Going on within an epoch is free with a list;
    shards are read once more up to there, but nothing is decoded.
    """
    index, parts = part
    if not 0 <= index < parts or min(threads, buffer) < 1:
        raise UsageError(f"part {index} of {parts}, {threads} threads, a buffer of {buffer}", "parts count from 0")
    if isinstance(source, str | Path):
        order: _Order = _Shards(shard_paths(source), seed, part, buffer, report)
    else:
        order = _Listed(source, seed, part)
    window: deque[tuple[Example, Position, Future[Loaded]]] = deque()
    pool = ThreadPoolExecutor(threads, "seesay-load")
    used = start.epoch if start.taken else start.epoch - 1  # the last epoch that gave a sample
    try:
        for example, after in _drawn(order, start):
            random = np.random.default_rng((LOAD, seed, after.epoch, index, after.taken))
            window.append((example, after, pool.submit(load, example, random)))
            if len(window) <= 2 * threads:
                continue
            example, after, future = window.popleft()
            try:
                yield Sample(example, future.result(), after)
                used = after.epoch
            except (ImageError, DataError) as error:
                report(DataError(f"{example.place or example.name}: {error}", error.remedy))
                if after.epoch > used + 1:
                    raise DataError("no picture of a whole epoch could be read", "see the reports") from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def load_picture(example: Example, random: np.random.Generator) -> Image:
    """The example's picture, decoded; it draws nothing. Raises ImageError, or DataError where there is none."""
    if example.image is None:
        raise DataError("no picture", "read the data set with its folder of images")
    return open_image(example.image)


def _drawn(order: _Order, start: Position) -> Iterator[tuple[Example, Position]]:
    """Examples from `start` on, each with the position after it."""
    for epoch in count(start.epoch):
        taken = start.taken if epoch == start.epoch else 0
        for example in order.epoch(epoch, taken):
            taken += 1
            yield example, Position(epoch, taken)
        if not taken:
            raise DataError("an epoch without examples", "give at least one for each process; see the reports")


@dataclass(frozen=True, slots=True)
class _Listed:
    """Every n-th example of a shuffled list; up to n - 1 are left out of an epoch, so that all parts are as long."""

    examples: Sequence[Example]
    seed: int
    part: Part

    def epoch(self, epoch: int, start: int) -> Iterator[Example]:
        """The part's examples of an epoch from the `start`-th on."""
        index, parts = self.part
        order = np.random.default_rng((ORDER, self.seed, epoch)).permutation(len(self.examples))
        mine = order[: len(order) // parts * parts][index::parts]
        return (self.examples[i] for i in mine[start:])


@dataclass(frozen=True, slots=True)
class _Shards:
    """Shards in shuffled order, their examples mixed in a buffer."""

    shards: Sequence[Path]
    seed: int
    part: Part
    buffer: int
    report: Report

    def epoch(self, epoch: int, start: int) -> Iterator[Example]:
        """The part's examples of an epoch from the `start`-th on."""
        index, parts = self.part
        order = [self.shards[i] for i in np.random.default_rng((ORDER, self.seed, epoch)).permutation(len(self.shards))]
        if len(order) >= parts:
            examples = read_shards(order[index::parts], self.report)
        else:
            examples = islice(read_shards(order, self.report), index, None, parts)
        return islice(self._mixed(examples, np.random.default_rng((BUFFER, self.seed, epoch, index))), start, None)

    def _mixed(self, examples: Iterator[Example], random: np.random.Generator) -> Iterator[Example]:
        held = list(islice(examples, self.buffer))
        for example in examples:
            place = int(random.integers(len(held)))
            yield held[place]
            held[place] = example
        for place in random.permutation(len(held)):
            yield held[place]


_Order = _Listed | _Shards
