"""The seam between search and arithmetic: arrays in, arrays out, two engines behind the same words.

An engine knows neither files nor text. It encodes pixels once, and opens a `Session` in which rows of tokens grow over
the features of their image. Rows are grouped by image: `rows = images * beams`, row `i * beams + b` is beam (or sample)
`b` of image `i`. Features are never repeated per row.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from seesay.errors import CapabilityError, UsageError

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Precision = Literal["auto", "fp32", "int8", "int4", "fp16", "bf16"]
"""int4 is for models of transformers alone."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """What the image encoder saw."""

    features: Floats
    """(images, tokens, width)"""
    concepts: Floats | None = None
    """(images, concept words): probability of each word, where the model has concept tokens."""


class Session(Protocol):
    """Rows of tokens growing over the features of their images; holds the key-value cache."""

    def logits(self, ids: Ints) -> Floats:
        """Append one token to each row and return the next-token logits.

        ids: (rows,). The result, (rows, vocabulary), may be overwritten by the next call. The prompt was read when the
        session opened: its logits are `first`.
        """
        ...

    @property
    def first(self) -> Floats:
        """Logits after the prompt, (images, vocabulary): one row an image, since all its beams still agree."""
        ...

    def reorder(self, sources: Ints) -> None:
        """Row r continues what row sources[r] was, (rows,); sources stay within their image. Call before `logits`."""
        ...

    def keep(self, images: Ints) -> None:
        """Go on with these images only, (kept,), ascending positions among the present ones; their rows close up."""
        ...


class Engine(Protocol):
    """The arithmetic of one BLIP."""

    name: str  # "onnx" or "torch"

    @property
    def precision(self) -> str:
        """What "auto" became."""
        ...

    def encode(self, pixels: Floats) -> Encoded:
        """pixels: (images, 3, side, side), normalised."""
        ...

    def session(self, context: Floats, prompt: Ints, beams: int) -> AbstractContextManager[Session]:
        """Open a session over `context` (images, tokens, width) after the tokens of `prompt` (length,), shared by all.

        Cross-attention keys and values are computed here, once per image. The context is image features. Raises
        CapabilityError for a model that does not caption.
        """
        ...

    def answer_session(self, states: Floats, prompt: Ints, beams: int) -> AbstractContextManager[Session]:
        """The same over the states of questions as `read` gives them. Raises CapabilityError."""
        ...

    def read(self, ids: Ints, mask: Ints, features: Floats) -> Floats:
        """States (rows, tokens, width) of the image-grounded encoder, such as a question's.

        ids (rows, tokens); mask of the same shape, 0 for padding; features (images, tokens, width), rows = images * k
        in the order of their images. Raises CapabilityError for a model that only captions.
        """
        ...

    def match(self, ids: Ints, mask: Ints, features: Floats) -> Floats:
        """Logits (rows, 2) of [no match, match]; arguments as for `read`. Raises CapabilityError without that head."""
        ...

    def likelihoods(self, ids: Ints, mask: Ints, features: Floats) -> Floats:
        """Log-probability (rows,) in nats of each text as a caption of its image; arguments as for `read`.

        Texts begin with the decoder's start token, which is given, and end with its end token. Logits of all their
        tokens are in memory at once, rows * tokens * vocabulary. Raises CapabilityError for a model that does not
        caption.
        """
        ...

    def embed_text(self, ids: Ints, mask: Ints) -> Floats:
        """Unit vectors (rows, projection), comparable with those of `embed_image`. Raises CapabilityError."""
        ...

    def embed_image(self, features: Floats) -> Floats:
        """Unit vectors (images, projection) of features (images, tokens, width). Raises CapabilityError."""
        ...


def check_pixels(pixels: Floats, side: int) -> None:
    """Raises UsageError unless pixels are (images, 3, side, side)."""
    if pixels.ndim != 4 or pixels.shape[1:] != (3, side, side):
        raise UsageError(f"Pixels of shape {pixels.shape}; this model takes (images, 3, {side}, {side})")


def check_session(context: Floats, width: int, prompt: Ints, beams: int, longest: int) -> None:
    """Raises UsageError for a session that cannot be: no images, another width, no prompt, no beams."""
    if context.ndim != 3 or context.shape[2] != width or 0 in context.shape:
        raise UsageError(f"A context of shape {context.shape}; this model reads (images, tokens, {width})")
    if prompt.ndim != 1 or not 0 < len(prompt) <= longest:
        said = f"A prompt of {len(prompt)} tokens" if prompt.ndim == 1 else f"A prompt of shape {prompt.shape}"
        raise UsageError(f"{said}; this model reads 1 to {longest}", "Give a shorter one.")
    if beams < 1:
        raise UsageError(f"{beams} beams for each image")


def check_length(length: int, longest: int) -> None:
    """Raises UsageError where a text outgrows the positions that the model knows."""
    if length > longest:
        raise UsageError(f"The text outgrows the {longest} tokens that this model has positions for", "Ask for fewer.")


def check_texts(ids: Ints, mask: Ints, images: int, longest: int) -> None:
    """Raises UsageError unless ids and mask are (rows, tokens), with as many rows for each image as for the others."""
    if ids.ndim != 2 or ids.shape != mask.shape or not ids.size or not images or len(ids) % images:
        raise UsageError(f"Texts of shape {ids.shape} with a mask of shape {mask.shape} for {images} images")
    check_length(ids.shape[1], longest)


def cannot(task: str, verb: str) -> CapabilityError:
    """The error of a model that has no head for `verb`."""
    remedies = {
        "caption": "Use a captioning checkpoint.",
        "answer": "Use a question-answering checkpoint.",
        "read texts beside a picture": "Use a retrieval or question-answering checkpoint.",
    }
    return CapabilityError(f"A {task!r} model cannot {verb}", remedies.get(verb, "Use a retrieval checkpoint."))
