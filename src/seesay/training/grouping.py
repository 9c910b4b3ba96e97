"""Batches of photographs that are alike, so that what matching tells apart is hard.

Matching's wrong pairs come from the batch (`matching.draw_negatives`), and among 32 photographs drawn at random few are
alike; but re-ranking asks about those that contrast finds alike already. Grouped mini-batches (GRIT-VLP, arXiv
2208.04060, section 3.2) bring such photographs into one batch. Not the very nearest: captions of these often fit both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Grouping:
    """Which photographs are alike, and how many of them stand together: each group is of one and some of its `reach`
    nearest, drawn at random."""

    vectors: NDArray[np.float32]
    """(N, E), each photograph's, of unit length."""
    size: int
    reach: int

    def order(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """(N,) every photograph once, in groups of `size` that follow each other at random.

        Photographs are taken at random, each with some of its nearest among those that are left.
        """
        count = len(self.vectors)
        left = np.ones(count, dtype=bool)
        groups = []
        for leader in rng.permutation(count):
            if not left[leader]:
                continue
            left[leader] = False
            similarity = np.where(left, self.vectors @ self.vectors[leader], -np.inf)
            nearest = np.argsort(-similarity, kind="stable")[: min(self.reach, int(left.sum()))]
            chosen = rng.permutation(nearest)[: self.size - 1]
            left[chosen] = False
            groups.append(np.array([leader, *chosen]))
        whole, rest = [one for one in groups if len(one) == self.size], [one for one in groups if len(one) < self.size]
        return np.concatenate([*(whole[i] for i in rng.permutation(len(whole))), *rest])
