"""What a training step eats: photographs as cached feature maps with their captions, and captions without photographs.

A stream's n-th batch depends on its seed and n alone, so a run resumes by knowing how many batches it has taken. Where
several processes train together, each draws the same batches and takes its part of each.
B images, k captions an image, R rows, T tokens, P patches, K concept tokens, W concept words.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seesay.blip.config import TextConfig
from seesay.engine.maps import restored
from seesay.errors import UsageError

Part = tuple[int, int]
"""(i, n): the i-th of n equal parts of a batch."""
WHOLE: Part = (0, 1)


@dataclass(frozen=True, slots=True)
class Rows:
    """Captions as the decoder reads and is asked to continue them: several behind one another in a row of T tokens.

    Captions of one image share its row, so that short ones make up for long ones: a third less padding than a row each.
    No caption sees another (`seen`), and each counts its own positions.
    """

    ids: Tensor
    """(R, T), each caption from the start token on; padded at the end."""
    targets: Tensor
    """(R, T): the token that follows, -1 where there is none."""
    positions: Tensor
    """(R, T), from 0 at each caption's start."""
    captions: Tensor
    """(R, T): the caption's index in the whole batch, -1 for padding."""

    @classmethod
    def of(cls, captions: Sequence[Sequence[int]], config: TextConfig, together: int = 1) -> Rows:
        """Rows of captions given as token ids without start and end, `together` consecutive ones in each row."""
        return cls.in_groups(captions, [range(i, i + together) for i in range(0, len(captions), together)], config)

    @classmethod
    def in_groups(cls, captions: Sequence[Sequence[int]], groups: Sequence[Sequence[int]], config: TextConfig) -> Rows:
        """The same; `groups` says which captions are in each row."""
        length = max(sum(len(captions[i]) + 1 for i in group) for group in groups)
        ids = np.full((len(groups), length), config.pad_token_id)
        targets, positions, owners = np.full_like(ids, -1), np.zeros_like(ids), np.full_like(ids, -1)
        for row, group in enumerate(groups):
            end = 0
            for index in group:
                caption = captions[index]
                place = np.s_[row, end : (end := end + len(caption) + 1)]
                ids[place] = [config.bos_token_id, *caption]
                targets[place] = [*caption, config.eos_token_id]
                positions[place] = np.arange(len(caption) + 1)
                owners[place] = index
        return cls(*map(torch.from_numpy, (ids, targets, positions, owners)))

    def to(self, device: torch.device) -> Rows:
        """The same on another device."""
        return Rows(*(part.to(device) for part in (self.ids, self.targets, self.positions, self.captions)))

    @property
    def seen(self) -> Tensor:
        """(R, T, T): which token may see which, those before it in its own caption."""
        same = self.captions.unsqueeze(2) == self.captions.unsqueeze(1)
        return same.tril()


@dataclass(frozen=True, slots=True)
class PhotoBatch:
    """Photographs and k captions of each."""

    names: tuple[str, ...]
    maps: Tensor
    """(B, P, 1280) float32, the image network's maps."""
    rows: Rows
    share: float = 1.0
    """Of the tokens of the whole batch, those in this part: a mean over this part counts that much."""


@dataclass(frozen=True, slots=True)
class TextBatch:
    """Captions without photographs; what a classifier might have seen stands in for them."""

    concepts: Tensor
    """(R, K) concept words, likeliest first."""
    probabilities: Tensor
    """(R, K)"""
    rows: Rows
    share: float = 1.0
    """As for photographs."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """Photographs of one batch."""

    names: list[str]
    """Of the whole batch."""
    mine: slice
    """Where this process's part lies among them."""
    maps: Tensor
    """(B, P, channels), of the part."""
    rng: np.random.Generator
    """For whatever else is drawn for the whole batch."""


class Photos:
    """Photographs with captions, their maps cached in several views (crops, flips, colour)."""

    def __init__(self, names: Sequence[str], captions: Mapping[str, list[list[int]]], folder: Path, seed: int) -> None:
        """`names`: all photographs of the cache, in its order; batches have those with `captions`."""
        self.captions = captions
        self.rows = {name: i for i, name in enumerate(names)}
        self.names = [name for name in names if captions.get(name)]
        self._drawn = self.names
        self.views = [np.load(path, mmap_mode="r") for path in sorted(folder.glob("view*.npy"))]
        self.seed = seed

    def repeat(self, names: Iterable[str], times: int) -> None:
        """Let these come `times` as often as the others."""
        often = set(names)
        self._drawn = self.names + [name for name in self.names if name in often] * (times - 1)

    def maps(self, names: Sequence[str], views: Sequence[int] | int = 0) -> Tensor:
        """Maps of these photographs, (B, P, 1280): all in one view, or each in its own."""
        picks = [views] * len(names) if isinstance(views, int) else views
        stored = np.stack([self.views[view][self.rows[name]] for view, name in zip(picks, names, strict=True)])
        return torch.from_numpy(restored(stored))

    def batches(
        self, images: int, per_image: int, config: TextConfig, start: int = 0, part: Part = WHOLE
    ) -> Iterator[PhotoBatch]:
        """Batches without end from the `start`-th on; see `draws`."""
        for drawn in self.draws(images, start, part):
            captions = [draw_captions(drawn.rng, self.captions[name], per_image) for name in drawn.names]
            chosen = [caption for each in captions[drawn.mine] for caption in each]
            share = count_tokens(chosen) / count_tokens([caption for each in captions for caption in each])
            names = tuple(drawn.names[drawn.mine])
            yield PhotoBatch(names, drawn.maps, Rows.of(chosen, config, per_image), share)

    def draws(self, images: int, start: int = 0, part: Part = WHOLE) -> Iterator[Drawn]:
        """Photographs of batches without end from the `start`-th on: each once an epoch, or as often as `repeat`
        says, in a new order and view."""
        epoch_length = batches_in_epoch(len(self._drawn), images, "photographs")
        shuffled = lru_cache(1)(lambda epoch: np.random.default_rng((self.seed, epoch)).permutation(len(self._drawn)))
        for index in count(start):
            epoch, place = divmod(index, epoch_length)
            rng = np.random.default_rng((self.seed, epoch, place))
            names = [self._drawn[i] for i in shuffled(epoch)[place * images : (place + 1) * images]]
            views = rng.integers(len(self.views), size=images).tolist()
            mine = part_of(images, part)
            yield Drawn(names, mine, self.maps(names[mine], views[mine]), rng)


class Captions:
    """Captions without photographs, each with a classifier's imagined answer to the photograph it had.

    One or two of the caption's concept words name a class; the imagined probabilities favour those classes and spread
    the rest over others, as a real classifier's do. So the decoder learns to write any of the words it is shown, also
    those that no training photograph shows.
    """

    def __init__(
        self,
        ids: Sequence[Sequence[int]],
        concepts: Sequence[Sequence[int]],
        words: NDArray[np.float32],
        tokens: int,
        seed: int,
    ) -> None:
        """`concepts`: concept words in each caption; `words`: (classes, W), 1 where a class counts for a word."""
        self.ids, self.concepts, self.words, self.tokens, self.seed = ids, concepts, words, tokens, seed
        self.classes_of = [np.flatnonzero(column) for column in words.T]

    def batches(self, rows: int, config: TextConfig, start: int = 0, part: Part = WHOLE) -> Iterator[TextBatch]:
        """Batches without end from the `start`-th on; each has captions of like length, for less padding."""
        epoch_length = batches_in_epoch(len(self.ids), rows, "captions")
        shuffled = lru_cache(1)(self._shuffle)
        for index in count(start):
            epoch, place = divmod(index, epoch_length)
            rng = np.random.default_rng((self.seed, epoch, place))
            picked = shuffled(epoch, rows)[place]
            mine = part_of(rows, part)
            seen = np.stack([self.imagine(self.concepts[i], rng) for i in picked])[mine]  # (R, classes)
            likely = torch.from_numpy(seen @ self.words).topk(self.tokens)
            captions = [self.ids[i] for i in picked[mine]]
            share = count_tokens(captions) / count_tokens([self.ids[i] for i in picked])
            yield TextBatch(likely.indices, likely.values, Rows.of(captions, config), share)

    def _shuffle(self, epoch: int, rows: int) -> NDArray[np.int64]:
        """Captions of an epoch's batches, (batches, rows)."""
        rng = np.random.default_rng((self.seed, epoch))
        lengths = np.array([len(caption) for caption in self.ids])
        order = np.argsort(lengths + rng.uniform(0, 2, len(lengths)), kind="stable")
        batches = order[: len(order) // rows * rows].reshape(-1, rows)
        shuffled: NDArray[np.int64] = batches[rng.permutation(len(batches))]
        return shuffled

    def imagine(self, concepts: Sequence[int], rng: np.random.Generator) -> NDArray[np.float32]:
        """Class probabilities, (classes,), of a photograph that shows these words."""
        classes = len(self.words)
        seen = np.zeros(classes, np.float32)
        left = 1.0
        for word in rng.permutation(concepts)[: rng.integers(1, 3)]:
            share = left * rng.uniform(0.15, 0.98)
            kin = rng.permutation(self.classes_of[int(word)])[:4]  # classes of one word are taken for one another
            seen[kin] += (share * rng.dirichlet([0.5] * len(kin))).astype(np.float32)
            left -= share
        if not len(concepts):
            left *= rng.uniform(0.2, 0.9)
        np.add.at(seen, rng.integers(classes, size=8), (left * rng.dirichlet([0.5] * 8)).astype(np.float32))
        return seen


def draw_captions(rng: np.random.Generator, captions: Sequence[list[int]], wanted: int) -> list[list[int]]:
    """`wanted` captions, none twice before all were taken."""
    order = [i for _ in range(-(-wanted // len(captions))) for i in rng.permutation(len(captions))]
    return [captions[i] for i in order[:wanted]]


def batches_in_epoch(present: int, batch: int, what: str) -> int:
    """Full batches in an epoch, at least one."""
    if present < batch:
        raise UsageError(f"A batch of {batch} {what} cannot be drawn from {present}", "Use smaller ones or more data.")
    return present // batch


def part_of(size: int, part: Part) -> slice:
    """Where the part of a batch of `size` lies."""
    index, parts = part
    if size % parts:
        raise UsageError(f"A batch of {size} cannot be shared by {parts} processes", "Choose a multiple of them.")
    return slice(index * size // parts, (index + 1) * size // parts)


def count_tokens(captions: Sequence[Sequence[int]]) -> int:
    """Tokens to be predicted: those of the captions, and each one's end."""
    return sum(len(caption) + 1 for caption in captions)
