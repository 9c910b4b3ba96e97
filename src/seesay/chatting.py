"""Conversations about a picture: questions that follow each other, by whatever the model makes of earlier ones.

A model with the capability "chat" has the earlier turns in its prompt, as its family was taught to. One that follows
instructions is told of them in words. Any other that answers questions answers each by itself, as BLIP does.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict
from typing import Protocol, TypeGuard

from seesay.describe import Describer, Seen
from seesay.errors import UsageError
from seesay.images import ImageLike
from seesay.instructing import follows
from seesay.records import Turn

MAX_TOKENS = 300
"""Of an answer, where nobody says otherwise."""


class Conversational(Describer, Protocol):
    """A describer that was taught conversations."""

    def converse(
        self, image: ImageLike | Seen, turns: Sequence[Turn], question: str, *, max_tokens: int
    ) -> Generator[str, None, bool]:
        """The answer to a question that follows earlier ones, piece by piece as it comes; in the end whether the limit
        of tokens cut it off. Raises ImageError."""
        ...


def converses(model: Describer) -> TypeGuard[Conversational]:
    """Whether the model was taught conversations."""
    return "chat" in model.capabilities


class Chat:
    """Questions about one picture, which is encoded once. `turns` are those that were answered.

    Raises CapabilityError for a model that answers no questions, ImageError for a picture that cannot be used.
    """

    def __init__(self, model: Describer, image: ImageLike, *, max_tokens: int = MAX_TOKENS) -> None:
        if not converses(model) and not follows(model):
            model.need("ask")
        self.model = model
        self.max_tokens = max_tokens
        self.show(image)

    def show(self, image: ImageLike) -> None:
        """Talk about another picture from now on; the conversation begins anew. Raises ImageError."""
        self._seen = self.model.see(image)
        self.turns: list[Turn] = []

    @property
    def remembers(self) -> bool:
        """Whether answers depend on earlier turns."""
        return converses(self.model) or follows(self.model)

    def ask(self, question: str) -> Iterator[str]:
        """The answer, piece by piece. It becomes a turn when it is whole; whoever stops listening leaves none behind.

        Raises UsageError for a question without a word, and what the model raises.
        """
        if not any(letter.isalnum() for letter in question):
            raise UsageError(f"The question {question!r} holds no word", "Give some words.")
        pieces, cut_off = [], False

        def coming() -> Iterator[str]:
            nonlocal cut_off
            cut_off = yield from answered(self.model, self._seen, self.turns, question, self.max_tokens)

        for piece in coming():
            pieces.append(piece)
            yield piece
        self.turns.append(Turn(question, "".join(pieces).strip(), cut_off))

    def undo(self) -> Turn | None:
        """Forget the last turn, and return it; None where there is none."""
        return self.turns.pop() if self.turns else None

    def transcript(self, picture: str, *, as_json: bool = False) -> str:
        """The conversation as text, or as JSON. picture: what the picture is called in it."""
        if as_json:
            told = {"picture": picture, "model": self.model.name, "turns": [asdict(turn) for turn in self.turns]}
            return json.dumps(told, indent=2, ensure_ascii=False) + "\n"
        head = f"Picture: {picture}\nModel: {self.model.name}\n"
        return head + "".join(f"\nQuestion: {turn.question}\nAnswer: {turn.answer}\n" for turn in self.turns)


def answered(
    model: Describer, seen: Seen, turns: Sequence[Turn], question: str, max_tokens: int
) -> Generator[str, None, bool]:
    """The answer to a question that follows earlier ones, by what the model can; piece by piece where it comes so, and
    in the end whether the limit of tokens cut it off."""
    if converses(model):
        return (yield from model.converse(seen, turns, question, max_tokens=max_tokens))
    if follows(model):
        answer = model.instruct(seen, told(turns, question), max_tokens=max_tokens)
    else:
        answer = model.ask(seen, question)
    yield answer.text
    return "cut off" in answer.flags


def told(turns: Sequence[Turn], question: str) -> str:
    """A question with what was said before it, in words."""
    if not turns:
        return question
    before = "\n".join(f"Question: {turn.question}\nAnswer: {turn.answer}" for turn in turns)
    return f"What was said about this picture so far:\n\n{before}\n\nAnswer now: {question}"
