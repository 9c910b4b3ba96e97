"""Ollama's shapes: generate and chat with a picture, and what its clients ask beforehand."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import Field

import seesay
from seesay.errors import UsageError
from seesay.server.bodies import JsonRoute
from seesay.server.conversation import End, Talk, pieces, plain_words_only
from seesay.server.openai import Loose, turns_of, vectors_of
from seesay.server.service import Service, Serving

router = APIRouter(prefix="/api", tags=["Ollama"], route_class=JsonRoute)
STARTED = datetime.now(UTC).isoformat()
VERSION = "0.12.0"
"""The version of Ollama whose shapes these are; clients ask for it."""


class Options(Loose):
    num_predict: int | None = None


class GenerateRequest(Loose):
    model: str | None = None
    prompt: str = ""
    system: str = ""
    images: list[str] | None = None
    stream: bool = True
    format: Any = None
    options: Options | None = None


class Message(Loose):
    role: str
    content: str = ""
    images: list[str] | None = None


class ChatRequest(Loose):
    model: str | None = None
    messages: list[Message] = Field([])
    stream: bool = True
    format: Any = None
    options: Options | None = None


class EmbedRequest(Loose):
    model: str | None = None
    input: str | list[str]
    dimensions: int | None = None


class ModelRequest(Loose):
    model: str | None = None
    name: str | None = Field(None, description="What older clients call it.")


@router.post("/generate")
async def generate(asked: GenerateRequest, service: Serving) -> Response:
    """What the model says to a prompt and a picture. Without both it is loaded, as Ollama does."""
    plain_words_only(asked.format)
    name = service.worker.name_of(asked.model)

    def shaped(text: str) -> Mapping[str, object]:
        return {"response": text}

    if not asked.prompt and not asked.images:
        await service.worker.capabilities(name)
        return JSONResponse({**_head(name), **shaped(""), "done": True, "done_reason": "load"})
    talk = Talk(
        picture=await _only_picture(service, asked.images),
        question=asked.prompt.strip(),
        system=asked.system.strip(),
        max_tokens=_most(asked.options),
    )
    return await _told(service, name, talk, asked.stream, shaped)


@router.post("/chat")
async def chat(asked: ChatRequest, service: Serving) -> Response:
    """A reply about the last picture of the conversation."""
    plain_words_only(asked.format)
    name = service.worker.name_of(asked.model)

    def shaped(text: str) -> Mapping[str, object]:
        return {"message": {"role": "assistant", "content": text}}

    if not asked.messages:
        await service.worker.capabilities(name)
        return JSONResponse({**_head(name), **shaped(""), "done": True, "done_reason": "load"})
    spoken = [message for message in asked.messages if message.role in ("user", "assistant")]
    if not spoken or spoken[-1].role != "user":
        raise UsageError("The last message is not the user's", "Let a message of role user be the last.")
    shown = next((place for place in reversed(range(len(spoken))) if spoken[place].images), 0)
    talk = Talk(
        picture=await _only_picture(service, spoken[shown].images),
        question=spoken[-1].content.strip(),
        turns=turns_of([(message.role, message.content) for message in spoken[shown:-1]]),
        system="\n".join(message.content for message in asked.messages if message.role == "system").strip(),
        max_tokens=_most(asked.options),
    )
    return await _told(service, name, talk, asked.stream, shaped)


async def _told(
    service: Service, name: str, talk: Talk, stream: bool, shaped: Callable[[str], Mapping[str, object]]
) -> Response:
    """The reply as one object, or as a line for each piece; counts and times come with its end."""
    start = time.perf_counter_ns()
    ended = End()
    coming = pieces(service, name, talk, ended)
    first = await anext(coming, "")  # what can go wrong does so here, while there is a status to say it

    def end(text: str) -> Mapping[str, object]:
        took = time.perf_counter_ns() - start
        counts = {"prompt_eval_count": 0, "prompt_eval_duration": 0}
        written = {"eval_count": ended.tokens, "eval_duration": took}
        times = {"total_duration": took, "load_duration": 0}
        reason = "length" if ended.cut else "stop"
        return {**_head(name), **shaped(text), "done": True, "done_reason": reason, **times, **counts, **written}

    if not stream:
        return JSONResponse(end((first + "".join([piece async for piece in coming])).strip()))

    async def lines() -> AsyncIterator[str]:
        async with aclosing(coming):  # type: ignore[type-var]  # an async generator, which its type does not say
            yield json.dumps({**_head(name), **shaped(first), "done": False}) + "\n"
            async for piece in coming:
                yield json.dumps({**_head(name), **shaped(piece), "done": False}) + "\n"
            yield json.dumps(end("")) + "\n"

    return StreamingResponse(lines(), media_type="application/x-ndjson")


@router.post("/embed")
async def embed(asked: EmbedRequest, service: Serving) -> Mapping[str, object]:
    """Vectors of texts, comparable with each other."""
    start = time.perf_counter_ns()
    name = service.worker.name_of(asked.model)
    inputs = [asked.input] if isinstance(asked.input, str) else asked.input
    found = await vectors_of(service, name, inputs, asked.dimensions)
    times = {"total_duration": time.perf_counter_ns() - start, "load_duration": 0}
    return {
        "model": _tagged(name),
        "embeddings": [one.vector.tolist() for one in found],
        **times,
        "prompt_eval_count": 0,
    }


async def _only_picture(service: Service, images: list[str] | None) -> bytes:
    if not images:
        raise UsageError("There is no picture", "Send one in images, as base64.")
    if len(images) > 1:
        raise UsageError(f"{len(images)} pictures at once", "Ask about one picture at a time.")
    return await service.picture(images[0])


def _most(options: Options | None) -> int | None:
    """-1 and -2 are Ollama's words for no limit."""
    most = options.num_predict if options else None
    return most if most and most > 0 else None


def _head(name: str) -> Mapping[str, object]:
    return {"model": _tagged(name), "created_at": datetime.now(UTC).isoformat()}


# -------------------------------------------------------------------------------------------------------------- models


@router.get("/tags")
async def tags(service: Serving) -> Mapping[str, object]:
    """The models that may be named."""
    return {"models": [_listed(name) for name in service.settings.names]}


@router.get("/ps")
async def running(service: Serving) -> Mapping[str, object]:
    """Those in memory."""
    return {"models": [{**_listed(name), "size_vram": 0} for name in service.worker.loaded]}


@router.post("/show")
async def show(asked: ModelRequest, service: Serving) -> Mapping[str, object]:
    """One of them, and what it can do; it is loaded for that."""
    name = service.worker.name_of(asked.model or asked.name)
    able = await service.worker.capabilities(name)
    words = {"completion", "vision"} if able & {"caption", "ask"} else {"vision"}
    return {
        "modified_at": STARTED,
        "details": DETAILS,
        "model_info": {"general.architecture": "seesay", "seesay.capabilities": sorted(able)},
        "capabilities": sorted(words | ({"embedding"} if "embed" in able else set())),
    }


@router.get("/version")
async def version() -> Mapping[str, str]:
    """Ollama's, for its clients, and ours."""
    return {"version": VERSION, "seesay": seesay.__version__}


DETAILS: Mapping[str, object] = {
    "parent_model": "",
    "format": "seesay",
    "family": "seesay",
    "families": ["seesay"],
    "parameter_size": "",
    "quantization_level": "",
}


def _listed(name: str) -> Mapping[str, object]:
    digest = hashlib.sha256(name.encode()).hexdigest()  # of the name: clients want one, and compare it with nothing
    tagged = _tagged(name)
    return {"name": tagged, "model": tagged, "modified_at": STARTED, "size": 0, "digest": digest, "details": DETAILS}


def _tagged(name: str) -> str:
    """Ollama's names end in a tag."""
    return name if ":" in name else f"{name}:latest"
