"""Conversations: what the model is told of earlier turns, and what becomes of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import seesay
from scripted import Scripted
from seesay.chatting import Chat, told
from seesay.errors import CapabilityError, ImageNotFound, UsageError
from seesay.records import Answer, Turn
from tiny_models import tiny_model

RED = Image.new("RGB", (20, 20), "red")


class Single(Scripted):
    """Answers single questions, as BLIP does."""

    capabilities = frozenset({"ask"})


def test_a_model_that_follows_instructions_is_told_of_earlier_turns() -> None:
    heard: list[str] = []

    def reply(asked: str) -> str:
        heard.append(asked)
        return f"answer {len(heard)}"

    talk = Chat(Scripted(reply), RED, max_tokens=7)
    assert talk.remembers
    assert ["".join(talk.ask(question)) for question in ("what is it?", "why?")] == ["answer 1", "answer 2"]
    assert heard == ["what is it?", told([Turn("what is it?", "answer 1")], "why?")]
    assert "Question: what is it?\nAnswer: answer 1\n" in heard[1]
    assert talk.model.limits == [7, 7]  # type: ignore[attr-defined]
    assert talk.undo() == Turn("why?", "answer 2")
    assert talk.turns == [Turn("what is it?", "answer 1")]
    talk.show(RED)
    assert (talk.turns, talk.undo()) == ([], None)


def test_a_model_of_single_questions_hears_the_question_alone() -> None:
    heard: list[str] = []
    talk = Chat(Single(lambda asked: heard.append(asked) or "yes"), RED)  # type: ignore[func-returns-value]
    for question in ("what is it?", "why?"):
        assert "".join(talk.ask(question)) == "yes"
    assert heard == ["what is it?", "why?"]
    assert not talk.remembers
    assert len(talk.turns) == 2


def test_an_answer_that_nobody_heard_to_its_end_is_no_turn() -> None:
    talk = Chat(Scripted(lambda asked: "yes"), RED)
    pieces = talk.ask("what is it?")
    next(pieces)
    pieces.close()  # type: ignore[attr-defined]
    assert talk.turns == []
    with pytest.raises(UsageError):
        next(talk.ask("?!"))


def test_transcripts_for_people_and_for_programs() -> None:
    talk = Chat(Scripted(lambda asked: "a “red” square"), RED)
    "".join(talk.ask("what is it?"))
    assert talk.transcript("red.png") == (
        "Picture: red.png\nModel: scripted\n\nQuestion: what is it?\nAnswer: a “red” square\n"
    )
    told_of = json.loads(talk.transcript("red.png", as_json=True))
    assert told_of["turns"] == [{"question": "what is it?", "answer": "a “red” square", "cut_off": False}]


def test_an_answer_that_met_its_limit_is_marked() -> None:
    class Short(Scripted):
        def instruct(self, *given: Any, **named: Any) -> Answer:
            return replace(super().instruct(*given, **named), flags=("cut off",))

    talk = Chat(Short(lambda asked: "a red"), RED)
    assert "".join(talk.ask("what is it?")) == "a red"
    assert talk.turns == [Turn("what is it?", "a red", cut_off=True)]


def test_who_cannot_answer_and_what_cannot_be_seen(tmp_path: Path) -> None:
    captioner = seesay.load(tiny_model(tmp_path / "tiny", "caption"), precision="fp32", threads=1, cache=tmp_path)
    with pytest.raises(CapabilityError) as caught:
        Chat(captioner, RED)
    assert "blip-vqa-base" in caught.value.remedy
    with pytest.raises(ImageNotFound):
        Chat(Scripted(lambda asked: "yes"), "nowhere.jpg")
