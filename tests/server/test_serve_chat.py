"""A model that was taught conversations, over OpenAI's and Ollama's clients: piece by piece, and with earlier turns."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from typing import Any

import ollama
import openai
import pytest
from real_servers import data_uri, picture, ready, running

import seesay
from seesay.chatting import Conversational, converses
from seesay.records import Turn
from seesay.server import ServerSettings, create_app
from seesay.server.conversation import wants_caption
from tiny_vlms import tiny_vlm

TURNS: list[Any] = [{"role": "assistant", "content": "a cat"}, {"role": "user", "content": "Is it red?"}]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Conversational:
    loaded = seesay.load(tiny_vlm(tmp_path_factory.mktemp("llava"), "llava-1.5", seed=1), threads=1)
    assert converses(loaded)
    return loaded


@pytest.fixture(scope="module")
def server(model: Conversational) -> Iterator[str]:
    with running(create_app(ServerSettings(models=("llava",)), lambda name: model)) as url:
        yield ready(url)


def expected(model: Conversational, turns: list[Turn], question: str) -> list[str]:
    return list(model.converse(model.see(picture(1)), turns, question, max_tokens=40))


def test_pieces_come_as_they_are_written(server: str, model: Conversational) -> None:
    pieces = expected(model, [Turn("What is this?", "a cat")], "Be brief.\n\nIs it red?")
    assert len(pieces) > 1
    first = {
        "role": "user",
        "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": data_uri(picture(1))}},
        ],
    }
    messages: Any = [{"role": "system", "content": "Be brief."}, first, *TURNS]
    with openai.OpenAI(base_url=f"{server}/v1", api_key="none", max_retries=0) as client:
        stream = client.chat.completions.create(model="llava", messages=messages, max_tokens=40, stream=True)
        told = [chunk.choices[0].delta.content for chunk in stream]
        assert [piece for piece in told if piece] == [piece for piece in pieces if piece]
        whole = client.chat.completions.create(model="llava", messages=messages, max_tokens=40)
        assert whole.choices[0].message.content == "".join(pieces).strip()
        short: Any = {"model": "llava", "messages": messages, "max_tokens": 2}  # no random weights end so soon
        assert client.chat.completions.create(**short).choices[0].finish_reason == "length"
        *_, last = client.chat.completions.create(**short, stream=True)
        assert last.choices[0].finish_reason == "length"
        with pytest.raises(openai.BadRequestError, match="2 replies"):
            client.chat.completions.create(model="llava", messages=messages, n=2)


def test_ollamas_client_hears_the_same(server: str, model: Conversational) -> None:
    pieces = expected(model, [Turn("What is this?", "a cat")], "Is it red?")
    messages = [{"role": "user", "content": "What is this?", "images": [picture(1)]}, *TURNS]
    with ollama.Client(host=server) as client:
        told = list(client.chat(model="llava", messages=messages, stream=True, options={"num_predict": 40}))
        assert "".join(one.message.content or "" for one in told) == "".join(pieces)
        assert len(told) > 2
        cut = client.chat(model="llava", messages=messages, options={"num_predict": 2})
        assert cut.done_reason == "length"


def test_who_stops_listening_stops_it(server: str, model: Conversational) -> None:
    """And the next one is answered."""
    messages = [{"role": "user", "content": "What is this?", "images": [picture(1)]}]
    with ollama.Client(host=server) as client:
        stream = client.chat(model="llava", messages=messages, stream=True, options={"num_predict": 200})
        next(iter(stream))
        stream.close()  # type: ignore[attr-defined]  # it is a generator
        told = client.chat(model="llava", messages=messages, options={"num_predict": 40})
        assert told.message.content == "".join(expected(model, [], "What is this?")).strip()


class Drips:
    """A model that takes its time for every piece."""

    def __init__(self, model: Conversational) -> None:
        self._model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def converse(self, *asked: Any, **more: Any) -> Generator[str, None, bool]:
        for piece in "abcdef":
            time.sleep(0.3)
            yield piece
        return False


def test_each_piece_has_its_time(model: Conversational) -> None:
    """The whole takes longer than a request may."""
    settings = ServerSettings(models=("llava",), seconds=1.5)
    messages = [{"role": "user", "content": "What is this?", "images": [picture(1)]}]
    drips: Any = Drips(model)
    with running(create_app(settings, lambda name: drips)) as url, ollama.Client(host=ready(url)) as client:
        *told, last = client.chat(model="llava", messages=messages, stream=True)
    assert "".join(one.message.content or "" for one in told) == "abcdef"
    assert last.done


@pytest.mark.parametrize(
    ("text", "caption"),
    [
        ("", True),
        ("Describe this image in detail.", True),
        ("What is in this picture?", True),
        ("What’s in this image?", True),
        ("Write alt text for the photo", True),
        ("Create a caption with exactly one sentence in the active voice", True),
        ("What colour is the car in the picture?", False),
        ("Is it raining?", False),
        ("How many dogs are in this image?", False),
        ("What is on the table?", False),
    ],
)
def test_what_asks_for_a_caption(text: str, caption: bool) -> None:
    assert wants_caption(text) is caption
