"""A server on this machine that holds conversations by a script, in the protocols of OpenAI, Ollama and Anthropic,
streamed or whole, tools included."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Said:
    """A turn of the model's."""

    text: str = ""
    calls: Sequence[tuple[str, dict[str, Any]]] = ()
    finish: str = "stop"
    status: int = 200
    """Another one, and `text` is the error."""


@dataclass
class ChatServer:
    script: list[Said] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    """What was asked."""
    headers: list[dict[str, str]] = field(default_factory=list)
    toolless: bool = False
    """Requests with tools are refused, as Ollama does for models that know none."""

    def __enter__(self) -> ChatServer:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"chat": self}))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def says(self, *turns: Said) -> None:
        self.script.extend(turns)

    def take(self, body: dict[str, Any]) -> Said:
        if self.toolless and body.get("tools"):
            return Said("registry.example/llava:13b does not support tools", status=400)
        assert self.script, f"asked once more than expected: {body['messages'][-1]}"
        return self.script.pop(0)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    chat: ChatServer

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.chat.bodies.append(body)
        self.chat.headers.append({name.lower(): value for name, value in self.headers.items()})
        said = self.chat.take(body)
        if said.status != 200:
            error: Any = (
                said.text if self.path == "/api/chat" else {"message": said.text, "type": "invalid_request_error"}
            )
            self._send(said.status, "application/json", json.dumps({"error": error, "type": "error"}))
        elif self.path == "/v1/chat/completions":
            self._openai(body, said)
        elif self.path == "/api/chat":
            self._send(200, "application/x-ndjson", "".join(f"{json.dumps(one)}\n" for one in _ollama(said)))
        elif self.path == "/v1/messages":
            events = "".join(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n" for one in _anthropic(said))
            self._send(200, "text/event-stream", events)
        else:
            self._send(404, "application/json", json.dumps({"error": {"message": f"no {self.path}"}}))

    def _openai(self, body: dict[str, Any], said: Said) -> None:
        if body.get("stream"):
            events = "".join(f"data: {json.dumps(one)}\n\n" for one in _openai_chunks(said))
            self._send(200, "text/event-stream", events + "data: [DONE]\n\n")
            return
        message = {"role": "assistant", "content": said.text or None, "tool_calls": _openai_calls(said) or None}
        choice = {"index": 0, "message": message, "finish_reason": said.finish}
        usage = {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18}
        whole = {
            "id": "1",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [choice],
            "usage": usage,
        }
        self._send(200, "application/json", json.dumps(whole))

    def _send(self, status: int, kind: str, text: str) -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _openai_calls(said: Said) -> list[dict[str, Any]]:
    return [
        {"index": i, "id": f"call_{i}", "type": "function", "function": {"name": name, "arguments": json.dumps(given)}}
        for i, (name, given) in enumerate(said.calls)
    ]


def _openai_chunks(said: Said) -> Iterator[dict[str, Any]]:
    deltas: list[dict[str, Any]] = [{"content": piece} for piece in pieces(said.text)]
    if said.calls:
        deltas.append({"tool_calls": _openai_calls(said)})
    for delta in [{"role": "assistant", "content": ""}, *deltas]:
        choice = {"index": 0, "delta": delta, "finish_reason": None}
        yield {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    finish = "tool_calls" if said.calls else said.finish
    choice = {"index": 0, "delta": {}, "finish_reason": finish}
    yield {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


def _ollama(said: Said) -> Iterator[dict[str, Any]]:
    made = {"model": "m", "created_at": "2026-11-25T00:00:00.000000Z"}
    for piece in pieces(said.text):
        yield {**made, "message": {"role": "assistant", "content": piece}, "done": False}
    calls = [{"function": {"name": name, "arguments": given}} for name, given in said.calls]
    if calls:
        yield {**made, "message": {"role": "assistant", "content": "", "tool_calls": calls}, "done": False}
    counts = {"prompt_eval_count": 9, "eval_count": 9, "total_duration": 1, "load_duration": 1}
    yield {**made, "message": {"role": "assistant", "content": ""}, "done": True, "done_reason": said.finish, **counts}


def _anthropic(said: Said) -> Iterator[dict[str, Any]]:
    usage = {"input_tokens": 9, "output_tokens": 1}
    start = {"id": "m1", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None}
    yield {"type": "message_start", "message": {**start, "stop_sequence": None, "usage": usage}}
    blocks: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
    if said.text:
        blocks.append(
            ({"type": "text", "text": ""}, [{"type": "text_delta", "text": one} for one in pieces(said.text)])
        )
    for i, (name, given) in enumerate(said.calls):
        block = {"type": "tool_use", "id": f"toolu_{i}", "name": name, "input": {}}
        blocks.append((block, [{"type": "input_json_delta", "partial_json": json.dumps(given)}]))
    for index, (block, deltas) in enumerate(blocks):
        yield {"type": "content_block_start", "index": index, "content_block": block}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    stop = "tool_use" if said.calls else "end_turn"
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": stop, "stop_sequence": None},
        "usage": {"output_tokens": 9},
    }
    yield {"type": "message_stop"}


def pieces(text: str) -> list[str]:
    """A text as it is streamed, seven letters at a time."""
    return [text[at : at + 7] for at in range(0, len(text), 7)]
