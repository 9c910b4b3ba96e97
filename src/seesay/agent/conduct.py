"""How an agent behaves, whatever language model it has: how much it remembers, that it looks before it speaks, that it
comes to an end, and which pictures it may open. A LangChain middleware, so other agents may have it too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
from langchain.tools.tool_node import ToolCallRequest
from langchain_core.exceptions import ContextOverflowError
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langgraph.types import Command

from seesay.agent.constrained import Constrained, Form
from seesay.agent.pictures import may_open, pictures
from seesay.errors import ModelError

Asked = ModelRequest[Any]
Said = ModelResponse[Any]
TARGET = "target_url"


class Conduct(AgentMiddleware[Any, Any, Any]):
    """What is kept of a conversation is all of it; what the model is shown are its last turns."""

    def __init__(self, *, turns: int = 8, most_calls: int = 6, form: Form | None = None) -> None:
        """turns: how many of the user's messages the model sees, with all that came of them. most_calls: of tools, for
        one message. form: how a model that turns out to know no tools is told the form of its replies (`Constrained`).
        """
        super().__init__()
        self._turns = turns
        self._most_calls = most_calls
        self._form = form
        self._converted: Constrained | None = None

    def wrap_model_call(self, request: Asked, handler: Callable[[Asked], Said]) -> Said:
        """Show the last turns, fewer where they do not fit. Raises ModelError where not even the last one does."""
        shown = turns(settled(request.messages))[-self._turns :]
        while True:
            messages = [message for turn in shown for message in turn]
            try:
                return self._call(request.override(messages=messages), handler)
            except Exception as error:
                if not _outgrown(error):
                    raise
                if len(shown) == 1:
                    remedy = "Give it more (context_length), or ask for less at a time."
                    raise ModelError("The conversation outgrows the language model's context", remedy) from error
                shown = shown[1:]

    def _call(self, request: Asked, handler: Callable[[Asked], Said]) -> Said:
        if self._converted is None:
            try:
                return handler(self._led(request))
            except Exception as error:
                if self._form is None or isinstance(request.model, Constrained) or not _refuses_tools(error):
                    raise
                self._converted = Constrained(chat=request.model, form=self._form)
        return handler(self._led(request.override(model=self._converted)))

    def _led(self, request: Asked) -> Asked:
        """The request with what may come next: no more tools when there were enough; for a model that is held to a
        form, a tool first where the message names pictures, and no picture but those that it may open."""
        this = turns(request.messages)[-1]
        calls = sum(isinstance(message, ToolMessage) for message in this)
        if calls >= self._most_calls:
            return request.override(tool_choice="none")
        if not isinstance(request.model, Constrained):
            return request
        known = pictures(request.state["messages"])
        request = request.override(model_settings={**request.model_settings, "choices": {TARGET: known}})
        if calls or not pictures(this[:1]):
            return request
        return request.override(tool_choice="any")

    def wrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], ToolMessage | Command[Any]]
    ) -> ToolMessage | Command[Any]:
        """Open a picture only where `pictures` allows it; the language model is told why not."""
        call = request.tool_call
        target = call["args"].get(TARGET)
        messages = request.state["messages"]
        if not isinstance(target, str) or may_open(target.strip().strip("\"'`<>"), messages):
            return handler(request)
        known = ", ".join(pictures(messages)) or "none"
        refusal = f"{target} was named neither by the user nor by a search. Pictures that may be opened: {known}"
        return ToolMessage(refusal, name=call["name"], tool_call_id=call["id"] or "", status="error")


def turns(messages: Sequence[AnyMessage]) -> list[list[AnyMessage]]:
    """A conversation cut where the user speaks."""
    found: list[list[AnyMessage]] = []
    for message in messages:
        if isinstance(message, HumanMessage) or not found:
            found.append([])
        found[-1].append(message)
    return found


def settled(messages: Sequence[AnyMessage]) -> list[AnyMessage]:
    """Without calls that were never answered, as an interrupted run leaves them behind: providers refuse those."""
    answered = {message.tool_call_id for message in messages if isinstance(message, ToolMessage)}
    return [
        message
        for message in messages
        if not (isinstance(message, AIMessage) and any(call["id"] not in answered for call in message.tool_calls))
    ]


def _outgrown(error: Exception) -> bool:
    """llama.cpp's own words are not yet known to LangChain."""
    words = str(error).lower()
    return isinstance(error, ContextOverflowError) or "context size" in words or "context length" in words


def _refuses_tools(error: Exception) -> bool:
    """Whether a server says that its model, or the server itself, knows no tools (Ollama, vLLM, older servers)."""
    status = getattr(error, "status_code", None)
    words = str(error).lower()
    return status in (400, 404, 422, 501) and ("tool" in words or "function" in words)
