"""What models that only write have in common: no matching head and no vectors, and one way to say so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from seesay.describe import Describer, Seen, check_capable
from seesay.errors import ImageError
from seesay.images import ImageLike
from seesay.records import Embedding, Match


class Writer(Describer):
    """A describer whose capabilities are "caption" and "ask"; the other verbs raise CapabilityError."""

    def need(self, verb: str) -> None:
        """Raises CapabilityError, which names a model that can, where this one cannot do `verb`."""
        check_capable(self, verb)

    def match(self, image: ImageLike | Seen, text: str) -> Match:
        self._lacks("match")

    def matches(
        self, images: Sequence[ImageLike | Seen], texts: Sequence[Sequence[str]]
    ) -> list[list[Match] | ImageError]:
        self._lacks("match")

    def embed_image(self, image: ImageLike | Seen) -> Embedding:
        self._lacks("embed")

    def embed_images(self, images: Sequence[ImageLike | Seen]) -> list[Embedding | ImageError]:
        self._lacks("embed")

    def embed_text(self, text: str) -> Embedding:
        self._lacks("embed")

    def embed_texts(self, texts: Sequence[str]) -> list[Embedding]:
        self._lacks("embed")

    def _lacks(self, verb: str) -> NoReturn:
        self.need(verb)
        raise AssertionError(f"unreachable: {self.name} says that it can {verb}")
