"""Tool calling for models that were never taught it: each reply is one JSON object, held to its form by a grammar or a
schema where the model's server can do that, and read tolerantly everywhere.

    create_agent(Constrained(chat=ChatOllama(model="mistral"), form="format"), [image_descriptor(model)])

A reply is {"thought": ..., "tool": NAME, "arguments": {...}} or {"thought": ..., "answer": ...}. In the thought a small
model has room to make up its mind before it commits itself to a name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import uuid4

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.exceptions import ModelConnectionError
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.language_models.chat_models import generate_from_stream
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_core.utils.json import parse_partial_json
from pydantic import Field

from seesay.agent.grammar import gbnf
from seesay.agent.llama_cpp import DYING
from seesay.errors import ModelError

Json = dict[str, Any]
Form = Literal["grammar", "response_format", "format"]
"""How a server is told of the form: llama.cpp's GBNF, OpenAI's response_format, Ollama's format."""

ENDED = "Load the model again; with less `context_length` or `gpu_layers` where memory ran short."
ENDS = ("finish_reason", "done_reason", "stop_reason")
"""Where a model says how its reply ended."""
THOUGHT = 200
"""Characters of a thought at most."""
RULES = """You cannot see pictures yourself. Tools see them for you:

{tools}

Reply with one JSON object and nothing else. To use a tool:
{{"thought": "why", "tool": "NAME", "arguments": {{...}}}}
To answer, when the tools have told you enough:
{{"thought": "why", "answer": "the answer"}}"""


class Constrained(BaseChatModel):
    """A chat model with tool calling, made of one without."""

    chat: BaseChatModel
    form: Form
    server: Any = Field(default=None, exclude=True)
    """The `LlamaCpp` behind the chat, which lives as long as this does; None for a server of somebody else's."""

    @property
    def _llm_type(self) -> str:
        return f"constrained {self.chat._llm_type}"

    def bind_tools(
        self,
        tools: Sequence[Mapping[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """tool_choice: "any" for a reply that calls a tool, "none" for one that answers. `choices`, where given, are
        the values that an argument of that name may have."""
        told = [convert_to_openai_tool(dict(tool) if isinstance(tool, Mapping) else tool)["function"] for tool in tools]
        return self.bind(tools=told, tool_choice=tool_choice, **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return generate_from_stream(self._stream(messages, stop, run_manager, **kwargs))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        *,
        tools: Sequence[Json] = (),
        tool_choice: str | None = None,
        choices: Mapping[str, Sequence[str]] | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        """The thought (as reasoning) and the answer as they come; a call of a tool when it is whole."""
        form = self._form(schema(tools, tool_choice, choices or {}))
        reply = _Reply(tools)
        # Without callbacks: who streams this model's words shall not be given the raw JSON too.
        try:
            for chunk in self.chat.stream(in_words(messages, tools), {"callbacks": []}, stop=stop, **form):
                for made in (*reply.feed(chunk.text), *_facts(chunk)):
                    yield _sent(made, run_manager)
        except Exception as error:
            within = DYING if isinstance(error, ModelConnectionError) else 0.0
            if self.server is not None and (how := self.server.ended(within)):
                raise ModelError(f"llama.cpp {how} while it replied", ENDED) from error
            raise
        for made in reply.end():
            yield _sent(made, run_manager)

    def _form(self, wanted: Json) -> Json:
        """What holds the model to the schema, as arguments of its chat."""
        if self.form == "format":
            return {"format": wanted}
        more = getattr(self.chat, "extra_body", None) or {}
        if self.form == "grammar":
            return {"extra_body": {**more, "grammar": gbnf(wanted)}}
        # In the body and not as an argument: LangChain would parse the reply, and fail where it was cut off.
        named = {"type": "json_schema", "json_schema": {"name": "reply", "schema": wanted}}
        return {"extra_body": {**more, "response_format": named}}


def _sent(made: AIMessageChunk, run_manager: CallbackManagerForLLMRun | None) -> ChatGenerationChunk:
    chunk = ChatGenerationChunk(message=made)
    if run_manager:
        run_manager.on_llm_new_token(made.text, chunk=chunk)
    return chunk


def _facts(chunk: AIMessageChunk) -> list[AIMessageChunk]:
    """How the reply ended and what it cost, as the model below tells it."""
    kept = {name: one for name, one in chunk.response_metadata.items() if name in ENDS}
    if not chunk.usage_metadata and not kept:
        return []
    return [AIMessageChunk(content="", usage_metadata=chunk.usage_metadata, response_metadata=kept)]


# ------------------------------------------------------------------------------------------------------ what is asked


def schema(tools: Sequence[Json], tool_choice: str | None, choices: Mapping[str, Sequence[str]]) -> Json:
    """JSON Schema of a reply: one of the tools with its arguments, or an answer."""
    calls = [] if tool_choice == "none" else [_call(tool, choices) for tool in tools]
    answer = _shape(thought=_string(maxLength=THOUGHT), answer=_string(minLength=1))
    return {"anyOf": calls if calls and tool_choice in ("any", "required") else [*calls, answer]}


def _call(tool: Json, choices: Mapping[str, Sequence[str]]) -> Json:
    arguments = dict(tool["parameters"])
    arguments["properties"] = {
        name: {**one, "enum": list(choices[name])} if choices.get(name) else one
        for name, one in arguments.get("properties", {}).items()
    }
    return _shape(thought=_string(maxLength=THOUGHT), tool={"const": tool["name"]}, arguments=arguments)


def _shape(**properties: Json) -> Json:
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


def _string(**limits: int) -> Json:
    return {"type": "string", **limits}


def in_words(messages: Sequence[BaseMessage], tools: Sequence[Json]) -> list[BaseMessage]:
    """A conversation with tools as one without: tools described in the system's message, calls as the JSON that they
    were, results as the user's messages. Roles take turns, as many chat templates demand."""
    found: list[BaseMessage] = []
    system = [one.text for one in messages if isinstance(one, SystemMessage)]
    listed = "\n".join(f"- {_listed(tool)}" for tool in tools)
    rules = [RULES.format(tools=listed)] if tools else []
    for message in messages:
        if isinstance(message, SystemMessage):
            continue
        one = _plain(message)
        if found and type(found[-1]) is type(one):
            one = type(one)(f"{found.pop().text}\n\n{one.text}")
        found.append(one)
    return [SystemMessage("\n\n".join([*system, *rules])), *found] if system or rules else found


def _listed(tool: Json) -> str:
    arguments = {
        name: one.get("description") or one.get("type", "any")
        for name, one in tool["parameters"].get("properties", {}).items()
    }
    return f"{tool['name']}: {tool['description']} Arguments: {json.dumps(arguments, ensure_ascii=False)}"


def _plain(message: BaseMessage) -> BaseMessage:
    if isinstance(message, AIMessage):
        thought = {"thought": str(message.additional_kwargs.get("reasoning_content", ""))}
        steps: list[Json] = [
            {**thought, "tool": call["name"], "arguments": call["args"]} for call in message.tool_calls
        ] or [{**thought, "answer": message.text}]
        return AIMessage("\n".join(json.dumps(step, ensure_ascii=False) for step in steps))
    if isinstance(message, ToolMessage):
        outcome = "could not be used" if message.status == "error" else "tells"
        return HumanMessage(f"{message.name or 'The tool'} {outcome}:\n{message.text}")
    return HumanMessage(message.text)


# ---------------------------------------------------------------------------------------------------- what comes back


@dataclass(frozen=True, slots=True)
class Step:
    """A reply as it was meant: a call of a tool, or an answer."""

    thought: str = ""
    tool: str = ""
    """Empty where it answers."""
    arguments: Json = field(default_factory=dict)
    answer: str = ""


TOOL = ("tool", "action", "name", "function", "tool_name")
ARGUMENTS = ("arguments", "action_input", "parameters", "args", "input")
ANSWER = ("answer", "final_answer", "Final Answer", "response", "output")
THOUGHTS = ("thought", "reasoning", "Thought")
SURROGATE = re.compile("[\ud800-\udfff]")
REACT = re.compile(r"Action:\s*`?(?P<tool>\w+)`?\s*\(?\s*(Action Input:)?\s*(?P<input>[^\n]*)", re.IGNORECASE)


def read_step(text: str) -> Step:
    """What a reply means, however it was wrapped: thinking before it, prose or a fence around it, the keys of other
    agents, arguments written as text, a cut-off end, ReAct's "Action:" lines. What is none of these is the answer."""
    text = re.sub(r"<think>.*?(</think>|\Z)", "", text, flags=re.DOTALL).strip()
    found = _object(text)
    if found is not None:
        step = _step(found)
        if step.tool or step.answer:
            return step
        if step.thought:
            return Step(answer=step.thought)
    if action := REACT.search(text):
        return Step(text[: action.start()].strip(), action["tool"], _arguments(action["input"].strip(" )")))
    if final := re.search(r"Final Answer:\s*", text, re.IGNORECASE):
        return Step(text[: final.start()].strip(), answer=text[final.end() :].strip())
    return Step(answer=text)


def _object(text: str) -> Json | None:
    """The first JSON object in a text, completed where it was cut off."""
    start = text.find("{")
    while start >= 0:
        try:
            found, _ = json.JSONDecoder(strict=False).raw_decode(text, start)
        except ValueError:
            found = None
        if isinstance(found, dict):
            return found
        if start == text.find("{"):
            cut = _partial(text[start:])
            if cut:
                return cut
        start = text.find("{", start + 1)
    return None


def _partial(text: str) -> Json:
    """The beginning of a JSON object; empty where it is none."""
    try:
        found = parse_partial_json(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _step(found: Json) -> Step:
    tool, arguments = _first(found, TOOL), _first(found, ARGUMENTS)
    if isinstance(tool, dict):  # {"function": {"name": ..., "arguments": ...}}
        tool, arguments = _first(tool, TOOL), _first(tool, ARGUMENTS)
    answer = _first(found, ANSWER)
    thought = str(_first(found, THOUGHTS) or "")
    if str(tool).lower() in ("final answer", "final_answer", "answer") and not answer:
        answer, tool = arguments, None
    if tool and not answer:
        return Step(thought, str(tool), _arguments(arguments))
    said = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False) if answer else ""
    return Step(thought, answer=said)


def _first(found: Json, names: Sequence[str]) -> Any:
    return next((found[name] for name in names if found.get(name) is not None), None)


def _arguments(value: object) -> Json:
    """Arguments of a call; a text that is no object stands for the first one, whatever it is called."""
    if isinstance(value, str):
        inner = _object(value) if value.lstrip().startswith("{") else None
        return inner if inner is not None else {"": value.strip("\"'")} if value else {}
    return value if isinstance(value, dict) else {}


class _Reply:
    """A reply as it grows, in the pieces that can be told already."""

    def __init__(self, tools: Sequence[Json]) -> None:
        self._tools = tools
        self._text = self._thought = self._answer = ""

    def feed(self, piece: str) -> Iterator[AIMessageChunk]:
        self._text += piece
        start = self._text.find("{")
        if start < 0 or not piece:
            return
        found = _partial(self._text[start:])
        yield from self._grown(found.get("thought"), found.get("answer"))

    def _grown(self, thought: object, answer: object, *, whole: bool = False) -> Iterator[AIMessageChunk]:
        """What is new of either."""
        if isinstance(thought, str) and _goes_on(thought, self._thought, whole=whole):
            yield AIMessageChunk(
                content="", additional_kwargs={"reasoning_content": _sound(thought[len(self._thought) :])}
            )
            self._thought = thought
        if isinstance(answer, str) and _goes_on(answer, self._answer, whole=whole):
            yield AIMessageChunk(content=_sound(answer[len(self._answer) :]))
            self._answer = answer

    def end(self) -> Iterator[AIMessageChunk]:
        """What is missing of the whole."""
        step = read_step(self._text)
        yield from self._grown(step.thought, step.answer, whole=True)
        if step.tool:
            arguments = _sound(json.dumps(self._named(step), ensure_ascii=False))
            call = tool_call_chunk(name=step.tool, args=arguments, id=f"call_{uuid4().hex[:12]}", index=0)
            yield AIMessageChunk(content="", tool_call_chunks=[call])
        yield AIMessageChunk(content="", chunk_position="last")

    def _named(self, step: Step) -> Json:
        """The call's arguments; one without a name is the tool's first."""
        names = [name for tool in self._tools if tool["name"] == step.tool for name in tool["parameters"]["properties"]]
        return {name or (names[0] if names else ""): value for name, value in step.arguments.items()}


def _goes_on(text: str, told: str, *, whole: bool) -> bool:
    """Whether there is more to tell. Half of a letter that JSON writes as two escapes waits for the other half."""
    return len(text) > len(told) and text.startswith(told) and (whole or not SURROGATE.match(text[-1]))


def _sound(text: str) -> str:
    """Without halves of letters, which no file and no terminal takes."""
    return SURROGATE.sub("\ufffd", text)
