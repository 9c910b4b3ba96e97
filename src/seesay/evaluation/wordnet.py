"""Nouns of WordNet 3.0: what a class of ImageNet is called, and what kind of thing it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from seesay.errors import DataError


@dataclass(frozen=True, slots=True)
class Synset:
    """One meaning: the words for it in lower case, the commonest first, and the ids of what it is a kind of."""

    words: tuple[str, ...]
    hypernyms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Nouns:
    """WordNet's nouns by id: "n" and the eight digits of their place in the file, as ImageNet names its classes."""

    synsets: Mapping[str, Synset] = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> Nouns:
        """Of WordNet's `data.noun` (format: wndb(5WN); Debian has it in the package wordnet-base)."""
        try:
            with path.open(encoding="utf-8") as file:
                lines = ((number, line) for number, line in enumerate(file, 1) if not line.startswith(" "))
                synsets = dict(_synset(line, f"{path}:{number}") for number, line in lines)
        except OSError as error:
            raise DataError(
                f"{path}: cannot be read ({error.strerror})",
                "give the path of WordNet 3.0's data.noun (on Debian: apt install wordnet-base)",
            ) from error
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: not WordNet's data.noun", "give the path of that file") from error
        return cls(synsets)

    def __getitem__(self, wordnet_id: str) -> Synset:
        try:
            return self.synsets[wordnet_id]
        except KeyError:
            raise DataError(
                f"no noun {wordnet_id} in this WordNet", "ImageNet's ids are those of version 3.0; check the version"
            ) from None

    def kinds(self, wordnet_id: str) -> Iterator[str]:
        """The id itself and those of everything it is a kind of, each once, the nearest first."""
        seen: set[str] = set()
        level = [wordnet_id]
        while level:
            level = [synset for synset in dict.fromkeys(level) if synset not in seen]
            seen.update(level)
            yield from level
            level = [above for synset in level for above in self[synset].hypernyms]


def _synset(line: str, place: str) -> tuple[str, Synset]:
    """A line is: offset, file, type, word count (hex), words with a number each, pointer count, pointers of four."""
    try:
        fields = line.split("|", 1)[0].split()
        end = 4 + 2 * int(fields[3], 16)
        pointers = fields[end + 1 : end + 1 + 4 * int(fields[end])]
        return f"n{fields[0]}", Synset(
            words=tuple(word.lower().replace("_", " ") for word in fields[4:end:2]),
            hypernyms=tuple(
                f"n{offset}"
                for symbol, offset in zip(pointers[::4], pointers[1::4], strict=True)
                if symbol in ("@", "@i")  # kind of, instance of
            ),
        )
    except (IndexError, ValueError) as error:
        raise DataError(f"{place}: not a line of WordNet's data.noun", "give the path of that file") from error
