"""A server on this machine that speaks the five protocols, as far as one picture and one instruction need them.

It is strict: a request with a field that the documents do not know, or without one that they demand, is answered 400
and the reason, as is a picture that is no JPEG. What a protocol answers on a good day is written down here once, whole,
with the fields that we do not read; bad days are scripted: `server.next(...)`.
"""

from __future__ import annotations

import base64
import io
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from PIL import Image

from seesay.backends.api import ApiModel

KEY = "sk-test-1234567890abcdef"
NAMES = {
    "openai": "openai:gpt-4o-mini",
    "openai-responses": "openai-responses:gpt-6-luna",
    "anthropic": "anthropic:claude-haiku-5-5",
    "gemini": "gemini:gemini-3.8-flash",
    "ollama": "ollama:llava:13b",
}
"""A model of each protocol, at its own provider."""
Build = Callable[..., ApiModel]
Shape = Any
"""A type, a tuple of allowed values, [shape of each], or {"field": shape, "optional?": shape} and nothing else."""

DATA_URL = "data:image/jpeg;base64,"
CHAT: Shape = {
    "model": str,
    "messages": [
        {
            "role": ("user",),
            "content": [
                {
                    "type": ("image_url", "text"),
                    "image_url?": {"url": str, "detail": ("low", "high", "auto", "original")},
                    "text?": str,
                }
            ],
        }
    ],
    "max_completion_tokens?": int,
    "max_tokens?": int,
    "store?": bool,
    "temperature?": float,
    "top_p?": float,
    "top_k?": int,
    "seed?": int,
    "logprobs?": bool,
    "reasoning_effort?": ("none", "minimal", "low", "medium", "high", "xhigh", "max"),
}
RESPONSES: Shape = {
    "model": str,
    "input": [
        {
            "role": ("user",),
            "content": [
                {
                    "type": ("input_image", "input_text"),
                    "image_url?": str,
                    "detail?": ("low", "high", "auto", "original"),
                    "text?": str,
                }
            ],
        }
    ],
    "max_output_tokens": int,
    "store": (False,),
    "temperature?": float,
    "top_p?": float,
    "reasoning?": {"effort": ("none", "minimal", "low", "medium", "high", "xhigh", "max")},
    "include?": [("message.output_text.logprobs",)],
}
ANTHROPIC: Shape = {
    "model": str,
    "max_tokens": int,
    "messages": [
        {
            "role": ("user",),
            "content": [
                {
                    "type": ("image", "text"),
                    "source?": {"type": ("base64",), "media_type": ("image/jpeg",), "data": str},
                    "text?": str,
                }
            ],
        }
    ],
    "output_config?": {"effort": ("low", "medium", "high", "xhigh", "max")},
}
GEMINI: Shape = {
    "contents": [
        {
            "role": ("user",),
            "parts": [{"inlineData?": {"mimeType": ("image/jpeg",), "data": str}, "text?": str}],
        }
    ],
    "generationConfig": {
        "maxOutputTokens": int,
        "temperature?": float,
        "topP?": float,
        "topK?": int,
        "seed?": int,
        "thinkingConfig?": {"thinkingLevel": ("MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH")},
    },
}
OLLAMA: Shape = {
    "model": str,
    "messages": [{"role": ("user",), "content": str, "images": [str]}],
    "stream": (False,),
    "think": (False,),
    "options": {"num_predict": int, "temperature?": float, "top_p?": float, "top_k?": int, "seed?": int},
    "logprobs?": bool,
}


def mismatch(value: object, shape: Shape, where: str = "body") -> str | None:
    """What is wrong with a value, or None."""
    if isinstance(shape, tuple):
        return None if value in shape else f"{where} is {value!r}, not one of {shape}"
    if isinstance(shape, list):
        if not isinstance(value, list):
            return f"{where} is no list"
        return next((found for i, one in enumerate(value) if (found := mismatch(one, shape[0], f"{where}[{i}]"))), None)
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return f"{where} is no object"
        names = {name.rstrip("?") for name in shape}
        if unknown := value.keys() - names:
            return f"unknown parameter: {where}.{sorted(unknown)[0]}"
        if missing := [name for name in shape if not name.endswith("?") and name not in value]:
            return f"missing required parameter: {where}.{missing[0]}"
        inner = [
            (value[name.rstrip("?")], one, name.rstrip("?")) for name, one in shape.items() if name.rstrip("?") in value
        ]
        return next((found for one, sort, name in inner if (found := mismatch(one, sort, f"{where}.{name}"))), None)
    if shape is float and type(value) is int:
        return None
    return None if type(value) is shape else f"{where} is {value!r}, no {shape.__name__}"


@dataclass
class Canned:
    """An answer for a bad day."""

    status: int = 200
    body: Any = None
    """A JSON value, bytes as they are, or None to hang up before a word is said."""
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    """Before the first byte."""
    drip: float = 0.0
    """Between any two bytes."""


@dataclass
class Seen:
    """A request as it came."""

    path: str
    headers: Mapping[str, str]
    body: Any
    size: tuple[int, int] = (0, 0)
    """Of the picture."""
    jpeg: bytes = b""
    text: str = ""


@dataclass
class ApiServer:
    says: str | Callable[[Seen], str] = "A red square."
    """What every model answers on a good day."""
    key: str | None = None
    """Requests without it are answered 401."""
    seconds: float = 0.0
    """What an answer takes."""
    requests: list[Seen] = field(default_factory=list)
    busiest: int = 0
    """Requests that were open at once, at most."""
    _script: list[Canned] = field(default_factory=list)
    _open: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> ApiServer:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"api": self}))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def next(self, *answers: Canned) -> None:
        """Script the next answers, one a request; good days come after them."""
        self._script.extend(answers)

    def take(self) -> Canned | None:
        with self._lock:
            return self._script.pop(0) if self._script else None

    def entered(self) -> None:
        with self._lock:
            self._open += 1
            self.busiest = max(self.busiest, self._open)

    def left(self) -> None:
        with self._lock:
            self._open -= 1


def chat_answer(text: str | None, finish: str = "stop", logprobs: bool = False, **message: object) -> dict[str, Any]:
    tokens = [] if text is None else [word if i == 0 else f" {word}" for i, word in enumerate(text.split(" "))]
    content = [{"token": one, "bytes": list(one.encode()), "logprob": -0.25, "top_logprobs": []} for one in tokens]
    said = {"role": "assistant", "content": text, "refusal": None, "annotations": [], **message}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1764000000,
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [
            {
                "index": 0,
                "message": said,
                "logprobs": {"content": content, "refusal": None} if logprobs else None,
                "finish_reason": finish,
            }
        ],
        "usage": {
            "prompt_tokens": 1000,
            "completion_tokens": 20,
            "total_tokens": 1020,
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
        "service_tier": "default",
    }


def responses_answer(text: str, status: str = "completed", **more: object) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    message = {"type": "message", "id": "msg_1", "role": "assistant", "status": status, "content": [part]}
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1764000000,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "model": "gpt-6-luna",
        "output": [{"type": "reasoning", "id": "rs_1", "summary": [], "status": "completed"}, message],
        "usage": {
            "input_tokens": 1000,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": 20,
            "output_tokens_details": {"reasoning_tokens": 10},
            "total_tokens": 1020,
        },
        **more,
    }


def anthropic_answer(text: str | None, stop: str = "end_turn", category: str | None = None) -> dict[str, Any]:
    blocks: list[dict[str, object]] = [{"type": "thinking", "thinking": "It is red.", "signature": "c2ln"}]
    if text is not None:
        blocks.append({"type": "text", "text": text, "citations": None})
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-5-5",
        "content": blocks,
        "stop_reason": stop,
        "stop_sequence": None,
        "stop_details": {"type": "refusal", "category": category} if stop == "refusal" else None,
        "usage": {
            "input_tokens": 900,
            "cache_creation_input_tokens": 60,
            "cache_read_input_tokens": 40,
            "output_tokens": 20,
            "service_tier": "standard",
        },
    }


def gemini_answer(text: str | None, finish: str = "STOP") -> dict[str, Any]:
    content: dict[str, object] = {"role": "model"}
    if text is not None:
        content["parts"] = [{"text": "It is red.", "thought": True}, {"text": text, "thoughtSignature": "c2ln"}]
    return {
        "candidates": [{"content": content, "finishReason": finish, "index": 0}],
        "usageMetadata": {
            "promptTokenCount": 1000,
            "candidatesTokenCount": 15,
            "thoughtsTokenCount": 5,
            "totalTokenCount": 1020,
        },
        "modelVersion": "gemini-3.8-flash",
        "responseId": "r1",
    }


def ollama_answer(text: str, done: str = "stop", logprobs: bool = False) -> dict[str, Any]:
    tokens = [word if i == 0 else f" {word}" for i, word in enumerate(text.split(" "))]
    return {
        "model": "llava:13b",
        "created_at": "2026-11-25T00:00:00.000000Z",
        "message": {"role": "assistant", "content": text},
        "done": True,
        "done_reason": done,
        "total_duration": 5043500667,
        "load_duration": 5025959,
        "prompt_eval_count": 1000,
        "prompt_eval_duration": 325953000,
        "eval_count": 20,
        "eval_duration": 4709213000,
        **({"logprobs": [{"token": one, "logprob": -0.25} for one in tokens]} if logprobs else {}),
    }


def _of_chat(body: Any) -> tuple[str, str]:
    picture, text = body["messages"][0]["content"]
    return picture["image_url"]["url"].removeprefix(DATA_URL), text["text"]


def _of_responses(body: Any) -> tuple[str, str]:
    picture, text = body["input"][0]["content"]
    return picture["image_url"].removeprefix(DATA_URL), text["text"]


def _of_anthropic(body: Any) -> tuple[str, str]:
    picture, text = body["messages"][0]["content"]
    return picture["source"]["data"], text["text"]


def _of_gemini(body: Any) -> tuple[str, str]:
    picture, text = body["contents"][0]["parts"]
    return picture["inlineData"]["data"], text["text"]


def _of_ollama(body: Any) -> tuple[str, str]:
    [message] = body["messages"]
    [picture] = message["images"]
    return picture, message["content"]


@dataclass(frozen=True)
class Protocol:
    shape: Shape
    taken: Callable[[Any], tuple[str, str]]
    """A request's picture, in base64, and its text."""
    answer: Callable[[str, Any], dict[str, Any]]
    """What it answers to a body."""
    key: Callable[[Mapping[str, str]], str]


def _bearer(headers: Mapping[str, str]) -> str:
    return headers.get("authorization", "").removeprefix("Bearer ")


PROTOCOLS: dict[str, Protocol] = {
    "/v1/chat/completions": Protocol(
        CHAT, _of_chat, lambda text, body: chat_answer(text, logprobs=bool(body.get("logprobs"))), _bearer
    ),
    "/v1/responses": Protocol(RESPONSES, _of_responses, lambda text, body: responses_answer(text), _bearer),
    "/v1/messages": Protocol(
        ANTHROPIC,
        _of_anthropic,
        lambda text, body: anthropic_answer(text),
        lambda headers: headers.get("x-api-key", ""),
    ),
    "/v1/models/": Protocol(
        GEMINI, _of_gemini, lambda text, body: gemini_answer(text), lambda headers: headers.get("x-goog-api-key", "")
    ),
    "/api/chat": Protocol(
        OLLAMA, _of_ollama, lambda text, body: ollama_answer(text, logprobs=bool(body.get("logprobs"))), _bearer
    ),
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    api: ApiServer

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        self.api.entered()
        try:
            self._answer()
        except ConnectionError:  # the client lost patience
            self.close_connection = True
        finally:
            self.api.left()

    def _answer(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        seen = Seen(self.path, {name.lower(): value for name, value in self.headers.items()}, json.loads(data))
        self.api.requests.append(seen)
        wrong = self._wrong(seen)
        time.sleep(self.api.seconds)
        canned = self.api.take()
        if canned is None:
            says = self.api.says if isinstance(self.api.says, str) else self.api.says(seen)
            canned = wrong or Canned(body=self._protocol().answer(says, seen.body))
        time.sleep(canned.seconds)
        if canned.body is None:
            self.close_connection = True
            return
        self._send(canned)

    def _wrong(self, seen: Seen) -> Canned | None:
        """What a strict server has against a request."""
        protocol = self._protocol()
        if self.api.key is not None and protocol.key(seen.headers) != self.api.key:
            return Canned(401, {"error": {"message": f"Incorrect API key: {protocol.key(seen.headers)}", "code": "x"}})
        if seen.headers.get("content-type") != "application/json":
            return Canned(400, {"error": {"message": "no JSON"}})
        if self.path == "/v1/messages" and seen.headers.get("anthropic-version") != "2026-10-21":
            return Canned(400, {"type": "error", "error": {"type": "invalid_request_error", "message": "no version"}})
        if found := mismatch(seen.body, protocol.shape):
            return Canned(400, {"error": {"message": found, "type": "invalid_request_error"}})
        picture, seen.text = protocol.taken(seen.body)
        seen.jpeg = base64.b64decode(picture, validate=True)
        with Image.open(io.BytesIO(seen.jpeg)) as image:
            if image.format != "JPEG":
                return Canned(400, {"error": {"message": "no JPEG"}})
            seen.size = image.size
        return None

    def _protocol(self) -> Protocol:
        for path, protocol in PROTOCOLS.items():
            if self.path == path or (path.endswith("/") and self.path.startswith(path)):
                return protocol
        raise AssertionError(f"nothing is served at {self.path}")

    def _send(self, canned: Canned) -> None:
        data = canned.body if isinstance(canned.body, bytes) else json.dumps(canned.body).encode()
        self.send_response(canned.status)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(data)),
            **canned.headers,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if not canned.drip:
            self.wfile.write(data)
            return
        for byte in data:
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
            time.sleep(canned.drip)
