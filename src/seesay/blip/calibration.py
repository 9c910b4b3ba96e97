"""What a BLIP's ways to tell whether a text belongs to a picture are worth together; a file beside its weights.

There are three: the matching head (ITM), the vectors of contrast (ITC), and how much likelier the decoder would write
the text of this picture than of any (VisualGPTScore, arXiv 2306.01879). A model that read millions of pairs needs the
first alone. A small one knows by each what it does not by the others; logistic regression, Platt scaling of several
scores (arXiv 1706.04599, section 4.1), makes one probability of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seesay.blip.tensors import Floats, open_safetensors
from seesay.errors import CheckpointError

FILE = "calibration.safetensors"


@dataclass(frozen=True, slots=True, eq=False)
class Usual:
    """The middle of many pictures and texts: what says nothing about one of them."""

    features: Floats
    """(1, tokens, width), image features."""
    image: Floats
    """(projection,) of the pictures' unit vectors ..."""
    text: Floats
    """... and of the texts'."""


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """The log-odds of a match: `weights` of the three, in the order above, and `bias`."""

    usual: Usual
    weights: Floats
    """(3,): of the matching head's log-odds, of the cosine about the middle, of the log-likelihoods' difference."""
    bias: float

    def odds(self, witnesses: NDArray[np.float64]) -> NDArray[np.float64]:
        """(texts, 3), what the three say -> (texts,) log-odds that the texts belong to their pictures."""
        return np.asarray(witnesses @ self.weights.astype(np.float64) + self.bias)

    def arrays(self) -> Mapping[str, NDArray[np.floating]]:
        """What stands in the file, by name; features in 16 bits."""
        return {
            "usual.features": self.usual.features.astype(np.float16),
            "usual.image": self.usual.image.astype(np.float32),
            "usual.text": self.usual.text.astype(np.float32),
            "weights": self.weights.astype(np.float32),
            "bias": np.array([self.bias], np.float32),
        }


def read_calibration(path: Path, width: int, projection: int) -> Calibration:
    """From a file of `Calibration.arrays`, for a model of these widths. Raises CheckpointError if it does not fit."""
    found = {name: stored.load() for name, stored in open_safetensors(path).items()}
    try:
        usual = Usual(found["usual.features"], found["usual.image"], found["usual.text"])
        calibration = Calibration(usual, found["weights"], float(found["bias"][0]))
    except (KeyError, IndexError) as error:
        raise CheckpointError(f"{path} is no calibration of matching: {error}", "Fetch it again.") from error
    shapes = [usual.features.shape[::2], usual.image.shape, usual.text.shape, calibration.weights.shape]
    if shapes != [(1, width), (projection,), (projection,), (3,)]:
        raise CheckpointError(f"{path} belongs to another model: {shapes}", "Fetch it again, or remove it.")
    return calibration
