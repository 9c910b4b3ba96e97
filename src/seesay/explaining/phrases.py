"""The phrases of a caption: what it claims, piece by piece.

A caption is cut at the words that join its parts (prepositions, conjunctions, auxiliary verbs) and at punctuation:
"a black dog sitting on a red sofa, next to a ball" claims "a black dog sitting", "a red sofa" and "a ball". No grammar
is known beyond these words. So a verb stays with its subject, and what a preposition says of two things is not judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

JOINTS = frozenset(
    (
        "about above across after against along amid among and are around as at atop be because been before behind "
        "being below beneath beside between beyond but by down during for from had has have having here in inside into "
        "is it its near next of off on onto or out outside over past than that their there these they this those "
        "through to together toward towards under underneath up upon was were where which while who whose with within "
        "without"
    ).split()
)
"""Words that join phrases and belong to none."""
BARE = frozenset(
    (
        "a an another back close couple each front her his image left many other photo photograph picture right "
        "several side some the three top two very view"
    ).split()
)
"""Words that make no phrase by themselves: "a photo of", "in front of" and "a couple of" claim nothing."""
CLOSING = ",.;:!?)\"'"
OPENING = "(\"'"


def phrases(words: Sequence[str]) -> Iterator[range]:
    """The places of each phrase's words."""
    start = 0
    for place, word in enumerate(words):
        if plain(word) in JOINTS:
            yield from _phrase(words, start, place)
            start = place + 1
        elif word[-1] in CLOSING:
            yield from _phrase(words, start, place + 1)
            start = place + 1
    yield from _phrase(words, start, len(words))


def plain(word: str) -> str:
    """The word in small letters, without the punctuation around it."""
    return word.lower().lstrip(OPENING).rstrip(CLOSING)


def _phrase(words: Sequence[str], start: int, end: int) -> Iterator[range]:
    if any(plain(word) and plain(word) not in BARE for word in words[start:end]):
        yield range(start, end)
