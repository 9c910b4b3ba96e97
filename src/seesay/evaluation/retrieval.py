"""Retrieval: how often an image's own text is among the first that are found for it, and a text's image likewise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seesay.errors import UsageError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RANKS = (1, 5, 10)
BEHIND = 10_000.0
"""What puts those that were not re-ranked behind all that were, whatever their logits."""


@dataclass(frozen=True, slots=True)
class Recalls:
    """R@1, R@5 and R@10 in both directions, in 0..1."""

    image_to_text: tuple[float, ...]
    text_to_image: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Of all six: what checkpoints of retrieval are chosen by."""
        return float(np.mean([*self.image_to_text, *self.text_to_image]))


def recalls(image_to_text: Floats, text_to_image: Floats, images_of_texts: Sequence[int]) -> Recalls:
    """Recalls of scores, higher for better matches, (images, texts) each: re-ranked scores differ by direction.

    images_of_texts: (texts,), the image that each text belongs to. An image is found by the best of its texts. What
    has the same score counts as ahead, so that a model without an opinion finds nothing.
    """
    owner = np.asarray(images_of_texts)
    if image_to_text.shape != text_to_image.shape or image_to_text.shape[1] != len(owner):
        raise UsageError(f"scores {image_to_text.shape} and {text_to_image.shape} for {len(owner)} texts")
    if not set(range(len(image_to_text))) <= set(owner.tolist()):
        raise UsageError("an image without a text cannot be looked for", "leave it out")
    found_texts = _ranks_of_images(image_to_text, owner)
    found_images = _ranks_of_texts(text_to_image, owner)
    return Recalls(
        tuple(float((found_texts < rank).mean()) for rank in RANKS),
        tuple(float((found_images < rank).mean()) for rank in RANKS),
    )


def _ranks_of_images(scores: Floats, owner: Ints) -> Ints:
    """(images,): texts of others that are ahead of the best own one."""
    ranks = []
    for image, row in enumerate(scores):
        own = owner == image
        ranks.append(int((row[~own] >= row[own].max()).sum()))
    return np.array(ranks)


def _ranks_of_texts(scores: Floats, owner: Ints) -> Ints:
    """(texts,): images that are ahead of the text's own one."""
    own = scores[owner, np.arange(len(owner))]
    ahead: Ints = (scores >= own).sum(axis=0) - 1
    return ahead


def nearest(similarities: Floats, k: int) -> Ints:
    """(rows, k): the k most similar columns of each row, the best first; all columns where there are fewer."""
    return np.argsort(-similarities, axis=1, kind="stable")[:, :k]


def reranked(similarities: Floats, near: Ints, logits: Floats) -> Floats:
    """Scores of each row with its k nearest put in a new order; the others follow in their old one.

    near, logits: (rows, k), from `nearest`, and of each pair the matching head's logit of "yes" (ITM). The new order is
    BLIP's own (github.com/salesforce/BLIP, `train_retrieval.py`): by that logit plus the similarity, with the logit of
    "no" left out. There the others all have one score, -100, and none is ever found by it; a recall among more ranks
    than k is the only figure in which the two differ.
    """
    scores = similarities - BEHIND
    rows = np.arange(len(near))[:, None]
    scores[rows, near] = logits + similarities[rows, near]
    return scores
