"""Text to token ids and back: BERT's uncased WordPiece, as BLIP's checkpoints use it.

Ids equal those of transformers' BertTokenizer, but for one intended difference: "[SEP]" in a text is five characters,
never the special token, so that no prompt can end a sentence. Texts equal those of its `decode(ids,
skip_special_tokens=True, clean_up_tokenization_spaces=True)`. The second is what transformers 4 does unasked; 5 writes
"a dog ' s bowl".
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from functools import cached_property, lru_cache

from seesay.errors import UsageError

LONGEST_WORD = 100  # characters; BERT's limit, beyond which a word is unknown
SPECIAL = frozenset({"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", "[ENC]"})


class Tokenizer:
    """WordPiece over a vocabulary. `bos` and `eos` are the ids that open and close a sentence of this model."""

    def __init__(self, vocabulary: Sequence[str], *, bos: int, eos: int) -> None:
        self.tokens = tuple(vocabulary)
        self.ids = dict(zip(self.tokens, range(len(self.tokens)), strict=True))
        self.bos, self.eos = bos, eos
        if "[UNK]" not in self.ids or not max(bos, eos) < len(self.tokens):
            raise UsageError(
                "This is no BLIP vocabulary: special tokens are missing", "Use the checkpoint's vocab.txt."
            )
        self.unknown = self.ids["[UNK]"]

    def encode(self, text: str) -> list[int]:
        """Ids of the text's pieces, without special tokens."""
        return [piece for word in words(text) for piece in self._pieces(word)]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids, special tokens left out, spaces as in English."""
        text = " ".join(token for token in map(self.tokens.__getitem__, ids) if token not in SPECIAL)
        return _tidy(text.replace(" ##", ""))

    @cached_property
    def continuations(self) -> frozenset[int]:
        """Ids of pieces that belong to the word before."""
        return frozenset(index for index, token in enumerate(self.tokens) if token.startswith("##"))

    def _pieces(self, word: str) -> list[int]:
        """Longest pieces first, from the left (WordPiece); a word that cannot be spelled is unknown as a whole."""
        if len(word) > LONGEST_WORD:
            return [self.unknown]
        found: list[int] = []
        start = 0
        while start < len(word):
            prefix = "##" if start else ""
            for end in range(len(word), start, -1):
                if (piece := self.ids.get(prefix + word[start:end])) is not None:
                    break
            else:
                return [self.unknown]
            found.append(piece)
            start = end
        return found


def words(text: str) -> list[str]:
    """Lower-case words and single punctuation marks, accents stripped, as BERT's basic tokenizer splits them."""
    # character by character: normalising a whole text takes quadratic time where accents follow each other
    return "".join(map(_normal, text)).split()


@lru_cache(maxsize=4096)
def _normal(character: str) -> str:
    """What stands for a character: itself in lower case, without accents; spaces around it where it is a word alone."""
    if character in "\t\n\r":
        return " "
    # unassigned characters stay, as in the Rust tokenizers: the next Unicode may make them letters
    if character == "\ufffd" or unicodedata.category(character) in ("Cc", "Cf", "Co", "Cs"):
        return ""
    if _is_cjk(character):
        return f" {unicodedata.normalize('NFD', character)} "
    bare = "".join(c for c in unicodedata.normalize("NFD", character) if unicodedata.category(c) != "Mn")
    return "".join(f" {c} " if _is_punctuation(c) else c for c in bare.lower())


def _is_punctuation(character: str) -> bool:
    code = ord(character)
    in_ascii = 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126
    return in_ascii or unicodedata.category(character).startswith("P")


CJK = (
    *((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F)),
    *((0x2B920, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F)),  # BERT has 0x2B820, the Rust tokenizers 0x2B920
)


def _is_cjk(character: str) -> bool:
    code = ord(character)
    return code > 0x33FF and any(low <= code <= high for low, high in CJK)


def _tidy(text: str) -> str:
    """Spaces before punctuation and within contractions removed, as transformers' clean_up_tokenization does."""
    for spaced in (" .", " ?", " !", " ,"):
        text = text.replace(spaced, spaced[1:])
    text = text.replace(" ' ", "'")
    for spaced in (" n't", " 'm", " 's", " 've", " 're"):
        text = text.replace(spaced, spaced[1:])
    return text
