"""Do a text and a picture belong together? BLIP has two heads for that: one reads the text beside the picture (ITM),
the other compares vectors that were made apart (ITC). Where a calibration comes with the model, the probability is made
of what both say, and of what the decoder does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seesay.blip.calibration import Calibration, Usual
from seesay.engine.base import Engine, Floats, Ints
from seesay.records import Match
from seesay.texts import ROWS, Text, TextReader, bundles

TOLD = 16
"""Texts whose words are looked up in one call: 16 of 20 tokens have 40 MB of logits in BLIP's vocabulary."""

Doubles = NDArray[np.float64]


def match(
    engine: Engine,
    reader: TextReader,
    features: Sequence[Floats],
    texts: Sequence[Sequence[Text]],
    calibration: Calibration | None = None,
) -> list[list[Match]]:
    """Each picture with each of its own texts. features: (1, tokens, width) of each picture."""
    heads = _heads(engine, reader, features, texts)
    odds, logits = heads.odds, [one[:, 1] for one in heads.logits]
    if calibration:
        told = _witnesses(engine, reader, features, texts, calibration.usual, heads)
        odds = logits = [calibration.odds(one) for one in told]
    return [
        [
            Match(
                text.text, _probability(one), float(picture @ heads.vectors[text]), flags=text.flags, logit=float(yes)
            )
            for text, one, yes in zip(*of_picture, strict=True)
        ]
        for picture, *of_picture in zip(heads.pictures, texts, odds, logits, strict=True)
    ]


def witnesses(
    engine: Engine, reader: TextReader, features: Sequence[Floats], texts: Sequence[Sequence[Text]], usual: Usual
) -> list[Doubles]:
    """For each picture (texts, 3): what a `Calibration` weighs."""
    return _witnesses(engine, reader, features, texts, usual, _heads(engine, reader, features, texts))


def likelihoods(
    engine: Engine, reader: TextReader, features: Sequence[Floats], texts: Sequence[Sequence[Text]]
) -> list[Doubles]:
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


@dataclass(frozen=True, slots=True)
class _Heads:
    """What both heads say of each picture and its own texts."""

    logits: Sequence[Doubles]
    """For each picture (texts, 2): what speaks against each of its texts, and for it."""
    pictures: Floats
    """(pictures, projection), unit vectors ..."""
    vectors: Mapping[Text, Floats]
    """... and (projection,) of each text."""

    @property
    def odds(self) -> list[Doubles]:
        """For each picture (texts,): the matching head's log-odds."""
        return [one[:, 1] - one[:, 0] for one in self.logits]


def _heads(engine: Engine, reader: TextReader, features: Sequence[Floats], texts: Sequence[Sequence[Text]]) -> _Heads:
    logits = [np.zeros((len(beside), 2)) for beside in texts]
    _fill(logits, engine.match, reader.beside_pictures, features, texts, ROWS)
    vectors = embed_texts(engine, reader, [text for beside in texts for text in beside])
    return _Heads(logits, engine.embed_image(np.concatenate(features)), vectors)


def _witnesses(
    engine: Engine,
    reader: TextReader,
    features: Sequence[Floats],
    texts: Sequence[Sequence[Text]],
    usual: Usual,
    heads: _Heads,
) -> list[Doubles]:
    tidied = {text: reader.read_tidied(text.text) for text in heads.vectors}
    [of_any] = likelihoods(engine, reader, [usual.features], [[*tidied.values()]])
    anyway = dict(zip(tidied, of_any, strict=True))
    of_each = likelihoods(engine, reader, features, [[tidied[text] for text in beside] for beside in texts])
    return [
        np.stack(
            [
                odds,
                [(picture - usual.image) @ (heads.vectors[text] - usual.text) for text in beside],
                likely - [anyway[text] for text in beside],
            ],
            axis=1,
        )
        for odds, picture, likely, beside in zip(heads.odds, heads.pictures, of_each, texts, strict=True)
    ]


def _fill(
    found: Sequence[Doubles],
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


def _probability(odds: float) -> float:
    """Of log-odds: the second of a softmax of two."""
    return float(np.exp(-np.logaddexp(0, -odds)))
