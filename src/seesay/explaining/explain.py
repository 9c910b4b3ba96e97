"""A text beside a picture, word by word: where each looked (`engine.gradcam`), and whether the picture bears it out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from seesay.decoding.logits import log_normalizer
from seesay.describe import Blip, Seen
from seesay.engine import gradcam
from seesay.engine.base import Floats
from seesay.errors import ImageError, UsageError
from seesay.explaining.phrases import phrases, plain
from seesay.images import ImageLike
from seesay.records import Provenance
from seesay.texts import Text, TextReader

UNSUPPORTED = 0.5
"""A phrase is marked below this probability: where the matching head says no rather than yes. That head was trained on
whole captions, not on phrases; look at its scores for pictures of your own before you trust the mark."""
Method = Literal["matching", "captioning"]


@dataclass(frozen=True, slots=True, eq=False)
class Word:
    """A word, and where it looked."""

    text: str
    heat: Floats = field(repr=False)
    """(rows, columns) of the picture's grid, from its upper left; 1 where this word looked hardest."""
    strength: float
    """How hard that was, beside the word of the text that looked hardest (1)."""
    elsewhere: float
    """Share of its look that fell on no place of the picture: the class token, and concept tokens where there are."""
    probability: float | None
    """Captioning: that the model itself would write this word here. None where it was matched."""
    supported: bool | None = None
    """False in a phrase that the picture does not bear out; None in no phrase, or where no head judges."""

    @property
    def peak(self) -> tuple[float, float] | None:
        """Where it looked hardest: from the left and from the top, both 0 to 1. None where it looked nowhere."""
        if not self.heat.any():
            return None
        rows, columns = self.heat.shape
        row, column = divmod(int(self.heat.argmax()), columns)
        return (column + 0.5) / columns, (row + 0.5) / rows


@dataclass(frozen=True, slots=True)
class Phrase:
    """A part of the text that claims something, judged by itself."""

    text: str
    words: range
    """Places of its words."""
    probability: float | None
    """That it belongs to the picture (ITM); None where the model has no such head."""
    supported: bool | None


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """How a text and a picture hang together."""

    text: str
    words: tuple[Word, ...]
    phrases: tuple[Phrase, ...]
    probability: float | None
    """That the whole text belongs to the picture (ITM)."""
    method: Method
    """Whose look it is: that of the matching head's yes, or, of a model without one, that of the decoder at the words
    that it wrote. Both are Grad-CAM on cross-attention."""
    layer: int
    """Whose cross-attention, counted from 0."""
    flags: tuple[str, ...] = ()
    """"shortened": the text was longer than the model reads, and lost its end."""
    provenance: Provenance | None = field(default=None, repr=False)


def explain(
    model: Blip, image: ImageLike | Seen, text: str | None = None, *, threshold: float = UNSUPPORTED
) -> Explanation:
    """Where each word of the text looked; without a text, of the caption that the model writes.

    A model with a matching head judges the phrases too: those below `threshold` are marked. A captioner without one
    shows where its decoder looked, and how likely it would have written each word; it judges nothing.
    Raises ImageError, UsageError for a text without a word, CapabilityError for a model with neither head.
    """
    if not 0 <= threshold <= 1:
        raise UsageError(f"A threshold of {threshold} is no probability", "Give a number from 0 to 1.")
    start = time.perf_counter()
    if text is None:
        model.need("caption")
    seen = image if isinstance(image, Seen) else model.see(image)
    if seen.model != model.name:
        raise UsageError(f"This picture was seen by {seen.model}, not by {model.name}", "See it again with this model.")
    read = TextReader(model.tokenizer, model.checkpoint.config.text).read(
        model.caption(seen).text if text is None else text
    )
    words = _words(model, read)
    if "caption" in model.capabilities and "match" not in model.capabilities:
        told = _captioned(model, seen, read, words)
    else:
        model.need("match")
        told = _matched(model, seen, read, words, threshold)
    return replace(told, provenance=model.provenance({"threshold": threshold}, start, 1))


def _words(model: Blip, read: Text) -> list[tuple[str, range]]:
    """The words of the text as they are written, and the places of their tokens; those cut off are left out."""
    words, end = [], 0
    for word in read.text.split():
        start, end = end, end + len(model.tokenizer.encode(word))
        if start < end <= len(read.ids):
            words.append((word, range(start, end)))
    return words


def _matched(model: Blip, seen: Seen, read: Text, words: Sequence[tuple[str, range]], threshold: float) -> Explanation:
    config, text = model.checkpoint.config, model.checkpoint.config.text
    ids = np.array([text.enc_token_id, *read.ids, model.tokenizer.eos])
    looks = gradcam.matching(config, model.checkpoint.weights, ids, _features(seen))
    found = _looked(looks.maps[1:-1], config.vision.grid_side, words)
    spans = list(phrases([word for word, _ in words]))
    texts = [_joined(words, span) for span in spans]
    [judged] = model.matches([seen], [[read.text, *texts]])
    if isinstance(judged, ImageError):
        raise judged
    whole, *parts = [one.probability for one in judged]
    marked = [
        Phrase(phrase, span, chance, None if chance is None else chance >= threshold)
        for phrase, span, chance in zip(texts, spans, parts, strict=True)
    ]
    for phrase in marked:
        for place in phrase.words:
            found[place] = replace(found[place], supported=phrase.supported)
    return Explanation(read.text, tuple(found), tuple(marked), whole, "matching", looks.layer, read.flags)


def _captioned(model: Blip, seen: Seen, read: Text, words: Sequence[tuple[str, range]]) -> Explanation:
    ids = np.array([model.tokenizer.bos, *read.ids])
    looks = gradcam.captioning(model.checkpoint.config, model.checkpoint.weights, ids, _features(seen))
    told = looks.logits[:-1][np.arange(len(read.ids)), read.ids] - log_normalizer(looks.logits[:-1])
    chances = [float(np.exp(told[tokens.start : tokens.stop].sum())) for _, tokens in words]
    found = _looked(looks.maps[:-1], model.checkpoint.config.vision.grid_side, words, chances)
    spans = phrases([word for word, _ in words])
    unjudged = tuple(Phrase(_joined(words, span), span, None, None) for span in spans)
    return Explanation(read.text, tuple(found), unjudged, None, "captioning", looks.layer, read.flags)


def _joined(words: Sequence[tuple[str, range]], span: range) -> str:
    """A phrase as a text of its own."""
    return " ".join(plain(words[place][0]) for place in span)


def _features(seen: Seen) -> Floats:
    features: Floats = seen.encoded.features[0]
    return features


def _looked(
    maps: Floats, side: int, words: Sequence[tuple[str, range]], chances: Sequence[float] | None = None
) -> list[Word]:
    """Words with their heat. maps: (tokens, features), the class token first, the picture's grid behind it."""
    looks = [maps[tokens.start : tokens.stop].mean(axis=0) for _, tokens in words]
    grids = [look[1 : 1 + side**2].reshape(side, side) for look in looks]
    peaks = [float(grid.max()) for grid in grids]
    return [
        Word(
            text=word,
            heat=grid / np.float32(peak or 1),
            strength=peak / (max(peaks) or 1),
            elsewhere=max(0.0, float(1 - grid.sum() / look.sum())) if look.any() else 0.0,
            probability=None if chances is None else chances[place],
        )
        for place, ((word, _), look, grid, peak) in enumerate(zip(words, looks, grids, peaks, strict=True))
    ]
