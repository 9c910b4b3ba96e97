"""Do a text and a picture belong together? BLIP has two heads for that: one reads the text beside the picture (ITM),
the other compares vectors that were made apart (ITC)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from seesay.engine.base import Engine, Floats, Ints
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
    found = [np.zeros(len(beside)) for beside in texts]
    _fill(found, engine.likelihoods, reader.as_captions, features, texts, TOLD)
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
    found = [np.zeros((len(beside), 2)) for beside in texts]
    _fill(found, engine.match, reader.beside_pictures, features, texts, ROWS)
    return found


def _fill(
    found: Sequence[NDArray[np.float64]],
    ask: Callable[[Ints, Ints, Floats], Floats],
    tokens: Callable[[Sequence[Text]], tuple[Ints, Ints]],
    features: Sequence[Floats],
    texts: Sequence[Sequence[Text]],
    most: int,
) -> None:
    """Put what the engine says of each picture and its own texts in its place, asking about `most` texts at a time."""
    places = [(picture, place) for picture, beside in enumerate(texts) for place in range(len(beside))]
    pictures = [picture for picture, _ in places]
    for call in bundles(pictures, [0] * len(places), most):
        rows = [places[row] for one in call for row in one]
        ids, mask = tokens([texts[picture][place] for picture, place in rows])
        told = ask(ids, mask, np.concatenate([features[pictures[one[0]]] for one in call]))
        for (picture, place), one in zip(rows, told, strict=True):
            found[picture][place] = one


def _probability(no: float, yes: float) -> float:
    """The second of a softmax of two."""
    return float(np.exp(-np.logaddexp(0, no - yes)))
