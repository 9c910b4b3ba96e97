"""The two passes over the vocabulary that every step pays for; all else in a search touches a few ids of a row."""

from __future__ import annotations

import numpy as np

from seesay.decoding.hypothesis import Floats, Ints
from seesay.errors import ModelError

_BLOCK = 32  # tokens that share a peak in `top`; 16 and 64 are slower at 10,000 and 30,000 tokens


def log_normalizer(logits: Floats) -> Floats:
    """Log of the summed exponentials of each row: a token's log-probability is its logit less this.

    logits: (rows, vocabulary). Returns (rows,). Raises ModelError where a row holds a NaN, or nothing finite.
    """
    with np.errstate(invalid="ignore"):  # told below, in words
        peak = logits.max(axis=1)
        scratch = logits - peak[:, None]
        np.exp(scratch, out=scratch)
        normalizer: Floats = np.log(scratch.sum(axis=1)) + peak
    if not np.isfinite(normalizer).all():
        raise ModelError(
            "The model returned scores that are not numbers",
            "Its weights are damaged or overflow in this precision: try precision='fp32', or fetch the model again.",
        )
    return normalizer


def top(scores: Floats, k: int) -> list[tuple[Floats, Ints]]:
    """The k highest scores of each row and their ids, best first, the lower id first where scores are equal.

    scores: (rows, vocabulary). Returns for each row two arrays (k,), shorter where the vocabulary is.

    NumPy's argpartition over the vocabulary costs ten times the pass that computes probabilities. But each of the k
    highest peaks of blocks of tokens is a score, so the k-th of them is a lower bound that few scores pass, and peaks
    are one vectorised maximum (token t belongs to block t % width).
    """
    rows, vocabulary = scores.shape
    width = vocabulary // _BLOCK
    bounds = np.full(rows, -np.inf, dtype=scores.dtype)
    if width > k:
        peaks = scores[:, : width * _BLOCK].reshape(rows, _BLOCK, width).max(axis=1)
        bounds = np.partition(peaks, width - k, axis=1)[:, width - k]
    best = []
    for row, bound in zip(scores, bounds, strict=True):
        ids = np.flatnonzero(row >= bound)
        values = row[ids]
        order = np.argsort(-values, kind="stable")[:k]
        best.append((values[order], ids[order]))
    return best
