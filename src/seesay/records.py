"""What the verbs return: frozen records that say how they were made and how sure the model is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Provenance:
    """How a result came to be: enough to make it again."""

    model: str
    precision: str
    engine: str
    options: Mapping[str, object]
    versions: Mapping[str, str]
    milliseconds: float
    """Wall time this result took; in a batch, its share of the batch."""


@dataclass(frozen=True, slots=True)
class Caption:
    """A sentence about a picture.

    `score` is the mean log-probability of its tokens in nats, end token included (0 is certain, -1 is an e-fold less
    likely per token), before any length penalty. `flags` name what is wrong with it: "empty", "repetition", "cut off";
    "retried" says that a first attempt was degenerate and this is the second.
    """

    text: str
    score: float
    tokens: tuple[int, ...] = ()
    token_scores: tuple[float, ...] = ()
    flags: tuple[str, ...] = ()
    provenance: Provenance | None = field(default=None, repr=False)
    alternatives: tuple[Caption, ...] = ()
    """The other captions that `count` asked for, best first."""

    def __str__(self) -> str:
        return self.text

    @property
    def all(self) -> tuple[Caption, ...]:
        """This caption and its alternatives."""
        return (self, *self.alternatives)
