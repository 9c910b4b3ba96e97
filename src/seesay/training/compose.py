"""Captions for photographs of which only the class is known: its name, and what the background shows by itself.

Such photographs have many more kinds of object than captioned ones. A plain true sentence about each teaches the
decoder to trust what the image network names; how people describe scenes it learns elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seesay.texts import begins_with_vowel
from seesay.training.concepts import Concepts

if TYPE_CHECKING:
    from PIL.Image import Image

SIDE, BORDER = 96, 9  # pixels of the picture looked at, and of its border, which is mostly background


@dataclass(frozen=True, slots=True)
class Background:
    """What colours alone tell with some certainty."""

    white: bool
    black: bool
    green: bool
    blue: bool

    @classmethod
    def of(cls, image: Image) -> Background:
        """Judged by the shares of colours in the picture's border."""
        small = np.asarray(image.resize((SIDE, SIDE)).convert("HSV"), np.float32) / 255
        border = np.ones((SIDE, SIDE), bool)
        border[BORDER:-BORDER, BORDER:-BORDER] = False
        hue, saturation, value = np.moveaxis(small[border], -1, 0)
        degrees = hue * 360
        green = (degrees > 60) & (degrees < 165) & (saturation > 0.18) & (value > 0.15)
        blue = (degrees > 185) & (degrees < 250) & (saturation > 0.2) & (value > 0.25)
        return cls(
            white=bool(((value > 0.88) & (saturation < 0.12)).mean() > 0.72),
            black=bool((value < 0.16).mean() > 0.72),
            green=bool(green.mean() > 0.6),
            blue=bool(blue.mean() > 0.6),
        )


def compose(words: Sequence[str], background: Background, concepts: Concepts) -> list[str]:
    """Captions of a photograph that shows what the words say; the last word has twice as many."""
    return [
        sentence
        for word in (*words, words[-1])
        for sentence in _sentences(word, noun_phrase(word, concepts), background, concepts)
    ]


def noun_phrase(word: str, concepts: Concepts) -> str:
    """The word with what stands before it: "a dog", "an umbrella", "bread", "a cup of coffee"."""
    if word in concepts.phrases:
        return concepts.phrases[word]
    if concepts.has_kind(word, "mass"):
        return word
    return f"{'an' if begins_with_vowel(word) else 'a'} {word}"


def _sentences(word: str, thing: str, seen: Background, concepts: Concepts) -> tuple[str, ...]:
    def kind(*names: str) -> bool:
        return any(concepts.has_kind(word, name) for name in names)

    if seen.white and not kind("scene"):
        return (f"{thing} on a white background",)
    if seen.black and not kind("scene"):
        return f"{thing} on a black background", f"{thing} in front of a black background"
    if seen.green and kind("animal") and not kind("water", "flying"):
        return f"{thing} in the grass", f"{thing} in front of a green background"
    if seen.green:
        return f"{thing} with a green background", f"{thing} in front of a green background"
    if seen.blue and kind("water"):
        return f"{thing} swimming in the water", f"{thing} in the water"
    if seen.blue and kind("afloat"):
        return f"{thing} on the water", f"{thing} in the water"
    if seen.blue and kind("flying", "scene", "large"):
        return (f"{thing} with a blue sky in the background",)
    return f"a {'view' if kind('scene') else 'photo'} of {thing}", f"a picture of {thing}"
