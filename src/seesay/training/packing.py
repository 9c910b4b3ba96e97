"""Texts as the text encoder reads them in training: packed, several in a row, so that little is computed on padding.

Captions of 8 to 20 tokens padded to the longest leave a third of a batch empty; packed, almost nothing. No text sees
another, and each counts its own positions, so its states are those that it has alone.
n texts in R rows of T tokens, D width.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from seesay.blip.config import TextConfig
from seesay.blip.model import KeyValues

WIDTHS = (1.0, 1.25, 1.5, 2.0, 3.0, 4.0)
"""Lengths of a row that are tried, in those of the longest text; attention's cost grows with the square."""


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts for a bidirectional encoder, each opened and closed by special tokens."""

    ids: Tensor
    """(R, T), padded at the end."""
    positions: Tensor
    """(R, T), from 0 at each text's start."""
    owners: Tensor
    """(R, T): the text's index, -1 for padding."""
    starts: Tensor
    """(n,): where each text's first token stands among all R * T."""
    groups: Tensor
    """(R,): the image that a row's texts are read beside."""

    @classmethod
    def of(
        cls, texts: Sequence[Sequence[int]], first: int, config: TextConfig, groups: Sequence[int] | None = None
    ) -> Texts:
        """Texts given as tokens without special ones; `first` opens each. Only texts of one group share a row."""
        own = groups if groups is not None else [0] * len(texts)
        rows = pack([len(text) + 2 for text in texts], own)
        length = max(sum(len(texts[i]) + 2 for i in row) for row in rows)
        ids = np.full((len(rows), length), config.pad_token_id)
        positions, owners, starts = np.zeros_like(ids), np.full_like(ids, -1), np.zeros(len(texts), np.int64)
        for number, row in enumerate(rows):
            end = 0
            for index in row:
                text = texts[index]
                starts[index] = number * length + end
                place = np.s_[number, end : (end := end + len(text) + 2)]
                ids[place] = [first, *text, config.eos_token_id]
                positions[place] = np.arange(len(text) + 2)
                owners[place] = index
        beside = np.array([own[row[0]] for row in rows])
        return cls(*map(torch.from_numpy, (ids, positions, owners, starts, beside)))

    @property
    def seen(self) -> Tensor:
        """(R, T, T): which token may see which, those of its own text."""
        return self.owners.unsqueeze(2) == self.owners.unsqueeze(1)

    def firsts(self, states: Tensor) -> Tensor:
        """The states of each text's first token, (n, D), of states (R, T, D)."""
        return states.flatten(0, 1)[self.starts]

    def apart(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """States (R, T, D) text by text, (n, longest, D), and which of them a text has, (n, longest) bool."""
        lengths = torch.bincount(self.owners[self.owners >= 0], minlength=len(self.starts))
        steps = torch.arange(int(lengths.max()), device=states.device)
        there = steps < lengths.unsqueeze(1)
        places = (self.starts.unsqueeze(1) + steps).where(there, self.starts.unsqueeze(1))
        flat = states.flatten(0, 1).index_select(0, places.flatten())
        return flat.view(*places.shape, -1), there

    def to(self, device: torch.device) -> Texts:
        """The same on another device."""
        return Texts(*(part.to(device) for part in (self.ids, self.positions, self.owners, self.starts, self.groups)))


def pack(lengths: Sequence[int], groups: Sequence[int]) -> list[list[int]]:
    """Which texts share a row, as indices: of the widths tried, the one with the fewest tokens in all, padding counted.

    A text goes into the first row of its group that has room, long ones first. Rows stand in the order of groups.
    """
    longest = max(lengths)
    tried = [_pack(lengths, groups, int(width * longest)) for width in WIDTHS]
    return min(tried, key=lambda rows: len(rows) * max(sum(lengths[i] for i in row) for row in rows))


def _pack(lengths: Sequence[int], groups: Sequence[int], width: int) -> list[list[int]]:
    rows: dict[int, list[list[int]]] = defaultdict(list)
    room: dict[int, list[int]] = defaultdict(list)
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        group = groups[i]
        fits = next((row for row, left in enumerate(room[group]) if left >= lengths[i]), None)
        if fits is None:
            rows[group].append([i])
            room[group].append(width - lengths[i])
        else:
            rows[group][fits].append(i)
            room[group][fits] -= lengths[i]
    return [row for group in sorted(rows) for row in rows[group]]


def beside(context: Sequence[KeyValues], images: Tensor) -> list[KeyValues]:
    """Keys and values of every layer for rows that are read beside these images, given those of each image.

    images: (R,), an index for each row. Nothing is copied where there is a row for each image.
    """
    count = len(context[0][0])
    if len(images) == count and torch.equal(images, torch.arange(count, device=images.device)):
        return list(context)
    return [(keys.index_select(0, images), values.index_select(0, images)) for keys, values in context]
