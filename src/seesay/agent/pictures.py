"""Which pictures an agent may open: those that the user named, those in folders that the user named, and those that a
search in the user's own library found.

Covers: a language model, or an instruction that somebody wrote into a picture and that it obeys, cannot make the tools
read another file, nor call an address, which could carry away what was said. Does not cover: files that the user names
together with hostile ones; what a picture tells of itself. Addresses go through the guards of `images.fetch` as well.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence

from langchain_core.messages import AnyMessage, HumanMessage, ToolMessage

from seesay.images.formats import EXTENSIONS
from seesay.images.reading import is_address

BEFORE, BEHIND = "\"'`<([{", "\"'`>)]}.,;:!?"
"""Signs that stand around a name and do not belong to it."""
LONGEST = 8
"""Words of a file's name that is not quoted."""


def named(text: str) -> tuple[str, ...]:
    """Pictures and folders that a text names: addresses; whatever is quoted or stands as a word or a run of words,
    where it is a path to something; words that end as pictures do."""
    found = [one.rstrip(BEHIND) for one in re.findall(r"https?://[^\s\"'`<>]+", text)]
    found += [
        one for pair in re.findall(r'"([^"\n]+)"|`([^`\n]+)`|\'([^\'\n]+)\'', text) for one in pair if _there(one)
    ]
    words = text.split()
    place = 0
    while place < len(words):
        path, length = _path(words[place : place + LONGEST])
        if path:
            found.append(path)
        place += length
    return tuple(dict.fromkeys(one for one in found if one))


def _path(words: Sequence[str]) -> tuple[str, int]:
    """The path that begins with the first word, and how many words it takes; the longest that exists."""
    for length in range(len(words), 0, -1):
        path = " ".join(words[:length]).lstrip(BEFORE).rstrip(BEHIND)
        if not is_address(path) and _there(path):
            return path, length
    single = words[0].lstrip(BEFORE).rstrip(BEHIND)
    looks = os.path.splitext(single)[1].lower() in EXTENSIONS and not is_address(single)
    return (single if looks else ""), 1


def _there(path: str) -> bool:
    """Whether it is a path to a picture, or to anything by its slash: a word alone is a word, and so is a slash."""
    if not any(letter.isalnum() for letter in path):
        return False
    if os.path.splitext(path)[1].lower() not in EXTENSIONS and os.sep not in path:
        return False
    return os.path.exists(os.path.expanduser(path))


def pictures(messages: Sequence[AnyMessage]) -> tuple[str, ...]:
    """What a conversation has named and found, folders left out, the latest first."""
    known = [one for one in _known(messages) if not os.path.isdir(os.path.expanduser(one))]
    return tuple(dict.fromkeys(reversed(known)))


def may_open(target: str, messages: Sequence[AnyMessage]) -> bool:
    """Whether the conversation allows it."""
    if is_address(target):
        return target in set(_known(messages))
    path = _real(target)
    known = {_real(one) for one in _known(messages) if not is_address(one)}
    folders = [one for one in known if os.path.dirname(one) != one]  # the whole disk is nothing that anybody names
    return path in known or any(path.startswith(os.path.join(one, "")) for one in folders)


def _known(messages: Sequence[AnyMessage]) -> Iterator[str]:
    for message in messages:
        if isinstance(message, HumanMessage):
            yield from named(message.text)
        elif isinstance(message, ToolMessage) and isinstance(message.artifact, dict):
            yield from message.artifact.get("found", ())


def _real(path: str) -> str:
    """A path without links and dots, so that a folder's name does not open what lies elsewhere."""
    return os.path.realpath(os.path.expanduser(path))
