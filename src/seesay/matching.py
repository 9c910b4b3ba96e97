"""Do a text and a picture belong together? BLIP's two heads for that, and the vectors of one of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seesay.engine.base import Engine, Floats
from seesay.texts import ROWS, Text, Texts, bundles


def match(engine: Engine, reader: Texts, features: Sequence[Floats], texts: Sequence[Sequence[Text]]) -> list[Floats]:
    """For each picture the probability that each of its texts belongs to it (image-text matching, ITM).

    features: (1, tokens, width) of each picture. texts: those beside it, opened by [ENC].
    """
    places = [(picture, row) for picture, beside in enumerate(texts) for row in range(len(beside))]
    found = [np.zeros(len(beside), np.float32) for beside in texts]
    pictures = [picture for picture, _ in places]
    for call in bundles(pictures, [0] * len(places)):
        rows = [places[row] for one in call for row in one]
        context = np.concatenate([features[pictures[one[0]]] for one in call])
        logits = engine.match(*reader.rows([texts[picture][row] for picture, row in rows]), context)
        for (picture, row), (no, yes) in zip(rows, logits.astype(np.float64), strict=True):
            found[picture][row] = np.exp(-np.logaddexp(0, no - yes))  # softmax of two
    return found


def embed(engine: Engine, reader: Texts, texts: Sequence[Text]) -> Floats:
    """Unit vectors (texts, projection) of the contrastive head (ITC), of texts opened by [CLS]."""
    parts = [texts[start : start + ROWS] for start in range(0, len(texts), ROWS)]
    return np.concatenate([engine.embed_text(*reader.rows(part)) for part in parts])
