"""What a model's ways to match are worth together: of a text that is as likely the picture's own as another's.

The three of `blip.calibration`, weighed by logistic regression on photographs trained on: each with a caption of its
own, and with those of others that were drawn at random.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from seesay.blip.calibration import Calibration, Usual
from seesay.describe import Blip
from seesay.engine.base import Floats
from seesay.matching import embed_texts, witnesses
from seesay.texts import Text, TextReader
from seesay.training.batches import Photos
from seesay.training.captioner import Captioner

PHOTOGRAPHS, TOGETHER = 600, 50
"""Of each kind, at most, and in one call."""
APART = (47, 211)
"""How far away the photographs stand whose captions are the foreign ones: objects of a kind stand together."""
RIDGE = 0.01
"""Holds the weights back: of photographs trained on, the decoder is surer than it will be of others. On 125 validation
photographs and 125 objects the log-loss falls from 0.25 and 1.36 (hardly held back) to 0.21 and 0.86."""

Samples = tuple[list[Floats], list[list[Text]]]
"""Features of photographs, and beside each its own text and foreign ones."""


def calibrate(writer: Captioner, kinds: Iterable[Photos]) -> Calibration:
    """For the model as the writer has it, of some photographs of each kind."""
    blip = writer.describer
    reader = TextReader(blip.tokenizer, blip.checkpoint.config.text)
    parts = [_samples(writer, reader, photos) for photos in kinds]
    features, texts = [one for part in parts for one in part[0]], [one for part in parts for one in part[1]]
    usual = _usual(blip, reader, features, texts)
    told = [
        witnesses(blip.engine, reader, features[start : start + TOGETHER], texts[start : start + TOGETHER], usual)
        for start in range(0, len(features), TOGETHER)
    ]
    found = np.array([one for part in told for one in part])  # (photographs, texts, 3)
    weights, bias = logistic(found[:, 0], found[:, 1:].reshape(-1, 3))
    return Calibration(usual, weights.astype(np.float32), bias)


def _samples(writer: Captioner, reader: TextReader, photos: Photos) -> Samples:
    names = photos.names[:: max(1, len(photos.names) // PHOTOGRAPHS)][:PHOTOGRAPHS]
    own = [reader.read(writer.describer.tokenizer.decode(photos.captions[name][0])) for name in names]
    beside = [[own[(i + apart) % len(own)] for apart in (0, *APART)] for i in range(len(own))]
    seen = [writer.see(names[start : start + TOGETHER]) for start in range(0, len(names), TOGETHER)]
    return [one.encoded.features for part in seen for one in part], beside


def _usual(blip: Blip, reader: TextReader, features: list[Floats], texts: list[list[Text]]) -> Usual:
    vectors = embed_texts(blip.engine, reader, [beside[0] for beside in texts])
    images = [blip.engine.embed_image(one)[0] for one in features]
    return Usual(np.mean(features, axis=0), np.mean(images, axis=0), np.mean([*vectors.values()], axis=0))


def logistic(
    right: NDArray[np.float64], wrong: NDArray[np.float64], ridge: float = RIDGE, steps: int = 50
) -> tuple[NDArray[np.float64], float]:
    """Weights (k,) and bias by which right (n, k) and wrong (m, k), together equally heavy, are likeliest.

    Newton's method, on columns of equal spread; `ridge` is the penalty of the weights' squares.
    """
    spread = np.concatenate([right, wrong]).std(axis=0)
    x = np.concatenate([right, wrong]) / spread
    y = np.concatenate([np.ones(len(right)), np.zeros(len(wrong))])
    weight = np.where(y == 1, 0.5 / len(right), 0.5 / len(wrong))
    design, found = np.column_stack([x, np.ones(len(x))]), np.zeros(x.shape[1] + 1)
    penalty = np.append(np.full(x.shape[1], ridge), 1e-9)
    for _ in range(steps):
        chance = 1 / (1 + np.exp(-(design @ found)))
        gradient = design.T @ (weight * (chance - y)) + penalty * found
        hessian = design.T @ (design * (weight * chance * (1 - chance))[:, None]) + np.diag(penalty)
        found = found - np.linalg.solve(hessian, gradient)
    return found[:-1] / spread, float(found[-1])
