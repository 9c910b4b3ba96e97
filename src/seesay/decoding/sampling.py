"""Sampling: every sentence draws its own next token, from all of the vocabulary or from its likeliest part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seesay.decoding.hypothesis import Floats, Hypothesis, Ints, Session
from seesay.decoding.logits import log_normalizer, top
from seesay.decoding.options import SearchOptions
from seesay.decoding.rules import Rules
from seesay.errors import UsageError


def nucleus(scores: Floats, options: SearchOptions) -> tuple[Ints, NDArray[np.float64]]:
    """The tokens that may be drawn, and their probabilities, which add up to 1; the likeliest first if `top_p` < 1.

    scores: (vocabulary,) logits after the rules. Temperature first, then `top_k`, then `top_p` (arXiv 1904.09751), as
    transformers has them: ties at the k-th place all stay, and so does the token that crosses `top_p`.
    """
    if options.temperature != 1.0:
        scores = scores / np.float32(options.temperature)
    peak = scores.max()
    ids = np.arange(scores.size)
    if 0 < options.top_k < scores.size:
        ids = np.flatnonzero(scores >= top(scores[None], options.top_k)[0][0][-1])
        scores = scores[ids]
    odds = np.exp(scores - peak)
    odds /= odds.sum()
    # Tokens that hold top_p between them and are likelier than all others contain the nucleus. Those above 1/1000 or
    # 1/10,000 mostly do, which saves a sort. Those above the last bound always do, since the others hold 1 - top_p at
    # most, even if all were at the bound.
    last = (1.0 - options.top_p) / odds.size
    for bound in (1e-3, 1e-4, last) if options.top_p < 1.0 else (last,):
        likely = np.flatnonzero(odds > bound)
        if odds[likely].sum() >= options.top_p:
            break
    if options.top_p < 1.0:
        likely = likely[np.argsort(-odds[likely])]
        likely = likely[: np.searchsorted(np.cumsum(odds[likely], dtype=np.float64), options.top_p) + 1]
    chances = odds[likely].astype(np.float64)
    return ids[likely], chances / chances.sum()


@dataclass(slots=True)
class Sample:
    """A sentence while it grows."""

    luck: np.random.Generator
    tokens: tuple[int, ...] = ()
    token_scores: tuple[float, ...] = ()
    ended: bool = False
    done: bool = False
    """It ended, or the rules left no token."""


def sample(session: Session, prompt: Sequence[int], options: SearchOptions, eos: int) -> list[list[Hypothesis]]:
    """`count` sentences for each image, by their mean log-probability; `session` has `count` rows for each image.

    With a seed, sample n draws from stream (seed, n), the same for every image: so it depends neither on its neighbours
    in the batch nor on how many other samples there are. The price is that images share their luck: for samples that
    are independent across images, leave the seed out or change it from image to image.

    A finished sentence idles until all of its image are; then the image leaves the batch.
    """
    images, vocabulary = session.first.shape
    samples = [[Sample(_luck(options.seed, number)) for number in range(options.count)] for _ in range(images)]
    rules = Rules(options, eos, vocabulary)
    logits, live = np.repeat(session.first, options.count, axis=0), samples
    for step in range(options.max_new_tokens):
        rows = [one for image in live for one in image]
        _draw(rows, prompt, logits, rules, options, eos)
        kept = [place for place, image in enumerate(live) if not all(one.done for one in image)]
        if not kept or step + 1 == options.max_new_tokens:
            break
        if len(kept) < len(live):
            session.keep(np.array(kept, dtype=np.int64))
            live = [live[place] for place in kept]
        ids = [eos if one.done else one.tokens[-1] for image in live for one in image]
        logits = session.logits(np.array(ids, dtype=np.int64))
    return [sorted(map(_hypothesis, image), key=lambda one: -one.score) for image in samples]


def _luck(seed: int | None, number: int) -> np.random.Generator:
    return np.random.default_rng(None if seed is None else (seed, number))


def _draw(
    rows: Sequence[Sample], prompt: Sequence[int], logits: Floats, rules: Rules, options: SearchOptions, eos: int
) -> None:
    """Add one token to each row that is not done."""
    growing = [row for row, one in enumerate(rows) if not one.done]
    step = len(rows[growing[0]].tokens)
    normalizer = log_normalizer(logits)
    ruled = rules.apply(logits, ((row, (*prompt, *rows[row].tokens)) for row in growing), step)
    for row in growing:
        one = rows[row]
        if ruled[row].max() == -np.inf:
            if not one.tokens:
                raise UsageError("The rules leave no token to begin with", "Forbid fewer tokens.")
            one.done = True
            continue
        ids, chances = nucleus(ruled[row], options)
        token = int(ids[np.searchsorted(np.cumsum(chances)[:-1], one.luck.random(), side="right")])
        one.token_scores = (*one.token_scores, float(logits[row, token]) - float(normalizer[row]))
        one.done = one.ended = token == eos
        if not one.ended:
            one.tokens = (*one.tokens, token)


def _hypothesis(one: Sample) -> Hypothesis:
    mean = sum(one.token_scores) / len(one.token_scores)
    return Hypothesis(tokens=one.tokens, token_scores=one.token_scores, ended=one.ended, score=mean)
