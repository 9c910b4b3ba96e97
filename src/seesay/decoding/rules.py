"""Rules on what may be said next: each changes the scores of the few ids that it concerns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from seesay.decoding.hypothesis import Floats
from seesay.decoding.options import SearchOptions
from seesay.errors import UsageError


class Rules:
    """Repetition penalty, no-repeat n-grams, forbidden sequences and a least length, as transformers applies them.

    Raises UsageError where an id of `forbidden` is outside the vocabulary.
    """

    def __init__(self, options: SearchOptions, eos: int, vocabulary: int) -> None:
        self._options = options
        self._eos = eos
        self._vocabulary = vocabulary
        self._words: list[int] = []
        self._phrases: dict[int, list[tuple[tuple[int, ...], int]]] = {}  # by the last token before the forbidden one
        for sequence in options.forbidden:
            if max(sequence) >= vocabulary:
                raise UsageError(
                    f"forbidden holds token {max(sequence)}, but the model knows only {vocabulary}",
                    "Encode the words with this model's own tokenizer.",
                )
            *before, last = sequence
            if before:
                self._phrases.setdefault(before[-1], []).append((tuple(before), last))
            elif last != eos:
                self._words.append(last)

    def active(self, step: int) -> bool:
        """Whether `apply` would change anything after `step` new tokens."""
        options = self._options
        history = self._phrases or options.no_repeat_ngram or options.repetition_penalty != 1.0
        return bool(history or self._words or step < options.min_new_tokens)

    def apply(
        self, logits: Floats, histories: Iterable[tuple[int, Sequence[int]]], step: int, offsets: Floats | None = None
    ) -> Floats:
        """Scores after the rules; `logits` itself is left alone, and returned where no rule is active.

        logits: (rows, vocabulary). histories: row and its tokens so far, prompt included; other rows are idle. offsets:
        (rows,) what to subtract for log-probabilities: beam search penalises those, sampling and greedy search logits.
        """
        if not self.active(step):
            return logits
        scores = logits.copy()
        for row, history in histories:
            if self._options.repetition_penalty != 1.0:
                self._penalise(scores[row], history, 0.0 if offsets is None else offsets[row])
            if banned := self._banned(history):
                scores[row, banned] = -np.inf
        scores[:, self._words] = -np.inf
        if step < self._options.min_new_tokens:
            scores[:, self._eos] = -np.inf
        return scores

    def _penalise(self, scores: Floats, history: Sequence[int], offset: np.float32 | float) -> None:
        said = [token for token in set(history) if token < self._vocabulary]
        penalty = self._options.repetition_penalty
        values = scores[said] - offset
        scores[said] = np.where(values < 0, values * penalty, values / penalty) + offset

    def _banned(self, history: Sequence[int]) -> list[int]:
        """Ids that would complete an n-gram already said, or a forbidden phrase."""
        tokens, banned = tuple(history), []
        if size := self._options.no_repeat_ngram:
            opening = tokens[len(tokens) - size + 1 :] if len(tokens) >= size else None
            windows = range(len(tokens) - size + 1)
            banned = [tokens[i + size - 1] for i in windows if tokens[i : i + size - 1] == opening]
        if tokens and tokens[-1] in self._phrases:
            banned += [last for before, last in self._phrases[tokens[-1]] if tokens[-len(before) :] == before]
        return [token for token in banned if token < self._vocabulary]
