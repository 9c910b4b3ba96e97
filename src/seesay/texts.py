"""Texts as the text encoder reads them: opened and closed by special tokens, cut to a length, several in one call.

How a text opens says who reads it, as in the paper's code: [CLS] for the text alone (contrastive vectors), [ENC] for a
text beside a picture (matching, questions).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from seesay.blip.config import TextConfig
from seesay.engine.base import Ints
from seesay.errors import UsageError
from seesay.tokenizer import Tokenizer

LONGEST = 35
"""Tokens of a text, special ones included: what the paper's code trains and evaluates with. Longer texts lose their
end, and results say so ("shortened")."""
ROWS = 128
"""Texts in one call of the engine, at most: 35 tokens each beside a picture of 577 take about 100 MB a layer."""


@dataclass(frozen=True, slots=True)
class Text:
    """A text as tokens, special ones included."""

    ids: tuple[int, ...]
    shortened: bool
    """It was longer than the encoder reads."""

    @property
    def flags(self) -> tuple[str, ...]:
        """What a result that comes of this text says of it."""
        return ("shortened",) if self.shortened else ()


class Texts:
    """Texts for one model's encoder."""

    def __init__(self, tokenizer: Tokenizer, config: TextConfig) -> None:
        self._tokenizer = tokenizer
        self._config = config
        self._longest = min(LONGEST, config.max_position_embeddings)

    def alone(self, text: str) -> Text:
        """For the unimodal encoder. Raises UsageError for a text without a word."""
        return self._read(text, self._tokenizer.ids["[CLS]"])

    def beside_picture(self, text: str) -> Text:
        """For the image-grounded encoder. Raises UsageError for a text without a word."""
        return self._read(text, self._config.enc_token_id)

    def rows(self, texts: Sequence[Text]) -> tuple[Ints, Ints]:
        """Ids and mask, (texts, tokens) both, padded at the end."""
        length = max(len(text.ids) for text in texts)
        ids = np.full((len(texts), length), self._config.pad_token_id)
        mask = np.zeros_like(ids)
        for row, text in enumerate(texts):
            ids[row, : len(text.ids)] = text.ids
            mask[row, : len(text.ids)] = 1
        return ids, mask

    def _read(self, text: str, opening: int) -> Text:
        pieces = self._tokenizer.encode(text)
        if not pieces:
            raise UsageError(f"{text!r} holds no word", "Give some words.")
        room = self._longest - 2
        return Text((opening, *pieces[:room], self._tokenizer.eos), len(pieces) > room)


def bundles(pictures: Sequence[int], kinds: Sequence[int], most: int = ROWS) -> Iterator[list[list[int]]]:
    """Rows in groups that the engine reads in one call: of one kind, as many for each picture as for the others.

    pictures, kinds: (rows,), the picture that each row stands beside, and what only equals may share a call for, such
    as a length. Yields for each call the rows of each of its pictures, at most `most` rows altogether; a picture whose
    rows are more comes again.
    """
    rows_of: dict[tuple[int, int], list[int]] = defaultdict(list)
    for row, key in enumerate(zip(pictures, kinds, strict=True)):
        rows_of[key].append(row)
    alike: dict[tuple[int, int], list[list[int]]] = defaultdict(list)
    for (_, kind), rows in rows_of.items():
        for start in range(0, len(rows), most):
            part = rows[start : start + most]
            alike[kind, len(part)].append(part)
    for (_, each), parts in alike.items():
        fit = max(1, most // each)
        for start in range(0, len(parts), fit):
            yield parts[start : start + fit]
