"""Ollama's own client against a real server."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator

import numpy as np
import ollama
import pytest
from real_servers import http, picture

from seesay.describe import Describer


@pytest.fixture
def client(server: str) -> Iterator[ollama.Client]:
    with ollama.Client(host=server) as made:
        yield made


def test_generate(client: ollama.Client, load: Callable[[str], Describer]) -> None:
    told = client.generate(model="caption", prompt="Write a caption for this image", images=[picture(1)])
    assert told.response == load("caption").caption(picture(1)).text
    assert told.done
    assert told.model == "caption:latest"
    assert told.eval_count == len(load("caption").caption(picture(1)).tokens)


def test_generate_as_a_stream(client: ollama.Client, load: Callable[[str], Describer]) -> None:
    """A stream is what Ollama gives where nobody says otherwise."""
    encoded = base64.b64encode(picture(2)).decode()
    pieces = list(client.generate(model="full:latest", prompt="is it a dog?", images=[encoded], stream=True))
    assert "".join(one.response or "" for one in pieces) == load("full").ask(picture(2), "is it a dog?").text
    assert [one.done for one in pieces] == [False] * (len(pieces) - 1) + [True]
    assert pieces[-1].done_reason == "length"  # the random model never ends by itself


def test_chat_whose_picture_came_before(client: ollama.Client, load: Callable[[str], Describer]) -> None:
    told = client.chat(
        model="full",
        messages=[
            {"role": "user", "content": "What is this?", "images": [picture(3)]},
            {"role": "assistant", "content": "a cat"},
            {"role": "user", "content": "is it red?"},
        ],
    )
    assert told.message.content == load("full").ask(picture(3), "is it red?").text


@pytest.mark.parametrize("path", ["/api/generate", "/api/chat", "/v1/chat/completions"])
def test_bodies_are_json_whatever_they_are_called(server: str, path: str) -> None:
    """`curl -d`, as Ollama's own documentation writes it, calls them forms."""
    encoded = base64.b64encode(picture(1)).decode()
    said = [
        {"type": "text", "text": "describe"},
        {"type": "image_url", "image_url": f"data:image/png;base64,{encoded}"},
    ]
    body = {
        "/api/generate": {"prompt": "describe", "images": [encoded]},
        "/api/chat": {"messages": [{"role": "user", "content": "describe", "images": [encoded]}]},
        "/v1/chat/completions": {"messages": [{"role": "user", "content": said}]},
    }[path]
    for kind in ({"Content-Type": "application/x-www-form-urlencoded"}, {}):
        answer = http.post(server + path, content=json.dumps({"stream": False, **body}), headers=kind)
        assert answer.status_code == 200, answer.text


def test_vectors_of_texts(client: ollama.Client, load: Callable[[str], Describer]) -> None:
    told = client.embed(model="full", input=["a cat", "a dog"])
    for one, text in zip(told.embeddings, ("a cat", "a dog"), strict=True):
        np.testing.assert_allclose(one, load("full").embed_text(text).vector, atol=1e-5)
    assert client.embed(model="full", input="a cat").embeddings == told.embeddings[:1]
    assert told.model == "full:latest"
    with pytest.raises(ollama.ResponseError, match="3 dimensions"):
        client.embed(model="full", input="a cat", dimensions=3)


def test_null_is_what_was_left_out(server: str) -> None:
    encoded = base64.b64encode(picture(1)).decode()
    asked = {"model": "full", "prompt": "a cat?", "system": None, "images": [encoded], "stream": None, "options": None}
    assert http.post(f"{server}/api/generate", json=asked).status_code == 200
    messages = [{"role": "assistant", "content": None}, {"role": "user", "content": "a cat?", "images": [encoded]}]
    assert http.post(f"{server}/api/chat", json={"model": "full", "messages": messages}).status_code == 200


def test_models(client: ollama.Client) -> None:
    assert [one.model for one in client.list().models] == ["full:latest", "caption:latest"]
    assert client.show("full").capabilities == ["completion", "embedding", "vision"]
    assert {one.model for one in client.ps().models} <= {"full:latest", "caption:latest"}
    assert client.generate(model="full").done_reason == "load"


def test_errors_are_the_clients_own(client: ollama.Client) -> None:
    with pytest.raises(ollama.ResponseError, match=r"cannot answer questions.*blip-vqa-base") as refused:
        client.generate(model="caption", prompt="is it a cat?", images=[picture(1)])
    assert refused.value.status_code == 400
    with pytest.raises(ollama.ResponseError, match="served"):
        client.generate(model="llava", prompt="is it a cat?", images=[picture(1)])
    with pytest.raises(ollama.ResponseError, match="no picture"):
        client.chat(model="full", messages=[{"role": "user", "content": "Hello"}])
    with pytest.raises(ollama.ResponseError, match="JSON"):
        client.generate(model="full", prompt="describe", images=[picture(1)], format="json")
