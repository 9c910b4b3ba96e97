"""What the verbs return: frozen records that say how they were made and how sure the model is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


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
    likely per token), before any length penalty; None where the model does not tell, as most models behind an API do
    not (those that do leave the end token out). `flags` name what is wrong with it: "empty", "repetition", "cut off",
    "prompt not kept" (it holds what the model cannot write); "retried" says that a first attempt was degenerate and
    this is the second.
    """

    text: str
    score: float | None
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


@dataclass(frozen=True, slots=True)
class Match:
    """How well a text and a picture belong together, by each of the model's two heads for that.

    The first reads the text beside the picture and answers yes or no; the second compares two vectors that were made
    apart, so it is the cheaper and the coarser one. Where a model comes with a calibration, as the built-in one does,
    the probability is made of what both say, and of how likely the decoder would write the text. `flags`: "shortened"
    says that the text was longer than the model reads, and lost its end.
    """

    text: str
    probability: float | None
    """That they belong together (image-text matching, ITM); None where the model has no such head."""
    similarity: float | None
    """Cosine of their vectors (image-text contrast, ITC), -1 to 1; None where the model has none."""
    provenance: Provenance | None = field(default=None, repr=False)
    flags: tuple[str, ...] = ()
    logit: float | None = field(default=None, repr=False)
    """The first head's score for "yes" before the probability is made of it, which BLIP ranks by; of a calibrated model
    the log-odds of the probability."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model says to a question about a picture.

    `score` is the mean log-probability of its tokens in nats, end token included, as a caption's is; None where the
    model does not tell. `flags`: "empty",
    "cut off", and "shortened", where the question was longer than the model reads, and lost its end.
    """

    text: str
    score: float | None
    probability: float | None
    """Of this answer among those given to choose from, which add up to 1; of one that was written freely, among all
    that could be written."""
    tokens: tuple[int, ...] = ()
    token_scores: tuple[float, ...] = ()
    flags: tuple[str, ...] = ()
    provenance: Provenance | None = field(default=None, repr=False)
    alternatives: tuple[Answer, ...] = ()
    """The other answers to choose from, or those that `count` asked for, best first."""

    def __str__(self) -> str:
        return self.text

    @property
    def all(self) -> tuple[Answer, ...]:
        """This answer and its alternatives."""
        return (self, *self.alternatives)


@dataclass(frozen=True, slots=True)
class Turn:
    """A question about a picture and what was answered, as the beginning of a conversation."""

    question: str
    answer: str
    cut_off: bool = False
    """The answer met its limit of tokens."""


@dataclass(frozen=True, slots=True)
class Classification:
    """The likeliest of some labels for a picture, with the others behind it."""

    label: str
    probability: float
    """What it is depends on how it was asked for (`classifying.Classifier`): of this label among those given, which
    add up to 1, or of this label alone."""
    provenance: Provenance | None = field(default=None, repr=False)
    alternatives: tuple[Classification, ...] = ()
    """The other labels, likeliest first."""

    def __str__(self) -> str:
        return self.label

    @property
    def all(self) -> tuple[Classification, ...]:
        """This label and the others."""
        return (self, *self.alternatives)


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    """A picture or a text as a point of the space they share: `picture.vector @ text.vector` is their similarity.

    `flags`: "shortened" says that the text was longer than the model reads, and lost its end.
    """

    vector: NDArray[np.float32] = field(repr=False)
    """(projection,), of unit length."""
    model: str
    """Vectors of different models say nothing to each other."""
    flags: tuple[str, ...] = ()
