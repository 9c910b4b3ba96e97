"""Words of a caption as pycocoevalcap counts them: Penn Treebank tokens, less punctuation."""

from __future__ import annotations

import re

PUNCTUATION = frozenset(["''", "'", "``", "`", '"', ".", "?", "!", ",", ":", "-", "--", "...", ";"])

_TOKEN = re.compile(
    r"""
    can(?=not\b)                                    # can not
    | (?:gon|wan)(?=na\b) | got(?=ta\b)             # gon na, wan na, got ta
    | \w+?(?=n't\b)                                 # ca n't
    | n't\b
    | '(?:s|m|d|re|ve|ll)\b
    | [#@$+-]?\d+(?:[.,:/]\d+)*(?:-?\w+)*
    | \w+(?:[-/&]\w+)*(?:'\w+(?<!'s)(?<!'d)(?<!'m)(?<!'ll)(?<!'re)(?<!'ve)(?<!n't))?
    | \.\.+
    | \S
    """,
    re.VERBOSE,
)


def tokenize(caption: str) -> str:
    """Lower-case words of `caption`, joined by single spaces, punctuation left out."""
    words = _TOKEN.findall(caption.lower())
    return " ".join(word for word in words if word not in PUNCTUATION)
