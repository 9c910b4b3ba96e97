"""Object naming: how many captions say what is in the photo, for photos whose class is known."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from seesay.errors import UsageError
from seesay.evaluation.wordnet import Nouns

GENERIC = frozenset(
    """
    animal area artifact beast being canine chordate clothing commodity construction container conveyance
    covering creature device drink elevation entity equipment establishment fauna feline food formation good
    goods implement instrument instrumentality line liquid living mammal matter object organism part person
    piece placental portion produce solid structure substance surface thing top transport unit vehicle
    vertebrate vessel wear whole
    """.split()
)
"""Names of kinds so wide that to say one is not to name the object."""

WIDEST = 0.13
"""A name that fits a larger share of the classes than this does not count either (130 of ImageNet's 1,000)."""


@dataclass(frozen=True, slots=True)
class NamingScores:
    """`share` of the captions name their photo's object; `names` has, for each photo, the word that does, or None."""

    share: float
    names: Mapping[str, str | None] = field(repr=False)


def object_naming(captions: Mapping[str, str], classes: Mapping[str, str], nouns: Nouns) -> NamingScores:
    """How many `captions` (photo name -> caption) name the object of their photo.

    `classes` has the WordNet id of each photo; of more photos than have captions, if the captions are of a part of the
    set: how wide a name is, is counted over all classes. A caption names the object with a word for its class or for
    something that the class is a kind of, in the singular or with -s or -es.
    """
    if missing := [name for name in captions if name not in classes]:
        raise UsageError(f"the class of {len(missing)} photos is not known, such as {missing[0]}", "give its label")
    if not captions:
        raise UsageError("there are no captions to score", "give at least one photo and its caption")
    accepted = accepted_names(classes.values(), nouns)
    names = {photo: name_in(caption, accepted[classes[photo]]) for photo, caption in captions.items()}
    return NamingScores(sum(name is not None for name in names.values()) / len(names), names)


def accepted_names(classes: Iterable[str], nouns: Nouns) -> dict[str, frozenset[str]]:
    """For each WordNet id: the words that name such an object, among these classes."""
    words = {
        wordnet_id: {word for kind in nouns.kinds(wordnet_id) for word in nouns[kind].words} - GENERIC
        for wordnet_id in classes
    }
    counts = Counter(word for names in words.values() for word in names)
    limit = WIDEST * len(words)
    return {wordnet_id: frozenset(n for n in names if counts[n] <= limit) for wordnet_id, names in words.items()}


def name_in(caption: str, names: Iterable[str]) -> str | None:
    """The longest of `names` that stands in the caption, or None."""
    text = " " + " ".join(re.findall("[a-z]+", caption.lower())) + " "
    found = [name for name in names if any(f" {name}{plural} " in text for plural in ("", "s", "es"))]
    return max(found, key=lambda name: (len(name), name), default=None)
