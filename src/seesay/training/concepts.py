"""Concept words: what the image network's classes are called in captions, and where captions name them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seesay.errors import UsageError

LONGEST = 3  # words of a concept, such as "great white shark"
WORD = re.compile(r"[a-z]+(?:[-'][a-z]+)*")


@dataclass(frozen=True)
class Concepts:
    """The words, W of them, and which of the classifier's classes count for which."""

    classes: Mapping[str, tuple[str, ...]]
    """Words for each class by its WordNet id, in the classifier's order; the last is what captions should say."""
    forms: Mapping[str, str]
    """Further words that captions use for a concept, such as "puppy" for "dog"."""
    labels: Mapping[str, tuple[str, ...]]
    """The same for labels that are no ImageNet class."""
    phrases: Mapping[str, str]
    """Words that are said in a phrase of their own, such as "a cup of coffee"."""
    kinds: Mapping[str, frozenset[str]]
    """Words by what can be said of them: "animal", "scene" and others; `compose` knows their meaning."""

    @cached_property
    def words(self) -> tuple[str, ...]:
        """Every concept word, in alphabetical order, as `BlipConfig` lists them."""
        return tuple(sorted({word for words in self.classes.values() for word in words}))

    @cached_property
    def matrix(self) -> NDArray[np.float32]:
        """(classes, W): 1 where a class counts for a word."""
        index = {word: i for i, word in enumerate(self.words)}
        matrix = np.zeros((len(self.classes), len(self.words)), np.float32)
        for row, words in enumerate(self.classes.values()):
            matrix[row, [index[word] for word in words]] = 1
        return matrix

    def named(self, caption: str) -> list[int]:
        """Indices of the concept words that a caption names, ascending; the longest of several readings counts.

        Plurals in -s and -es and `forms` count for their word.
        """
        tokens = WORD.findall(caption.lower())
        found, at = set(), 0
        while at < len(tokens):
            readings = ((n, " ".join(tokens[at : at + n])) for n in range(min(LONGEST, len(tokens) - at), 0, -1))
            length, word = next(((n, self._index[text]) for n, text in readings if text in self._index), (1, None))
            if word is not None:
                found.add(word)
            at += length
        return sorted(found)

    def of_label(self, label: str, wordnet_id: str | None) -> tuple[str, ...]:
        """Words that name a labelled photograph's object; none where the table knows neither class nor label."""
        return self.classes.get(wordnet_id or "", ()) or self.labels.get(label, ())

    def has_kind(self, word: str, kind: str) -> bool:
        """Whether the word is of that kind."""
        return word in self.kinds.get(kind, ())

    @cached_property
    def _index(self) -> dict[str, int]:
        """Every form that counts -> the index of its word. A word's own form goes before another's plural."""
        index = {word: i for i, word in enumerate(self.words)}
        for ending in ("s", "es"):
            for i, word in enumerate(self.words):
                index.setdefault(word + ending, i)
        return index | {form: index[word] for form, word in self.forms.items()}


def read_concepts(path: Path) -> Concepts:
    """The table in a JSON file, an object with an entry for each field of `Concepts`. Raises UsageError for another."""
    remedy = "recipes/concepts.json shows how it looks."
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        table = Concepts(
            {name: _words(words) for name, words in content["classes"].items()},
            {str(form): str(word) for form, word in content["forms"].items()},
            {label: _words(words) for label, words in content["labels"].items()},
            {str(word): str(phrase) for word, phrase in content["phrases"].items()},
            {kind: frozenset(_words(words)) for kind, words in content["kinds"].items()},
        )
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", remedy) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(f"{path} is no table of concept words ({error!r})", remedy) from error
    if strangers := sorted(set(table.forms.values()) - set(table.words)):
        raise UsageError(f"{path}: forms of {', '.join(strangers)}, which no class is called", remedy)
    return table


def _words(words: Sequence[str]) -> tuple[str, ...]:
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
        raise ValueError(f"{words!r} is no list of words")
    return tuple(words)
