"""The road of a photo: bytes, pixels, features, tokens, words. Everything else in Seesay stands beside it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np

from seesay.blip.config import BlipConfig
from seesay.decoding import Hypothesis, SearchOptions, defects, remedy, search
from seesay.engine.base import Encoded, Engine
from seesay.images import ImageLike, open_image, to_pixels
from seesay.records import Caption, Provenance
from seesay.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionOptions(SearchOptions):
    """How a caption is made: the search, and the words it starts with or must not use."""

    prompt: str | None = None
    """Words the caption starts with; None takes the model's own ("a picture of " for none of the public captioners)."""
    bad_words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """A picture that was encoded: give it to any verb in place of the picture, and encoding is not paid again."""

    encoded: Encoded = field(repr=False)
    model: str
    milliseconds: float


class Describer(Protocol):
    """Picture in, record out: what the server, the library, the agent and the commands know of a model."""

    name: str

    @property
    def capabilities(self) -> frozenset[str]:
        """Verbs this model can do: "caption", "ask", "match", "embed"."""
        ...

    def see(self, image: ImageLike) -> Seen: ...

    def caption(self, image: ImageLike | Seen, options: CaptionOptions | None = None, **changes: object) -> Caption: ...
