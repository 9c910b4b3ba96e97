"""OpenAI's shapes: chat completions with a picture, embeddings, and the list of models."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from itertools import pairwise
from typing import Any, Literal
from uuid import uuid4

import numpy as np
from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, model_validator

from seesay.errors import CapabilityError, UsageError
from seesay.images.reading import is_inline
from seesay.records import Embedding, Turn
from seesay.server.bodies import JsonRoute
from seesay.server.conversation import End, Talk, pieces, plain_words_only, say
from seesay.server.service import Service, Serving

router = APIRouter(prefix="/v1", tags=["OpenAI"], route_class=JsonRoute)
STARTED = int(time.time())


class Loose(BaseModel):
    """What other programs send has fields for other models; those are passed over."""

    model_config = ConfigDict(extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, given: Any) -> Any:
        """null is documented for what is left out."""
        return {name: value for name, value in given.items() if value is not None} if isinstance(given, dict) else given


class ImageUrl(Loose):
    url: str


class Part(Loose):
    type: str
    text: str = ""
    image_url: ImageUrl | str | None = None


class Message(Loose):
    role: str
    content: str | list[Part] | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content if part.text)
        return self.content or ""

    @property
    def pictures(self) -> list[str]:
        """Sources of the pictures in it."""
        urls = [part.image_url for part in self.content if part.image_url] if isinstance(self.content, list) else []
        return [url if isinstance(url, str) else url.url for url in urls]


class Format(Loose):
    type: str = "text"


class StreamOptions(Loose):
    include_usage: bool = False


class ChatRequest(Loose):
    messages: list[Message] = Field(min_length=1)
    model: str | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    n: int = Field(1, ge=1, le=16)
    response_format: Format | None = None
    tool_choice: Any = None


@router.post("/chat/completions")
async def chat_completions(asked: ChatRequest, service: Serving) -> Response:
    """A reply about the last picture of the conversation.

    BLIPs caption where a description is asked for, and answer short questions; models that follow instructions are
    given every word. Sampling settings, tools and system messages are passed over by BLIPs.
    """
    plain_words_only(asked.response_format and asked.response_format.type != "text")
    if asked.tool_choice not in (None, "none", "auto"):
        raise CapabilityError("No model here calls tools", "Leave tool_choice out.")
    talk = await talk_of(service, asked)
    head = {"id": f"chatcmpl-{uuid4().hex}", "created": int(time.time()), "model": service.worker.name_of(asked.model)}
    if asked.stream:
        return await _streamed(service, asked, talk, {**head, "object": "chat.completion.chunk"})
    said = await say(service, asked.model, talk)
    choices = [
        {
            "index": index,
            "message": {"role": "assistant", "content": one.text, "refusal": None},
            "finish_reason": "length" if one.cut else "stop",
            "logprobs": None,
        }
        for index, one in enumerate(said)
    ]
    return JSONResponse(
        {**head, "object": "chat.completion", "choices": choices, "usage": _usage(sum(one.tokens for one in said))}
    )


async def talk_of(service: Service, asked: ChatRequest) -> Talk:
    """The conversation from its last picture on. Raises UsageError for one without a picture, or without a question."""
    spoken = [message for message in asked.messages if message.role in ("user", "assistant")]
    if not spoken or spoken[-1].role != "user":
        raise UsageError("The last message is not the user's", "Let a message of role user be the last.")
    shown = [place for place, message in enumerate(spoken) if message.pictures]
    if not shown:
        raise UsageError("There is no picture in the conversation", "Send one as image_url: data:image/jpeg;base64,...")
    *others, source = spoken[shown[-1]].pictures
    if others:
        raise UsageError(f"{len(others) + 1} pictures in one message", "Ask about one picture at a time.")
    system = "\n".join(message.text for message in asked.messages if message.role in ("system", "developer"))
    return Talk(
        picture=await service.picture(source),
        question=spoken[-1].text.strip(),
        turns=turns_of([(message.role, message.text) for message in spoken[shown[-1] : -1]]),
        system=system.strip(),
        max_tokens=asked.max_completion_tokens or asked.max_tokens,
        count=asked.n,
    )


def turns_of(spoken: Sequence[tuple[str, str]]) -> tuple[Turn, ...]:
    """Questions with the answers that followed them, of (role, text)."""
    pairs = pairwise(spoken)
    return tuple(Turn(ask[1], told[1]) for ask, told in pairs if (ask[0], told[0]) == ("user", "assistant"))


async def _streamed(service: Service, asked: ChatRequest, talk: Talk, head: Mapping[str, object]) -> Response:
    if talk.count > 1:
        raise UsageError(f"{talk.count} replies in one stream", "Ask for one, or do not stream.")
    end = End()
    coming = pieces(service, asked.model, talk, end)
    first = await anext(coming, "")  # what can go wrong does so here, while there is a status to say it

    def event(delta: Mapping[str, str], finish: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return f"data: {json.dumps({**head, 'choices': [choice]})}\n\n"

    async def events() -> AsyncIterator[str]:
        async with aclosing(coming):  # type: ignore[type-var]  # an async generator, which its type does not say
            yield event({"role": "assistant", "content": first})
            async for piece in coming:
                yield event({"content": piece})
            yield event({}, "length" if end.cut else "stop")
            if asked.stream_options and asked.stream_options.include_usage:
                yield f"data: {json.dumps({**head, 'choices': [], 'usage': _usage(end.tokens)})}\n\n"
            yield "data: [DONE]\n\n"

    return StreamingResponse(events(), media_type="text/event-stream", headers={"Cache-Control": "no-cache"})


def _usage(tokens: int) -> Mapping[str, int]:
    """Tokens that were written; a picture has none that anybody pays for."""
    return {"prompt_tokens": 0, "completion_tokens": tokens, "total_tokens": tokens}


# ---------------------------------------------------------------------------------------------------------- embeddings


class EmbeddingsRequest(Loose):
    input: str | list[str] | list[int] | list[list[int]] = Field(description="Texts, or pictures as data: URIs.")
    model: str | None = None
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None


@router.post("/embeddings")
async def embeddings(asked: EmbeddingsRequest, service: Serving) -> Response:
    """Vectors of texts and of pictures, comparable with each other."""
    inputs = [one for one in ([asked.input] if isinstance(asked.input, str) else asked.input) if isinstance(one, str)]
    if asked.input and not inputs:
        raise UsageError(
            "The inputs are tokens of another model's",
            "Send texts; LangChain does with OpenAIEmbeddings(check_embedding_ctx_length=False).",
        )
    found = await vectors_of(service, asked.model, inputs, asked.dimensions)
    data = [
        {"object": "embedding", "index": place, "embedding": _numbers(one, asked.encoding_format)}
        for place, one in enumerate(found)
    ]
    usage = {"prompt_tokens": 0, "total_tokens": 0}
    return JSONResponse({"object": "list", "data": data, "model": found[0].model, "usage": usage})


async def vectors_of(
    service: Service, model: str | None, inputs: Sequence[str], dimensions: int | None
) -> list[Embedding]:
    """Of texts, and of pictures as data: URIs. Raises UsageError for too many, and for another width than it has."""
    if not 1 <= len(inputs) <= 256:
        raise UsageError(f"{len(inputs)} inputs", "Give 1 to 256.")
    found: dict[int, Embedding] = {}
    texts = [place for place, one in enumerate(inputs) if not is_inline(one)]
    if texts:
        vectors = await service.worker.embed_texts(model, [inputs[place] for place in texts])
        found |= zip(texts, vectors, strict=True)
    for place in sorted(set(range(len(inputs))) - set(texts)):
        found[place] = await service.worker.embed_image(model, await service.picture(inputs[place]))
    width = len(found[0].vector)
    if dimensions not in (None, width):
        raise UsageError(f"{dimensions} dimensions; this model has {width}", "Leave dimensions out.")
    return [found[place] for place in range(len(inputs))]


def _numbers(one: Embedding, form: str) -> str | list[float]:
    if form == "float":
        return [float(value) for value in one.vector]
    return base64.b64encode(np.asarray(one.vector, "<f4").tobytes()).decode()


# -------------------------------------------------------------------------------------------------------------- models


@router.get("/models")
async def models(service: Serving) -> Mapping[str, object]:
    """The models that may be named, the default one first."""
    return {"object": "list", "data": [_model(name) for name in service.settings.names]}


@router.get("/models/{name:path}")
async def model(name: str, service: Serving) -> Mapping[str, object]:
    """One of them, and what it can do; it is loaded for that."""
    able = await service.worker.capabilities(name)
    return {**_model(service.worker.name_of(name)), "capabilities": sorted(able)}


def _model(name: str) -> Mapping[str, object]:
    return {"id": name, "object": "model", "created": STARTED, "owned_by": "seesay"}
