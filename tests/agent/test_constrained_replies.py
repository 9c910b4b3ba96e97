"""Replies of models that were never taught tool calling: read however they are wrapped, told piece by piece."""

from __future__ import annotations

import json

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage, ToolMessage

from seesay.agent import Constrained
from seesay.agent.constrained import Step, in_words, read_step

LOOK = Step("see", "look", {"target_url": "a.jpg"})
TOOLS = [
    {
        "name": "look",
        "description": "Looks.",
        "parameters": {"type": "object", "properties": {"target_url": {"type": "string", "description": "A path"}}},
    }
]


@pytest.mark.parametrize(
    "text",
    [
        '{"thought": "see", "tool": "look", "arguments": {"target_url": "a.jpg"}}',
        'Sure!\n```json\n{"thought": "see", "tool": "look", "arguments": {"target_url": "a.jpg"}}\n```\nDone.',
        '<think>{"answer": "no"}</think>{"thought": "see", "tool": "look", "arguments": {"target_url": "a.jpg"}}',
        '{"reasoning": "see", "action": "look", "action_input": {"target_url": "a.jpg"}}',
        '{"thought": "see", "name": "look", "arguments": "{\\"target_url\\": \\"a.jpg\\"}"}',
        '{"thought": "see", "function": {"name": "look", "arguments": {"target_url": "a.jpg"}}}',
        '{"thought": "see", "tool": "look", "arguments": {"target_url": "a.jpg"',
        'It is {simple}: {"thought": "see", "tool": "look", "arguments": {"target_url": "a.jpg"}}',
    ],
)
def test_a_call_is_understood_however_it_is_wrapped(text: str) -> None:
    assert read_step(text) == LOOK


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("Thought: see\nAction: look\nAction Input: a.jpg\n", Step("Thought: see", "look", {"": "a.jpg"})),
        ('Action: look("a.jpg")', Step("", "look", {"": "a.jpg"})),
        ("Thought: enough\nFinal Answer: a cup", Step("Thought: enough", answer="a cup")),
        ('{"thought": "enough", "final_answer": "a cup"}', Step("enough", answer="a cup")),
        ('{"action": "Final Answer", "action_input": "a cup"}', Step(answer="a cup")),
        ('{"thought": "enough", "answer": "a cup of', Step("enough", answer="a cup of")),
        ('{"thought": "nothing but a thought"}', Step(answer="nothing but a thought")),
        ('{"answer": ["a", "b"]}', Step(answer='["a", "b"]')),
        ("A cup.", Step(answer="A cup.")),
        ("{}", Step(answer="{}")),
        ("", Step()),
    ],
)
def test_other_replies_are_what_they_mean(text: str, step: Step) -> None:
    assert read_step(text) == step


def told(text: str) -> list[AIMessageChunk]:
    """What a model that writes this letter by letter is made to say."""
    model = Constrained(chat=FakeListChatModel(responses=[text]), form="format")
    model.chat.__class__._stream.__name__  # noqa: B018  # it streams
    return [
        chunk for chunk in model.bind_tools([]).bind(tools=TOOLS).stream("hello") if isinstance(chunk, AIMessageChunk)
    ]


def test_thoughts_and_answers_come_as_they_are_written() -> None:
    text = json.dumps({"thought": 'I "see" 🐈', "answer": "a cat\n\\o/ 🐈 é"})
    chunks = told(text)
    assert len(chunks) > 10
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk  # type: ignore[assignment]
    assert whole.text == "a cat\n\\o/ 🐈 é"
    assert whole.additional_kwargs["reasoning_content"] == 'I "see" 🐈'
    assert not whole.tool_calls


def test_an_argument_without_a_name_is_the_first() -> None:
    chunks = told("Action: look\nAction Input: a.jpg")
    [call] = sum(chunks[1:], chunks[0]).tool_calls  # type: ignore[attr-defined]
    assert (call["name"], call["args"]) == ("look", {"target_url": "a.jpg"})


def test_half_letters_come_out_whole_or_not_at_all() -> None:
    chunks = told('{"thought": "", "answer": "\\ud83d alone"}')
    assert "".join(chunk.text for chunk in chunks) == "\ufffd alone"


def test_a_conversation_with_tools_becomes_one_without() -> None:
    call = {"name": "look", "args": {"target_url": "a.jpg"}, "id": "1", "type": "tool_call"}
    messages = [
        SystemMessage("Be brief."),
        HumanMessage("one"),
        HumanMessage("two"),
        AIMessage("", additional_kwargs={"reasoning_content": "see"}, tool_calls=[call]),
        ToolMessage("a cup", name="look", tool_call_id="1"),
        HumanMessage("and?"),
        AIMessage("a cup"),
    ]
    system, *rest = in_words(messages, TOOLS)
    assert system.text.startswith("Be brief.\n\n")
    assert 'look: Looks. Arguments: {"target_url": "A path"}' in system.text
    assert [type(message) for message in rest] == [HumanMessage, AIMessage, HumanMessage, AIMessage]
    assert rest[0].text == "one\n\ntwo"
    assert json.loads(rest[1].text) == {"thought": "see", "tool": "look", "arguments": {"target_url": "a.jpg"}}
    assert rest[2].text == "look tells:\na cup\n\nand?"
    assert json.loads(rest[3].text)["answer"] == "a cup"
    assert in_words([HumanMessage("one")], []) == [HumanMessage("one")]
