"""Do a text and a picture belong together? BLIP has two heads for that: one reads the text beside the picture (ITM),
the other compares vectors that were made apart (ITC)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from seesay.engine.base import Engine, Floats
from seesay.records import Match
from seesay.texts import ROWS, Text, TextReader, bundles

TOLD = 16
"""Texts whose words are looked up in one call: 16 of 20 tokens have 40 MB of logits in BLIP's vocabulary."""


def match(
    engine: Engine, reader: TextReader, features: Sequence[Floats], texts: Sequence[Sequence[Text]]
) -> list[list[Match]]:
    """Each picture with each of its own texts. features: (1, tokens, width) of each picture."""
    scores = _scores(engine, reader, features, texts)
    vectors = embed_texts(engine, reader, [text for beside in texts for text in beside])
    pictures = engine.embed_image(np.concatenate(features))
    return [
        [
            Match(text.text, _probability(no, yes), float(picture @ vectors[text]), flags=text.flags, logit=float(yes))
            for text, (no, yes) in zip(beside, logits, strict=True)
        ]
        for picture, beside, logits in zip(pictures, texts, scores, strict=True)
    ]


def likelihoods(
    engine: Engine, reader: TextReader, features: Sequence[Floats], texts: Sequence[Sequence[Text]]
) -> list[NDArray[np.float64]]:
    """For each picture (texts,): the log-probability of each of its texts as its caption, in nats."""
    places = [(picture, place) for picture, beside in enumerate(texts) for place in range(len(beside))]
    pictures = [picture for picture, _ in places]
    found = [np.zeros(len(beside)) for beside in texts]
    for call in bundles(pictures, [0] * len(places), TOLD):
        rows = [places[row] for one in call for row in one]
        ids, mask = reader.as_captions([texts[picture][place] for picture, place in rows])
        told = engine.likelihoods(ids, mask, np.concatenate([features[pictures[one[0]]] for one in call]))
        for (picture, place), one in zip(rows, told.tolist(), strict=True):
            found[picture][place] = one
    return found


def embed_texts(engine: Engine, reader: TextReader, texts: Sequence[Text]) -> Mapping[Text, Floats]:
    """The unit vector (projection,) of each text; equal ones are embedded once."""
    different = list(dict.fromkeys(texts))
    parts = [different[start : start + ROWS] for start in range(0, len(different), ROWS)]
    vectors = [vector for part in parts for vector in engine.embed_text(*reader.alone(part))]
    return dict(zip(different, vectors, strict=True))


def _scores(
    engine: Engine, reader: TextReader, features: Sequence[Floats], texts: Sequence[Sequence[Text]]
) -> list[NDArray[np.float64]]:
    """For each picture (texts, 2): what speaks against each of its texts, and for it."""
    places = [(picture, place) for picture, beside in enumerate(texts) for place in range(len(beside))]
    pictures = [picture for picture, _ in places]
    found = [np.zeros((len(beside), 2)) for beside in texts]
    for call in bundles(pictures, [0] * len(places)):
        rows = [places[row] for one in call for row in one]
        ids, mask = reader.beside_pictures([texts[picture][place] for picture, place in rows])
        logits = engine.match(ids, mask, np.concatenate([features[pictures[one[0]]] for one in call]))
        for (picture, place), pair in zip(rows, logits.astype(np.float64), strict=True):
            found[picture][place] = pair
    return found


def _probability(no: float, yes: float) -> float:
    """The second of a softmax of two."""
    return float(np.exp(-np.logaddexp(0, no - yes)))
