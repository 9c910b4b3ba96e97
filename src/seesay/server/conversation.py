"""What a chat says about a picture, by whatever the model can: words of others' protocols become our verbs."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

from seesay.asking import AskOptions
from seesay.chatting import MAX_TOKENS, answered
from seesay.describe import CaptionOptions, Describer, Seen
from seesay.errors import CapabilityError, UsageError
from seesay.records import Answer, Caption, Turn
from seesay.server.service import Service

Options = TypeVar("Options", CaptionOptions, AskOptions)
FREE = frozenset({"chat", "instruct"})
"""Capabilities of models that take any words; the others caption, or answer short questions."""
DESCRIBES = re.compile(
    r"\b(describ\w+|descriptions?|caption\w*|alt(ernative)?[- ]?text|summari[sz]e|depict\w*|tell me about)\b"
    r"|^\W*(what(['’]?s| is| do you see| can you see)?|identify|show me)"
    r"( (in|on|shown in|depicted in|happening in|going on in))?( (this|the|that))? (image|picture|photo(graph)?)\W*$"
    r"|^\W*$",
    re.IGNORECASE,
)
"""Instructions that a caption fulfils."""


@dataclass(frozen=True, slots=True)
class Talk:
    """The end of a conversation: a picture, what was said about it, and what is asked now."""

    picture: bytes
    question: str
    turns: tuple[Turn, ...] = ()
    system: str = ""
    """What the caller tells the model beforehand; only models that follow instructions read it."""
    max_tokens: int | None = None
    count: int = 1


@dataclass(frozen=True, slots=True)
class Said:
    """What the model says."""

    text: str
    tokens: int
    """As many as it wrote; 0 where the model does not tell."""
    cut: bool
    """Whether a limit ended it."""


@dataclass(slots=True)
class End:
    """How a reply ended, once it has."""

    cut: bool = False
    """Whether a limit ended it."""
    tokens: int = 0
    """As many as it wrote; 0 where the model does not tell."""


async def say(service: Service, model: str | None, talk: Talk) -> list[Said]:
    """As many replies as were asked for, the best first.

    Raises ImageError; CapabilityError, which names a model that can, where this one cannot do what is asked.
    """
    able = await service.worker.capabilities(model)
    if able & FREE:
        if talk.count > 1:
            raise UsageError(f"{talk.count} replies at once", "Ask for one, again and again.")
        end = End()
        text = "".join([piece async for piece in pieces(service, model, talk, end)])
        return [Said(text.strip(), end.tokens, end.cut)]
    if wants_caption(talk.question) and ("caption" in able or "ask" not in able):
        caption = await service.worker.caption(model, talk.picture, _shortened(CaptionOptions(), talk))
        return [_said(one) for one in caption.all]
    answer = await service.worker.answer(model, talk.picture, talk.question, _shortened(AskOptions(), talk))
    return [_said(one) for one in answer.all]


async def pieces(service: Service, model: str | None, talk: Talk, end: End) -> AsyncIterator[str]:
    """One reply, piece by piece as it comes; in one piece where the model says it at once. Errors come before the
    first; `end` says with the last how it ended."""
    able = await service.worker.capabilities(model)
    if not able & FREE:
        [said] = await say(service, model, talk)
        end.cut, end.tokens = said.cut, said.tokens
        yield said.text
        return

    def speak(loaded: Describer, seen: Seen) -> Iterator[str]:
        most = talk.max_tokens or MAX_TOKENS
        question = f"{talk.system}\n\n{talk.question}".strip() or "Describe this picture in one sentence."
        end.cut = yield from answered(loaded, seen, talk.turns, question, most)

    async for piece in service.worker.stream(model, talk.picture, speak):
        yield piece


def wants_caption(question: str) -> bool:
    """Whether a caption is what is asked for. A question for a detail is one for `ask`."""
    return DESCRIBES.search(question) is not None


def plain_words_only(wanted: object) -> None:
    """Raises CapabilityError where an answer in JSON is wanted, which nothing here guarantees."""
    if wanted:
        raise CapabilityError(
            "Answers are plain words here, not JSON",
            "Leave the format out; `seesay describe --prompt` asks models that follow instructions for JSON.",
        )


def _shortened(options: Options, talk: Talk) -> Options:
    """With as many sentences as are wanted, and no more words than are wanted or usual."""
    most = min(options.max_new_tokens, talk.max_tokens or options.max_new_tokens)
    return replace(options, count=talk.count, beams=max(options.beams, talk.count), max_new_tokens=most)


def _said(one: Caption | Answer) -> Said:
    return Said(one.text, len(one.tokens), "cut off" in one.flags)
