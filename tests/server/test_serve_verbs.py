"""Seesay's own endpoints, asked over HTTP: what they say is what the model says."""

from __future__ import annotations

import io
from collections.abc import Callable

import httpx2
import numpy as np
import pytest
from PIL import Image
from real_servers import data_uri, http, picture

from seesay.describe import Blip, Describer
from seesay.explaining import explain


@pytest.fixture(scope="module")
def model(load: Callable[[str], Describer]) -> Describer:
    return load("full")


def ask(server: str, path: str, **body: object) -> httpx2.Response:
    return http.post(f"{server}{path}", json=body)


def test_a_caption_is_the_models(server: str, model: Describer) -> None:
    expected = model.caption(picture(1), count=2)
    told = ask(server, "/v1/caption", image=data_uri(picture(1)), count=2).json()
    assert told["caption"] == expected.text
    assert told["log_probability"] == pytest.approx(expected.score, abs=1e-3)
    assert [one["caption"] for one in told["alternatives"]] == [expected.alternatives[0].text]
    assert told["options"]["count"] == 2


def test_the_picture_itself_may_be_the_body(server: str, model: Describer) -> None:
    image = {"Content-Type": "image/png"}
    told = http.post(f"{server}/v1/caption?prompt=a+red&max_tokens=4", content=picture(2), headers=image).json()
    assert told["caption"] == model.caption(picture(2), prompt="a red", max_new_tokens=4).text
    told = http.post(f"{server}/v1/match?texts=a+cat&texts=a+dog", content=picture(2), headers=image).json()
    assert [one["text"] for one in told["matches"]] == ["a cat", "a dog"]


def test_answers_and_their_probabilities(server: str, model: Describer) -> None:
    body = {"image": data_uri(picture(3)), "question": "a cat on the grass"}
    assert ask(server, "/v1/ask", **body).json()["answer"] == model.ask(picture(3), body["question"]).text
    told = ask(server, "/v1/ask", **body, answers=["cat", "dog"]).json()
    expected = model.ask(picture(3), body["question"], answers=("cat", "dog"))
    assert told["answer"] == expected.text
    assert told["probability"] + told["alternatives"][0]["probability"] == pytest.approx(1, abs=1e-3)


def test_matches(server: str, model: Describer) -> None:
    told = ask(server, "/v1/match", image=data_uri(picture(4)), texts=["a cat", "a red boat"]).json()
    [expected] = model.matches([picture(4)], [["a cat", "a red boat"]])
    assert isinstance(expected, list)
    for one, match in zip(told["matches"], expected, strict=True):
        assert one["probability"] == pytest.approx(match.probability, abs=1e-3)
        assert one["similarity"] == pytest.approx(match.similarity, abs=1e-3)


def test_vectors(server: str, model: Describer) -> None:
    [told] = ask(server, "/v1/embed", image=data_uri(picture(5))).json()["vectors"]
    np.testing.assert_allclose(told, model.embed_image(picture(5)).vector, atol=1e-5)
    told = ask(server, "/v1/embed", texts=["a cat", "a dog"]).json()["vectors"]
    np.testing.assert_allclose(told[1], model.embed_text("a dog").vector, atol=1e-5)
    assert ask(server, "/v1/embed").status_code == 400


def test_explanations(server: str, model: Describer) -> None:
    assert isinstance(model, Blip)
    expected = explain(model, picture(6), "a cat on grass")
    body = {"image": data_uri(picture(6)), "text": "a cat on grass"}
    told = ask(server, "/v1/explain", **body).json()
    assert [word["text"] for word in told["words"]] == ["a", "cat", "on", "grass"]
    np.testing.assert_allclose(told["words"][1]["heat"], expected.words[1].heat, atol=1e-3)
    assert told["probability"] == pytest.approx(expected.probability, abs=1e-3)
    page = ask(server, "/v1/explain", **body, format="html")
    assert page.headers["content-type"].startswith("text/html")
    assert ">grass</label>" in page.text
    sheet = Image.open(io.BytesIO(ask(server, "/v1/explain", **body, format="png").content))
    heat = Image.open(io.BytesIO(ask(server, "/v1/explain", **body, format="png", word=1).content))
    assert sheet.mode == "RGB"
    assert (heat.mode, heat.size) == ("RGBA", (40, 40))
    assert ask(server, "/v1/explain", **body, format="png", word=4).status_code == 400


def test_each_model_by_its_name(server: str, load: Callable[[str], Describer]) -> None:
    told = ask(server, "/v1/caption", image=data_uri(picture(7)), model="caption").json()
    assert told["caption"] == load("caption").caption(picture(7)).text
    refused = ask(server, "/v1/caption", image=data_uri(picture(7)), model="gpt-4o")
    assert refused.status_code == 404
    assert "full, caption" in refused.json()["error"]["remedy"]


def test_what_a_model_cannot_do_names_one_that_can(server: str) -> None:
    refused = ask(server, "/v1/ask", image=data_uri(picture(7)), question="a cat?", model="caption")
    assert refused.status_code == 400
    error = refused.json()["error"]
    assert error["type"] == "CapabilityError"
    assert "blip-vqa-base" in error["remedy"]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({}, 400, "image: Field required"),
        ({"image": "x", "cuont": 2}, 400, "cuont"),
        ({"image": "/etc/passwd"}, 422, "neither"),
        ({"image": "file:///etc/passwd"}, 422, "neither"),
        ({"image": "data:image/png;base64,AAAA"}, 422, "not a picture"),
        ({"image": data_uri(picture(8)[:-900])}, 422, "truncated"),
        ({"image": "http://127.0.0.1/cat.jpg"}, 403, "not fetched"),
        ({"image": "http://[abc/x.jpg"}, 422, "no address"),
        ({"image": data_uri(picture(8)), "nucleus": True, "beams": 3}, 400, "nucleus"),
        ({"image": data_uri(picture(8)), "top_p": 7, "nucleus": True}, 400, "top_p"),
    ],
)
def test_requests_that_cannot_be_met_say_why(server: str, body: dict[str, object], status: int, words: str) -> None:
    refused = ask(server, "/v1/caption", **body)
    assert refused.status_code == status
    assert words in refused.json()["error"]["message"]


def test_a_question_without_a_word_costs_nobody_else(serve: Callable[..., str], model: Describer) -> None:
    """The batch that it came in is done again, one by one."""
    from concurrent.futures import ThreadPoolExecutor

    server = serve(wait=0.2)
    questions = ["a cat?", "", "a dog?", "a man?"] * 4
    body = {"image": data_uri(picture(9))}
    with ThreadPoolExecutor(16) as threads:
        told = list(threads.map(lambda question: ask(server, "/v1/ask", **body, question=question), questions))
    for question, one in zip(questions, told, strict=True):
        if not question:
            assert one.status_code == 400
        else:
            assert one.json()["answer"] == model.ask(picture(9), question).text


def test_pages_and_state(server: str) -> None:
    assert http.get(f"{server}/health").json() == {"status": "ok"}
    assert http.get(f"{server}/ready").json()["models"] == ["full", "caption"]
    assert "<html" in http.get(f"{server}/").text
    page = http.get(f"{server}/docs").text
    described = http.get(f"{server}/openapi.json").json()["paths"]
    for path in ("/v1/caption", "/v1/search", "/v1/chat/completions", "/api/generate"):
        assert path in described
        assert f"<code>{path}</code>" in page
    assert "http://" not in page.replace("http://json-schema", "")
    assert "https://" not in page
    assert "bad_words" in page
    counted = http.get(f"{server}/metrics").text
    assert 'seesay_requests_total{caller="",path="/health",status="200"} 1.0' in counted
