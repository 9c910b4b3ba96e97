"""Texts as the text encoder reads them: opened and closed by special tokens, cut to a length, several in one call.

How a text opens says who reads it, as in the paper's code: [CLS] for a text alone (contrastive vectors), [ENC] for one
beside a picture (matching, questions).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from seesay.blip.config import TextConfig
from seesay.engine.base import Ints
from seesay.errors import UsageError
from seesay.tokenizer import Tokenizer, words

LONGEST = 35
"""Tokens of a text, special ones included: what the paper's code trains and evaluates with. Longer texts lose their
end, and results say so ("shortened")."""
ROWS = 128
"""Texts in one call of the engine, at most: 128 of 35 tokens beside a picture of 577 have 125 MB of scores."""

SOUNDS_LIKE_YOU = ("uni", "eu", "one")
"""How words begin that have a vowel in writing, not in speech."""


@dataclass(frozen=True, slots=True)
class Text:
    """A text and its tokens, without special ones."""

    text: str
    ids: tuple[int, ...]
    flags: tuple[str, ...] = ()
    """For the result that comes of it: "shortened", where the text was longer than the encoder reads."""


class TextReader:
    """Makes what a model's text encoder reads."""

    def __init__(self, tokenizer: Tokenizer, config: TextConfig) -> None:
        self._tokenizer = tokenizer
        self._config = config

    def read(self, text: str) -> Text:
        """The text's tokens, as many as the encoder reads. Raises UsageError for a text without a word."""
        ids = self._tokenizer.encode(text)
        if not ids:
            raise UsageError(f"{text!r} holds no word", "Give some words.")
        room = min(LONGEST, self._config.max_position_embeddings) - 2  # special tokens
        return Text(text, tuple(ids[:room]), ("shortened",) if len(ids) > room else ())

    def read_tidied(self, text: str) -> Text:
        """The same of the text as captions were cleaned that the decoder learnt from. Raises UsageError as `read`."""
        return replace(self.read(tidied(text)), text=text)

    def alone(self, texts: Sequence[Text]) -> tuple[Ints, Ints]:
        """Ids and mask, (texts, tokens) both, for the encoder that sees no picture."""
        return self._rows(texts, self._tokenizer.ids["[CLS]"])

    def beside_pictures(self, texts: Sequence[Text]) -> tuple[Ints, Ints]:
        """Ids and mask, (texts, tokens) both, for the encoder that looks at a picture meanwhile."""
        return self._rows(texts, self._config.enc_token_id)

    def as_captions(self, texts: Sequence[Text]) -> tuple[Ints, Ints]:
        """Ids and mask, (texts, tokens) both, as the decoder writes them."""
        return self._rows(texts, self._config.bos_token_id)

    def _rows(self, texts: Sequence[Text], opening: int) -> tuple[Ints, Ints]:
        ids = np.full((len(texts), 2 + max(len(text.ids) for text in texts)), self._config.pad_token_id)
        mask = np.zeros_like(ids)
        for row, text in enumerate(texts):
            whole = [opening, *text.ids, self._tokenizer.eos]
            ids[row, : len(whole)] = whole
            mask[row, : len(whole)] = 1
        return ids, mask


def bundles(pictures: Sequence[int], kinds: Sequence[int], most: int = ROWS) -> Iterator[list[list[int]]]:
    """Rows in groups that the engine reads in one call: of one kind, and as many for each picture as for the others.

    pictures, kinds: (rows,), the picture that each row stands beside, and what rows must have in common to share a
    call, such as a length. Yields for each call the rows of each of its pictures, at most `most` rows altogether; a
    picture that has more comes again.
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
        fit = most // each
        for start in range(0, len(parts), fit):
            yield parts[start : start + fit]


def tidy(text: str) -> str:
    """As BLIP's own code cleans captions and questions: lower case, marks that nobody reads aloud left out."""
    return " ".join(re.sub(r"([.!\"()*#:;~])", " ", text.lower()).split())


def tidied(text: str) -> str:
    """`tidy`, or the text as it is where nothing but marks would be left out of it."""
    tidy_text = tidy(text)
    return tidy_text if words(tidy_text) else text


def plural(word: str) -> str:
    """The word's regular plural."""
    return word + ("es" if word.endswith(("s", "x", "ch", "sh")) else "s")


def begins_with_vowel(word: str) -> bool:
    """Whether "an" stands before it: an ape, but a unicycle."""
    return word[:1] in tuple("aeiou") and not word.startswith(SOUNDS_LIKE_YOU)
