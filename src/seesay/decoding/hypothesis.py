"""What a search works on, and what it finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


class Session(Protocol):
    """The part of `seesay.engine.base.Session` that a search needs; its docstrings are the contract."""

    def logits(self, ids: Ints) -> Floats: ...

    @property
    def first(self) -> Floats: ...

    def reorder(self, sources: Ints) -> None: ...

    def keep(self, images: Ints) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypothesis:
    """A sentence that a search found, as token ids."""

    tokens: tuple[int, ...]
    """New tokens: without the prompt, and without the end token."""
    token_scores: tuple[float, ...]
    """Log-probability of each token, and of the end token if there is one, under the model itself: before rules,
    penalties and temperature."""
    ended: bool
    """The model closed the sentence; otherwise it was cut off at `max_new_tokens`, or the rules left no token."""
    score: float
    """What the search ranks by. Beams: the sum of log-probabilities after the rules, over length to the power of
    `length_penalty` (transformers' `sequences_scores`). Samples: `mean`."""
    satisfied: bool = True
    """The constraints are met; False marks the best of those that fail them, where none meets them."""

    @property
    def mean(self) -> float:
        """Mean log-probability of a token in nats, end token included."""
        return sum(self.token_scores) / len(self.token_scores)
