"""Words by what they say: of things, of doing, of places; and the colours that a picture's pixels have."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from seesay.explaining.phrases import BARE, JOINTS, plain

if TYPE_CHECKING:
    from PIL.Image import Image

COLOURS = ("black", "white", "grey", "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown")
"""The basic ones of English (Berlin and Kay)."""
EMPTY = BARE | JOINTS | frozenset("background he i it she them we wearing you".split())
"""Words that nobody searches for."""
NO_ACTION = frozenset(
    "building ceiling clothing earring evening king morning painting ring something nothing spring string swing thing "
    "wedding wing".split()
)
"""Words in -ing that are things."""
SETTINGS = (
    "airport beach bathroom bedroom bridge city church classroom desert farm field forest garden harbor hospital house "
    "indoors jungle kitchen lake market mountain museum night office outdoors park playground restaurant river road "
    "school sea shop sky snow stadium stage station street studio sunset table underwater water zoo"
).split()
"""Words of places and times that captions use."""
MOODS = "calm cheerful cozy dramatic festive gloomy lonely mysterious playful romantic solemn tense".split()


def content_words(text: str) -> list[str]:
    """The words that say something, in small letters, each once, in their order."""
    found = (plain(word).removesuffix("'s") for word in text.split())
    return list(dict.fromkeys(word for word in found if word and word not in EMPTY and any(map(str.isalnum, word))))


def actions(words: Iterable[str]) -> list[str]:
    """Those that say what is done."""
    return [word for word in words if word.endswith("ing") and len(word) > 4 and word not in NO_ACTION]


def settings(words: Iterable[str]) -> list[str]:
    """Those that say where or when."""
    return [word for word in words if word in SETTINGS]


def main_colours(image: Image, share: float = 0.12) -> list[str]:
    """The colours that cover at least such a share of the picture, the largest first.

    Each pixel takes the name of its hue, or of its lightness where it has hardly any colour; what is dark and
    between red and orange is brown. Light of any tint is taken for the colour of things, as a search engine takes it.
    """
    small = image.convert("HSV").resize((64, 64))
    hue, saturation, value = (np.asarray(band).astype(int) for band in small.split())
    names = np.select(
        [
            value < 50,
            (saturation < 40) & (value > 190),
            saturation < 40,
            (hue < 28) & (value < 170) & (saturation < 220),
            hue < 10,
            hue < 28,
            hue < 45,
            hue < 120,
            hue < 185,
            hue < 215,
            (hue < 245) | (saturation < 120),
        ],
        [COLOURS.index(name) for name in "black white grey brown red orange yellow green blue purple pink".split()],
        COLOURS.index("red"),
    )
    counts = np.bincount(names.ravel(), minlength=len(COLOURS)) / names.size
    return [COLOURS[place] for place in np.argsort(-counts, kind="stable") if counts[place] >= share]
