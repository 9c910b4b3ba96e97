"""Machine text is marked as such, where metadata has a place for who wrote it: IPTC's Description Writer.

The mark names the model and ends with a digest of the text, so that a text which somebody corrected since is known for
a person's, whatever program it was corrected in.
"""

from __future__ import annotations

import hashlib
import re

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


def _digest(text: str) -> str:
    return hashlib.sha256(" ".join(text.split()).encode("utf-8", "replace")).hexdigest()[:8]
