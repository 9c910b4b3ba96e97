"""A describer that follows instructions, as far as its script goes: for what asks one, and checks what it says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from seesay.asking import AskOptions
from seesay.describe import CaptionOptions, Seen, check_capable
from seesay.engine.base import Encoded
from seesay.errors import CapabilityError, ImageError
from seesay.images import ImageLike, open_image
from seesay.records import Answer, Caption, Embedding, Match, Provenance

MADE = Provenance("scripted", "fp32", "script", {}, {}, 1.0)


class Scripted:
    """Says what `reply` makes of a question; pictures are opened as real ones are, so that bad ones fail."""

    name = "scripted"
    capabilities = frozenset({"ask", "instruct"})

    def __init__(self, reply: Callable[[str], str]) -> None:
        self._reply = reply
        self.limits: list[int] = []
        """Tokens that each instruction was given room for."""

    def see(self, image: ImageLike) -> Seen:
        open_image(image)
        return Seen(Encoded(np.zeros((1, 1, 1), np.float32)), self.name)

    def need(self, verb: str) -> None:
        check_capable(self, verb)

    def instruct(self, image: ImageLike | Seen, instruction: str, *, max_tokens: int) -> Answer:
        if not isinstance(image, Seen):
            self.see(image)
        self.limits.append(max_tokens)
        return Answer(self._reply(instruction), -0.1, None, provenance=MADE)

    def ask(
        self, image: ImageLike | Seen, question: str, options: AskOptions | None = None, **changes: object
    ) -> Answer:
        if not isinstance(image, Seen):
            self.see(image)
        options = replace(options or AskOptions(), **changes)  # type: ignore[arg-type]
        said = self._reply(question)
        others = tuple(Answer(one, -1.0, None, provenance=MADE) for one in options.answers if one != said)
        return Answer(said, -0.1, None, provenance=MADE, alternatives=others)

    def answers(
        self,
        images: Sequence[ImageLike | Seen],
        questions: Sequence[str],
        options: AskOptions | None = None,
        **changes: object,
    ) -> list[Answer | ImageError]:
        return [self.ask(*pair, options, **changes) for pair in zip(images, questions, strict=True)]

    # It has no other head.

    def caption(self, image: ImageLike | Seen, options: CaptionOptions | None = None, **changes: object) -> Caption:
        raise CapabilityError("scripted cannot caption")

    def captions(
        self, images: Sequence[ImageLike | Seen], options: CaptionOptions | None = None, **changes: object
    ) -> list[Caption | ImageError]:
        raise CapabilityError("scripted cannot caption")

    def match(self, image: ImageLike | Seen, text: str) -> Match:
        raise CapabilityError("scripted cannot match")

    def matches(
        self, images: Sequence[ImageLike | Seen], texts: Sequence[Sequence[str]]
    ) -> list[list[Match] | ImageError]:
        raise CapabilityError("scripted cannot match")

    def embed_image(self, image: ImageLike | Seen) -> Embedding:
        raise CapabilityError("scripted cannot embed")

    def embed_images(self, images: Sequence[ImageLike | Seen]) -> list[Embedding | ImageError]:
        raise CapabilityError("scripted cannot embed")

    def embed_text(self, text: str) -> Embedding:
        raise CapabilityError("scripted cannot embed")

    def embed_texts(self, texts: Sequence[str]) -> list[Embedding]:
        raise CapabilityError("scripted cannot embed")
