"""Classes told by their names alone: a photo belongs to the class whose text is most similar to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seesay.errors import UsageError

PLACE = "{}"
"""Where the class's name goes in a template."""


@dataclass(frozen=True, slots=True)
class ZeroShotScores:
    """In 0..1. `balanced` is the mean over classes of their own accuracy: it is that of no large class alone."""

    top1: float
    top5: float
    balanced: float


def texts_of_classes(classes: Sequence[str], templates: Sequence[str]) -> list[str]:
    """Every class in every template, class by class. Raises UsageError for a template without a place for the name."""
    if not templates or any(PLACE not in template for template in templates):
        raise UsageError(f"templates {list(templates)!r}", f"Write {PLACE} where the name of the class goes.")
    return [template.replace(PLACE, name) for name in classes for template in templates]


def class_vectors(texts: NDArray[np.float32], classes: int) -> NDArray[np.float32]:
    """(classes, width): the mean of each class's vectors, of unit length again. texts: (classes * templates, width)."""
    means = texts.reshape(classes, -1, texts.shape[1]).mean(axis=1)
    unit: NDArray[np.float32] = means / np.linalg.norm(means, axis=1, keepdims=True)
    return unit


def zero_shot_scores(similarities: NDArray[np.floating], classes: Sequence[int]) -> ZeroShotScores:
    """similarities: (photos, classes); classes: (photos,), the right one of each photo. A tie counts as a mistake."""
    truth = np.asarray(classes)
    if not len(truth) or similarities.shape[0] != len(truth):
        raise UsageError(f"similarities {similarities.shape} for {len(truth)} photos")
    own = similarities[np.arange(len(truth)), truth]
    ahead = (similarities >= own[:, None]).sum(axis=1) - 1
    first = ahead == 0
    return ZeroShotScores(
        top1=float(first.mean()),
        top5=float((ahead < 5).mean()),
        balanced=float(np.mean([first[truth == one].mean() for one in np.unique(truth)])),
    )
