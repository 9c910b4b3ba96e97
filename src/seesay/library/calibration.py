"""What a cosine means in this library: the probability that a text and a picture belong together.

Cosines of one model crowd around 0.3 and those of another around 0.1; what is near in one is far in the other. The
library's own captions tell: each beside its own picture is a pair that belongs together, each beside a picture whose
caption has no word in common with it is one that does not. A logistic curve through both gives every cosine its
probability. It is as good as the captions are, and knows of as many pairs of the one kind as of the other.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from seesay.library.store import Library

LEAST = 50
"""Captioned pictures from which a curve is drawn; with fewer, chance would draw it."""
MOST = 2000
"""Pictures that are drawn for it."""
STOP = frozenset(
    "a an the and or of on in at to with by from for is are was were be being been it its his her their this that "
    "these those there as into onto over under up down out off near next while who which some photo photograph "
    "picture image close view".split()
)
"""Words that say nothing about a picture."""


def content_words(text: str) -> tuple[str, ...]:
    """Words of a text that say something about a picture, each once; all of them where none does."""
    words = tuple(dict.fromkeys(re.findall(r"\w+", text.lower())))
    return tuple(word for word in words if word not in STOP) or words


def calibrate(library: Library, space: int) -> bool:
    """Draw the curve anew where a fifth more pictures are there than when it was last drawn; whether it was drawn."""
    [[drawn_on]] = library.rows("SELECT calibrated_on FROM spaces WHERE id = ?", [space])
    [[there]] = library.rows("SELECT count(*) FROM vectors WHERE space = ? AND kind = 'caption'", [space])
    if there < max(LEAST, drawn_on * 1.2):
        return False
    rows = library.rows(
        "SELECT i.caption, p.vector, t.vector FROM vectors t JOIN vectors p ON p.item = t.item AND p.space = t.space "
        "AND p.kind = 'image' JOIN items i ON i.id = t.item WHERE t.space = ? AND t.kind = 'caption' "
        "ORDER BY (t.id * 2654435761) % 4294967296 LIMIT ?",
        [space, MOST],
    )
    curve = _curve(rows)
    if curve is None:
        return False
    with library.writing() as connection:
        connection.execute(
            "UPDATE spaces SET slope = ?, intercept = ?, calibrated_on = ? WHERE id = ?", [*curve, there, space]
        )
    return True


def _curve(rows: list[tuple[str, bytes, bytes]]) -> tuple[float, float] | None:
    if len(rows) < LEAST:
        return None
    words = [set(content_words(caption)) for caption, _, _ in rows]
    pictures = np.stack([np.frombuffer(one, "<f2") for _, one, _ in rows]).astype(np.float32)
    texts = np.stack([np.frombuffer(one, "<f2") for _, _, one in rows]).astype(np.float32)
    own = np.einsum("nd,nd->n", pictures, texts)
    shift = [1 + step * (len(rows) // 7) for step in range(5)]
    pairs = [(at, (at + by) % len(rows)) for by in shift for at in range(len(rows))]
    apart = [(one, other) for one, other in pairs if one != other and not words[one] & words[other]]
    if len(apart) < LEAST:
        return None
    first, second = np.array(apart).T
    return logistic(own, np.einsum("nd,nd->n", texts[first], pictures[second]))


def logistic(together: NDArray[np.float32], apart: NDArray[np.float32]) -> tuple[float, float]:
    """Slope and intercept of P(together | cosine), both kinds weighing the same; Newton's method on the likelihood.

    A slope below 0, which says that the vectors know nothing, becomes 0.
    """
    values = np.concatenate([together, apart]).astype(np.float64)
    centre, width = values.mean(), values.std() or 1.0
    inputs = np.stack([(values - centre) / width, np.ones_like(values)], 1)
    weights = np.concatenate([np.full(len(together), 0.5 / len(together)), np.full(len(apart), 0.5 / len(apart))])
    target = np.concatenate([np.ones(len(together)), np.zeros(len(apart))])
    found = np.zeros(2)
    ridge = 1e-4 * np.eye(2)  # keeps the slope finite where the two kinds do not overlap
    for _ in range(50):
        probability = probabilities(inputs @ found)
        gradient = inputs.T @ (weights * (probability - target)) + ridge @ found
        curvature = (inputs * (weights * probability * (1 - probability))[:, None]).T @ inputs + ridge
        step = np.linalg.solve(curvature, gradient)
        found -= step
        if np.abs(step).max() < 1e-9:
            break
    slope, intercept = found[0] / width, found[1] - found[0] * centre / width
    return (float(slope), float(intercept)) if slope > 0 else (0.0, 0.0)


def probabilities(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The logistic function."""
    return np.asarray(1 / (1 + np.exp(-np.clip(values, -60, 60))))
