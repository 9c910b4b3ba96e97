"""Texts put together from what is known: "{caption}[, in {place}][, {date}][. With {people}]".

What stands in square brackets is left out where one of its fields is empty.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from seesay.errors import UsageError
from seesay.images.metadata import PhotoFacts

FACTS = ("date", "place", "people", "keywords", "description")
"""Fields that the photograph's file fills."""
KNOWN = ("caption", "context", "text", *FACTS)
FIELD = re.compile(r"{(\w*)}")
PART = re.compile(r"\[([^\[\]]*)\]")


@dataclass(frozen=True, slots=True)
class Template:
    """A text with fields. Raises UsageError for a field that nothing fills, and for brackets within brackets."""

    text: str

    def __post_init__(self) -> None:
        if unknown := [name for name in FIELD.findall(self.text) if name not in KNOWN]:
            raise UsageError(f"No field is called {{{unknown[0]}}}", f"Known are {', '.join(KNOWN)}.")
        rest = PART.sub("", self.text)
        if "[" in rest or "]" in rest or not FIELD.search(self.text):
            raise UsageError(f"{self.text!r} is no template", 'Write it so: "{caption}[, in {place}]"')

    @property
    def needs_facts(self) -> bool:
        """Whether the photograph's file has to be asked."""
        return any(name in FACTS for name in FIELD.findall(self.text))

    def filled(self, values: Mapping[str, str]) -> str:
        """The text with its fields filled; a missing value is an empty one."""

        def part(found: re.Match[str]) -> str:
            return found[1] if all(values.get(name) for name in FIELD.findall(found[1])) else ""

        return FIELD.sub(lambda found: values.get(found[1], ""), PART.sub(part, self.text)).strip()


def fields_of(facts: PhotoFacts) -> dict[str, str]:
    """A photograph's facts in words."""
    taken = facts.taken
    return {
        "date": f"{taken.day} {taken:%B} {taken.year}" if taken else "",
        "place": facts.place,
        "people": listed(facts.people),
        "keywords": ", ".join(facts.keywords),
        "description": facts.description,
    }


def listed(names: tuple[str, ...]) -> str:
    """ "Anna", "Anna and Ben", "Anna, Ben and Carl"."""
    return " and ".join(part for part in (", ".join(names[:-1]), "".join(names[-1:])) if part)
