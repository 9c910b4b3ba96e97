"""Which of some labels fits a picture? Told by their names alone: no training, no examples."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from seesay.describe import Blip, Seen
from seesay.engine.base import Floats
from seesay.errors import ImageError, UsageError
from seesay.images import ImageLike
from seesay.records import Classification

TEMPLATE = "a photo of a {}"
Head = Literal["contrast", "match"]
"""How a label is judged.

contrast  Vectors of picture and text are compared (ITC), and similarities become probabilities by a softmax at the
          temperature that the checkpoint tells: each label's share among those given. They add up to 1, so the right
          label must be among them. Labels are read once, however many the pictures. (Hugging Face's folders of BLIP
          have lost the temperature that training ended with and say 0.07, where it began; Salesforce's files have it.)
match     The text is read beside the picture (ITM): the probability that it belongs there, of each label alone. Several
          labels may be likely, or none. Slower: every label is read beside every picture.
"""


class Classifier:
    """Labels, and a model that tells pictures by them.

    Raises CapabilityError where the model has no such head, UsageError for labels or templates that cannot be meant.
    """

    def __init__(
        self, model: Blip, labels: Sequence[str], templates: Sequence[str] = (TEMPLATE,), head: Head = "contrast"
    ) -> None:
        """templates: the sentences that a label is put into, at "{}". Of several the mean counts: of their vectors, or
        of their probabilities."""
        if isinstance(labels, str) or not labels or len(set(labels)) < len(labels):
            raise UsageError(f"Labels {labels!r} leave nothing to choose from", "Name different ones, at least one.")
        if isinstance(templates, str) or not templates or not all("{}" in template for template in templates):
            raise UsageError(f"Templates {templates!r}", 'Write "{}" where the label goes, as in "a photo of a {}".')
        model.need("embed" if head == "contrast" else "match")
        self._model = model
        self._labels = tuple(labels)
        self._head = head
        self._options = {"head": head, "templates": tuple(templates), "temperature": self._temperature}
        self._texts = [template.replace("{}", label) for label in labels for template in templates]

    def classify(self, image: ImageLike | Seen) -> Classification:
        """The likeliest label, with the others behind it. Raises ImageError."""
        [found] = self.classifications([image])
        if isinstance(found, ImageError):
            raise found
        return found

    def classifications(self, images: Sequence[ImageLike | Seen]) -> list[Classification | ImageError]:
        """One batch: what each picture is, or the error that says why that is not known."""
        start = time.perf_counter()
        judged = self._by_contrast(images) if self._head == "contrast" else self._by_match(images)
        good = sum(not isinstance(one, ImageError) for one in judged)
        if not good:
            return [one for one in judged if isinstance(one, ImageError)]
        provenance = self._model.provenance(self._options, start, good)
        found: list[Classification | ImageError] = []
        for one in judged:
            if isinstance(one, ImageError):
                found.append(one)
                continue
            order = np.argsort(-one, kind="stable")
            best, *others = [Classification(self._labels[i], float(one[i]), provenance) for i in order]
            found.append(replace(best, alternatives=tuple(others)))
        return found

    def _by_contrast(self, images: Sequence[ImageLike | Seen]) -> list[NDArray[np.float64] | ImageError]:
        """(labels,) of each picture."""
        return [
            one if isinstance(one, ImageError) else _softmax(self._vectors @ one.vector / self._temperature)
            for one in self._model.embed_images(images)
        ]

    def _by_match(self, images: Sequence[ImageLike | Seen]) -> list[NDArray[np.float64] | ImageError]:
        """(labels,) of each picture."""
        return [
            one
            if isinstance(one, ImageError)
            else np.array([match.probability for match in one]).reshape(len(self._labels), -1).mean(axis=1)
            for one in self._model.matches(images, [self._texts] * len(images))
        ]

    @property
    def _temperature(self) -> float:
        return self._model.checkpoint.config.temperature

    @cached_property
    def _vectors(self) -> Floats:
        """(labels, projection), of unit length."""
        texts = np.array([one.vector for one in self._model.embed_texts(self._texts)])
        means = texts.reshape(len(self._labels), -1, texts.shape[1]).mean(axis=1)
        unit: Floats = means / np.linalg.norm(means, axis=1, keepdims=True)
        return unit


def _softmax(scores: Floats) -> NDArray[np.float64]:
    wide = scores.astype(np.float64)
    shares: NDArray[np.float64] = np.exp(wide - np.logaddexp.reduce(wide))
    return shares
