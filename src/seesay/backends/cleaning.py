"""What models wrap around an answer comes off: thinking, fences, "Here's a detailed description", quotes, offers.

Only what is certain to be no part of the answer goes, and only at its two ends: a sentence is never rewritten. Covers
English wrappers and the markup of current models; does not cover openings that belong to the sentence ("The image
shows a dog"), which the instruction asks models to leave out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator

LONGEST = 50_000
"""Letters of a reply that are looked at: no limit of tokens that we set lets more through."""

THOUGHT = r"think|thinking|thought|reasoning|analysis"
CLOSED_THOUGHT = re.compile(rf"^.*</(?:{THOUGHT})>|^.*<\|channel\|>final<\|message\|>", re.DOTALL | re.IGNORECASE)
OPEN_THOUGHT = re.compile(rf"^\s*(?:<(?:{THOUGHT})>|<\|channel\|>(?:analysis|thought)).*$", re.DOTALL | re.IGNORECASE)
"""Thinking that the limit of tokens cut off before its end: nothing of the answer was said."""

OPENINGS = tuple(f"<{tag}>" for tag in THOUGHT.split("|"))

MARK = r"<\|[^|<>]{1,40}\|>|</?s>|<(?:eos|bos|pad|end_of_turn|end_of_utterance|start_of_turn)>|\[/?INST\]"
MARKS = re.compile(rf"^(?:\s*(?:{MARK}))+|(?:(?:{MARK})\s*)+$", re.IGNORECASE)
"""Special tokens that a server forgot to take out."""

FENCED = re.compile(r"^(?P<before>[^`]{0,200}?)```[\w-]*[ \t]*\n(?P<inner>[^`]*?)\n?```\s*(?P<after>[^`]*)$", re.DOTALL)

NOUN = r"(?:caption|description|sentence|answer|summary|alt[- ]?text|title|response|reply)"
SURE = r"(?:sure|certainly|of course|absolutely|okay|ok|great|got it|no problem)(?: thing)?"
KIND = r"(?:(?:the|final|image|short|possible|suggested|my|brief|detailed|one-sentence)\s+){0,2}"
OF = r"(?: (?:of|for|to|about) (?:the|this|your|that) (?:image|picture|photo|photograph|question))?"
PREAMBLES = re.compile(
    rf"^(?:{SURE}\s*(?:[!:]|[,.]\s+(?=here|below|the))"
    rf"|(?:here(?:['’]s| is| are)|below is)[^:\n.!?]{{0,80}}\b(?:{NOUN}|json)s?\b[^:\n.!?]{{0,60}}:)\s*",
    re.IGNORECASE,
)
LABELS = re.compile(rf"^[*_#\s]*{KIND}{NOUN}{OF}(?: is)?\s*[*_]*\s*:\s*[*_]*\s*", re.IGNORECASE)
OFFERS = re.compile(
    r"\n\s*(?:-{3,}\s*)?(?:let me know|would you like|if you(?:['’]d| would)? (?:like|want|need)|i hope (?:this|that)"
    r"|feel free|is there anything|do you want|please let me know|note:)[^\n]*\s*$",
    re.IGNORECASE,
)
MARKDOWN = re.compile(r"^(?:#{1,6}\s+|>\s+|[-*•]\s+(?!.*\n\s*[-*•]\s))")
WRAPS = (("**", "**"), ("__", "__"), ("*", "*"), ("_", "_"), ("`", "`"), ('"', '"'), ("“", "”"), ("«", "»"), ("'", "'"))

REFUSALS = re.compile(
    r"^(?:(?:i['’]?m |i am |we['’]?re )?(?:very |really )?(?:sorry|unable to|not able to)"
    r"|i (?:can['’]?t|cannot|can not|won['’]?t)|as an ai)\b",
    re.IGNORECASE,
)


def unwrapped(reply: str, *, sentence: bool = True) -> str:
    """The answer in a reply, as it stands there.

    sentence: a sentence was asked for, so that labels, quotes and markup around all of it are no part of it. Where
    anything may have been asked for, JSON and lists among it, only what is never an answer goes.
    """
    text, before = reply.strip()[:LONGEST], None
    while text != before:
        before = text
        for step in (*ALWAYS, *(OF_A_SENTENCE if sentence else ())):
            text = step(text).strip()
    return text


def answering(pieces: Iterable[str], *, thinking: bool = False) -> Iterator[str]:
    """Pieces of an answer as they come, without the thinking before them.

    thinking: the words that asked have begun it, as the templates of thinking models do.
    """
    coming, held = iter(pieces), ""
    for piece in coming:
        held += piece
        start = held.lstrip().lower()
        thinking = thinking or start.startswith(OPENINGS)
        if thinking:
            found = CLOSED_THOUGHT.match(held)
            if found and (answer := held[found.end() :].lstrip()):
                yield answer
                break
        elif not any(tag.startswith(start) for tag in OPENINGS):  # nor will it become one
            yield held
            break
    else:
        if held and not thinking:
            yield held
    yield from coming


def is_refusal(text: str) -> bool:
    """Whether a text declines to answer, in the words that models decline with."""
    return REFUSALS.match(text) is not None


def _without_thinking(text: str) -> str:
    return OPEN_THOUGHT.sub("", CLOSED_THOUGHT.sub("", text))


def _without_marks(text: str) -> str:
    return MARKS.sub("", text)


def _out_of_fence(text: str) -> str:
    """What a fence holds, where only a preamble stands before it and only an offer of help behind."""
    found = FENCED.match(text)
    if not found or not found["inner"].strip():
        return text
    introduced = not found["before"].strip() or found["before"].rstrip().endswith(":")
    return found["inner"] if introduced else text


def _out_of_json(text: str) -> str:
    """The text of {"caption": "..."}, an object of one text."""
    if not (text.startswith("{") and text.endswith("}")):
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    only = list(value.values())
    return only[0] if len(only) == 1 and isinstance(only[0], str) else text


def _without_preamble(text: str) -> str:
    return PREAMBLES.sub("", text, count=1) or text


def _without_label(text: str) -> str:
    return LABELS.sub("", text, count=1) or text


def _without_offers(text: str) -> str:
    return OFFERS.sub("", text)


def _without_markdown(text: str) -> str:
    return MARKDOWN.sub("", text)


def _out_of_quotes(text: str) -> str:
    for opening, closing in WRAPS:
        inner = text[len(opening) : len(text) - len(closing)]
        if len(text) > len(opening) + len(closing) and text.startswith(opening) and text.endswith(closing):
            marks = (opening, closing) if opening != "'" else ("' ", " '")  # apostrophes stand within words
            if not any(mark in inner for mark in marks):
                return inner
    return text


Step = Callable[[str], str]
ALWAYS: tuple[Step, ...] = (_without_thinking, _without_marks, _out_of_fence, _without_preamble, _without_offers)
OF_A_SENTENCE: tuple[Step, ...] = (_out_of_json, _without_label, _without_markdown, _out_of_quotes)
