"""Machine text is marked as such, where metadata has a place for who wrote it: IPTC's Description Writer.

The mark names the model and ends with a digest of the text, so that a text which somebody corrected since is known for
a person's, whatever program it was corrected in.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

PROGRAM = "Seesay"


def mark(model: str, text: str) -> str:
    """ "Seesay seesay-small #1f0c2a9e", at most 32 characters: IPTC has no room for more."""
    digest = _digest(text)
    room = 32 - len(PROGRAM) - len(digest) - 3
    return f"{PROGRAM} {model.rsplit('/', 1)[-1].replace(' ', '-')[:room]} #{digest}"


def is_machine(writer: str, text: str) -> bool:
    """Whether the mark is one of ours and tells of just this text."""
    found = re.fullmatch(rf"{PROGRAM} \S+ #([0-9a-f]{{8}})", writer)
    return found is not None and found[1] == _digest(text)


def by_people(descriptions: Sequence[tuple[str, str]], mine: str = "") -> list[str]:
    """Those of a photograph's descriptions, each with its writer, that none of the marks tells of, and that are not
    `mine`: a program may have carried our text to where no mark stands."""
    writers = {writer for _, writer in descriptions}
    ours = {text for text, _ in descriptions if any(is_machine(writer, text) for writer in writers)} | {mine}
    ours |= set(map(_in_latin, ours))
    return [text for text, _ in descriptions if text not in ours]


def _in_latin(text: str) -> str:
    """As it is read from IPTC that is not in UTF-8."""
    return " ".join(text.encode("cp1252", "replace").decode("latin-1").split())


def _digest(text: str) -> str:
    return hashlib.sha256(" ".join(text.split()).encode("utf-8", "replace")).hexdigest()[:8]
