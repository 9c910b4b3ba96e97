"""OpenAI's own client against a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import openai
import pytest
from real_servers import data_uri, http, picture

from seesay.describe import Describer


@pytest.fixture
def client(server: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server}/v1", api_key="not-needed", max_retries=0) as made:
        yield made


def message(number: int, text: str, *, as_object: bool = True) -> dict[str, Any]:
    url = data_uri(picture(number))
    shown = {"url": url, "detail": "low"} if as_object else url
    return {"role": "user", "content": [{"type": "text", "text": text}, {"type": "image_url", "image_url": shown}]}


@pytest.mark.parametrize("as_object", [True, False])
def test_a_description_is_a_caption(client: openai.OpenAI, load: Callable[[str], Describer], as_object: bool) -> None:
    told = client.chat.completions.create(
        model="caption", messages=[message(1, "Describe this image.", as_object=as_object)], max_tokens=300
    )
    expected = load("caption").caption(picture(1))
    assert told.choices[0].message.content == expected.text
    assert told.usage is not None
    assert told.usage.completion_tokens == len(expected.tokens)


def test_a_question_is_answered_after_other_turns(client: openai.OpenAI, load: Callable[[str], Describer]) -> None:
    told = client.chat.completions.create(
        model="full",
        messages=[
            {"role": "system", "content": "Be brief."},
            message(2, "What is this?"),
            {"role": "assistant", "content": "a cat"},
            {"role": "user", "content": "is the cat on grass?"},
        ],
    )
    expected = load("full").ask(picture(2), "is the cat on grass?")
    assert told.choices[0].message.content == expected.text
    assert told.choices[0].finish_reason == ("length" if "cut off" in expected.flags else "stop")


def test_several_replies(client: openai.OpenAI, load: Callable[[str], Describer]) -> None:
    told = client.chat.completions.create(model="caption", messages=[message(3, "Caption this photo")], n=3)
    expected = load("caption").caption(picture(3), count=3)
    assert [choice.message.content for choice in told.choices] == [one.text for one in expected.all]


def test_streaming(client: openai.OpenAI, load: Callable[[str], Describer]) -> None:
    stream = client.chat.completions.create(
        model="caption",
        messages=[message(4, "What is in this image?")],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == load("caption").caption(picture(4)).text
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == len(load("caption").caption(picture(4)).tokens)


def test_vectors_of_texts_and_pictures(client: openai.OpenAI, load: Callable[[str], Describer]) -> None:
    model = load("full")
    told = client.embeddings.create(model="full", input=["a cat", data_uri(picture(5)), "a dog"])
    expected = [model.embed_text("a cat"), model.embed_image(picture(5)), model.embed_text("a dog")]
    for one, vector in zip(told.data, expected, strict=True):
        np.testing.assert_allclose(one.embedding, vector.vector, atol=1e-5)
    plain = client.embeddings.create(model="full", input="a cat", encoding_format="float")
    np.testing.assert_allclose(plain.data[0].embedding, expected[0].vector, atol=1e-5)


def test_models(client: openai.OpenAI) -> None:
    assert [one.id for one in client.models.list()] == ["full", "caption"]
    one = client.models.retrieve("caption")
    assert one.id == "caption"
    assert one.to_dict()["capabilities"] == ["caption"]


def test_errors_are_the_clients_own(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="cannot answer questions") as refused:
        client.chat.completions.create(model="caption", messages=[message(1, "Is it a cat?")])
    assert refused.value.code == "CapabilityError"
    assert isinstance(refused.value.body, dict)
    assert "blip-vqa-base" in refused.value.body["remedy"]
    with pytest.raises(openai.BadRequestError, match="cannot answer questions"):
        client.chat.completions.create(model="caption", messages=[message(1, "Is it a cat?")], stream=True)
    with pytest.raises(openai.NotFoundError, match="gpt-4o"):
        client.chat.completions.create(model="gpt-4o", messages=[message(1, "Describe it")])
    with pytest.raises(openai.BadRequestError, match="no picture"):
        client.chat.completions.create(model="full", messages=[{"role": "user", "content": "Hello"}])
    with pytest.raises(openai.BadRequestError, match="JSON"):
        client.chat.completions.create(
            model="full", messages=[message(1, "Describe it")], response_format={"type": "json_object"}
        )
    path: Any = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "/etc/passwd"}}]}]
    with pytest.raises(openai.UnprocessableEntityError, match="neither"):
        client.chat.completions.create(model="full", messages=path)
    with pytest.raises(openai.BadRequestError, match="cannot make vectors"):
        client.embeddings.create(model="caption", input="a cat")
    with pytest.raises(openai.BadRequestError, match="tokens of another model"):
        client.embeddings.create(model="full", input=[[1, 2, 3]])
    with pytest.raises(openai.BadRequestError, match="0 inputs"):
        client.embeddings.create(model="full", input=[])


def test_null_is_what_was_left_out(server: str) -> None:
    chat = {"model": "caption", "messages": [message(1, "Describe it")], "n": None, "stream": None, "max_tokens": None}
    assert http.post(f"{server}/v1/chat/completions", json=chat).json()["choices"][0]["message"]["content"]
    vectors = {"model": "full", "input": "a cat", "encoding_format": None, "dimensions": None}
    assert http.post(f"{server}/v1/embeddings", json=vectors).status_code == 200
