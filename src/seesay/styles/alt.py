"""Alternative text by the rules that people check for (W3C's "alt Decision Tree", WebAIM, editors of accessible pages).

- It says what the picture shows, not that it is one: no "image of", "picture of", "photo of".
- It is short: screen readers read it in one breath, and some cut it. 125 characters are the usual limit.
- It is a sentence: a capital letter, and a full stop where the reader's voice rests.
- It does not repeat what stands beside the picture, and is no file name.
- A picture that is decoration has an empty one, so that it is passed over: only a person can say so.
"""

from __future__ import annotations

import re

from seesay.explaining.phrases import JOINTS, plain
from seesay.styles.words import content_words

ALT_LENGTH = 125
"""Characters, unless another limit is asked for."""
KINDS = (
    r"black[ -]and[ -]white|close[ -]?up|aerial|x-ray|infrared|vintage|old|colou?r|blurry|digital|stock|single|small|"
    r"large|nice|beautiful"
)
OPENING = re.compile(
    rf"^(?:(?:this|the|a|an)\s+)?(?P<kind>(?:(?:{KINDS})\s+){{0,3}})"
    r"(?:image|picture|photo|photograph|photography|pic|snapshot)\s+"
    r"(?:(?:of|showing|depicting|with)\s+|(?:that\s+)?shows\s+)(?=\S)",
    re.IGNORECASE,
)
IN_KIND = re.compile(r"black[ -]and[ -]white|aerial|x-ray|infrared", re.IGNORECASE)
"""What is kept of "a black and white photo of": it says something of what is seen."""
FILE_NAME = re.compile(
    r"^\S+\.(?:jpe?g|png|gif|webp|tiff?|avif|heic|svg|bmp)$|^(?:IMG|DSC|DSCN|PXL)[_-]?\d+", re.IGNORECASE
)
WEAK_ENDS = JOINTS | frozenset("a an the some very his her".split())


def alt_text(text: str, length: int = ALT_LENGTH) -> str:
    """A description as alternative text: without its opening, a sentence, not longer than `length`."""
    return sentence(fitted(without_opening(text).rstrip(" ."), length - 1))


def without_opening(text: str) -> str:
    """What a description says of the picture, without "a photo of" before it."""
    bare = " ".join(text.split()).strip("\"“”' ")
    found = OPENING.match(bare)
    if not found:
        return bare
    kind = IN_KIND.search(found["kind"] or "")
    return bare[found.end() :] + (f", {_as_trait(kind[0])}" if kind else "")


def _as_trait(kind: str) -> str:
    """A kind of photograph, as something said of what it shows."""
    traits = {"x-ray": "as an x-ray", "aerial": "from the air", "infrared": "in infrared"}
    return traits.get(kind.lower(), "in black and white")


def sentence(text: str) -> str:
    """A capital letter at the start, a full stop at the end."""
    if not text:
        return ""
    ended = text if text[-1] in ".!?…" else f"{text}."
    return ended[0].upper() + ended[1:]


def fitted(text: str, length: int) -> str:
    """As much of the text as fits, ending where a phrase does: never within a word, nor on "of" or "the"."""
    if len(text) <= length:
        return text
    words = text[: length + 1].split(" ")[:-1] or [text[:length]]
    sentences = [place for place, word in enumerate(words, 1) if word.endswith((".", "!", "?"))]
    if sentences and sentences[-1] > len(words) // 2:
        return " ".join(words[: sentences[-1]])
    joints = [place for place, word in enumerate(words) if plain(word) in JOINTS]
    if joints and joints[-1] > len(words) // 2:
        words = words[: joints[-1]]
    while len(words) > 1 and plain(words[-1]) in WEAK_ENDS:
        words.pop()
    return " ".join(words).rstrip(",;: ")


def problems(text: str, *, length: int = ALT_LENGTH, context: str = "") -> tuple[str, ...]:
    """What the rules have against an alternative text; nothing where it is empty on purpose."""
    said = content_words(text)
    found = {
        "opens with the kind of picture": OPENING.match(text) is not None,
        f"longer than {length} characters": len(text) > length,
        "a file name": FILE_NAME.match(text) is not None,
        "says nothing": bool(text) and not said,
        "repeats the context": bool(said) and set(said) <= set(content_words(context)),
    }
    return tuple(problem for problem, there in found.items() if there)
