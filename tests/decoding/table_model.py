"""Models small enough to enumerate: real sessions with real histories, no weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np

from seesay.decoding import SearchOptions, rows_per_image, search
from seesay.decoding.hypothesis import Floats, Hypothesis, Ints

EOS = 0
PROMPT = (1,)


class TableModel:
    """A language model in a table: the logits after two tokens, for each picture.

    Pictures are numbers; each has its own table, whatever stands beside it in a batch.
    """

    def __init__(self, vocabulary: int, spread: float = 2.0, seed: int = 0) -> None:
        self.vocabulary = vocabulary
        self._spread = spread
        self._seed = seed

    def table(self, picture: int) -> Floats:
        size = (self.vocabulary, self.vocabulary, self.vocabulary)
        return np.random.default_rng((self._seed, picture)).normal(0, self._spread, size).astype(np.float32)

    def session(self, pictures: Sequence[int], prompt: Sequence[int], rows: int) -> TableSession:
        return TableSession([self.table(picture) for picture in pictures], prompt, rows)

    def log_probabilities(self, picture: int, sentence: Sequence[int]) -> list[float]:
        """Log-probability of each token of `sentence` after the prompt."""
        table, history, found = self.table(picture).astype(np.float64), list(PROMPT), []
        for token in sentence:
            logits = table[history[-2] if len(history) > 1 else 0, history[-1]]
            found.append(float(logits[token] - np.log(np.exp(logits).sum())))
            history.append(token)
        return found

    def sentences(self, most: int) -> Iterator[tuple[int, ...]]:
        """All that can be said in `most` tokens: those that end, end token included, and those that are cut off."""
        words = [token for token in range(self.vocabulary) if token != EOS]
        for length in range(most):
            yield from ((*said, EOS) for said in product(words, repeat=length))
        yield from product(words, repeat=most)

    def search(
        self, pictures: Sequence[int], options: SearchOptions, prompt: Sequence[int] = PROMPT, **constraints: object
    ) -> list[list[Hypothesis]]:
        rows = rows_per_image(options, constraints.get("constraints"))  # type: ignore[arg-type]
        session = self.session(pictures, prompt, rows)
        return search(session, prompt, options, EOS, **constraints)  # type: ignore[arg-type]


class TableSession:
    """`seesay.engine.base.Session` over tables, strict about its contract."""

    def __init__(self, tables: list[Floats], prompt: Sequence[int], rows: int) -> None:
        self.tables = tables
        self._rows = rows
        self._histories = [list(prompt) for _ in range(len(tables) * rows)]
        self._answer = np.empty((0, tables[0].shape[-1]), dtype=np.float32)
        self.calls = 0

    def _after(self, picture: int, history: Sequence[int]) -> Floats:
        row: Floats = self.tables[picture][history[-2] if len(history) > 1 else 0, history[-1]]
        return row

    @property
    def first(self) -> Floats:
        prompts = self._histories[:: self._rows]
        return np.stack([self._after(picture, history) for picture, history in enumerate(prompts)])

    def logits(self, ids: Ints) -> Floats:
        assert ids.dtype == np.int64
        assert ids.shape == (len(self.tables) * self._rows,)
        self._answer[:] = np.nan  # the last answer may be overwritten, so it is
        self.calls += 1
        for history, token in zip(self._histories, ids.tolist(), strict=True):
            history.append(token)
        self._answer = np.stack(
            [self._after(row // self._rows, history) for row, history in enumerate(self._histories)]
        )
        return self._answer

    def reorder(self, sources: Ints) -> None:
        assert sources.dtype == np.int64
        assert (sources // self._rows == np.arange(len(self._histories)) // self._rows).all(), "a row left its image"
        self._histories = [list(self._histories[source]) for source in sources]

    def keep(self, images: Ints) -> None:
        assert images.dtype == np.int64
        assert (np.diff(images) > 0).all()
        self.tables = [self.tables[image] for image in images]
        self._histories = [
            history for image in images for history in self._histories[image * self._rows : (image + 1) * self._rows]
        ]
