"""Models behind APIs as Describers, over HTTP: what goes out is what the documents say, what comes back is a record."""

from __future__ import annotations

import logging
import socket
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import api_server
import pytest
from api_server import KEY, NAMES, ApiServer, Build, Canned
from PIL import Image

from seesay.backends import client
from seesay.describe import CaptionOptions, Seen
from seesay.errors import (
    CapabilityError,
    CostLimit,
    ImageError,
    ImageNotFound,
    ImageRefused,
    ImageTooLarge,
    ImageUnanswered,
    ImageUnreadable,
    ModelNotFound,
    ServiceError,
    UsageError,
)
from seesay.models import Service, resolve
from seesay.records import Caption
from seesay.settings import Settings

RED = Image.new("RGB", (60, 40), "red")
every_protocol = pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())

CUT_OFF = {
    "openai": api_server.chat_answer("A red", "length"),
    "openai-responses": api_server.responses_answer(
        "A red", "incomplete", incomplete_details={"reason": "max_output_tokens"}
    ),
    "anthropic": api_server.anthropic_answer("A red", "max_tokens"),
    "gemini": api_server.gemini_answer("A red", "MAX_TOKENS"),
    "ollama": api_server.ollama_answer("A red", "length"),
}
REFUSED = {
    "openai": api_server.chat_answer(None, refusal="I can't describe that."),
    "openai-responses": api_server.responses_answer(
        "",
        output=[{"type": "message", "content": [{"type": "refusal", "refusal": "I can't describe that."}]}],
    ),
    "anthropic": api_server.anthropic_answer(None, "refusal", "general_harms"),
    "gemini": {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 9}},
}
STARVED = {  # thinking took all the tokens
    "openai": api_server.chat_answer("", "length"),
    "openai-responses": api_server.responses_answer(
        "", "incomplete", output=[{"type": "reasoning", "id": "r", "summary": []}], incomplete_details={"reason": "x"}
    ),
    "anthropic": api_server.anthropic_answer(None, "max_tokens"),
    "gemini": api_server.gemini_answer(None, "MAX_TOKENS"),
    "ollama": api_server.ollama_answer("", "length"),
}


@every_protocol
def test_a_caption_over_http(name: str, build: Build, server: ApiServer) -> None:
    server.key = None if name.startswith("ollama") else KEY
    server.says = 'Sure! Here\'s a caption for the image:\n\n"A red square."'
    caption = build(name).caption(RED)
    assert caption.text == "A red square."
    assert caption.flags == ()
    made = caption.provenance
    assert made
    assert (made.model, made.engine) == (name, name.split(":")[0])
    assert made.versions["model"] in ("gpt-4o-mini-2024-07-18", *(one.partition(":")[2] for one in NAMES.values()))
    assert made.milliseconds > 0
    [seen] = server.requests
    assert "caption" in seen.text
    assert seen.size == RED.size


@every_protocol
def test_an_answer_over_http(name: str, build: Build, server: ApiServer) -> None:
    server.says = "**Red**"
    answer = build(name).ask(RED, "What colour is it?")
    assert (answer.text, answer.alternatives) == ("Red", ())
    assert "What colour is it?" in server.requests[0].text


@every_protocol
def test_what_is_used_is_counted(name: str, build: Build, server: ApiServer) -> None:
    model = build(name)
    model.captions([RED, RED])
    assert (model.meter.used.input, model.meter.used.output, model.meter.requests) == (2000, 40, 2)
    price = model.profile.price
    assert price
    assert model.meter.dollars == pytest.approx((2000 * price.input + 40 * price.output) / 1e6)


@pytest.mark.parametrize("protocol", CUT_OFF)
def test_a_cut_off_caption_is_marked(protocol: str, build: Build, server: ApiServer) -> None:
    server.next(Canned(body=CUT_OFF[protocol]))
    caption = build(NAMES[protocol]).caption(RED, max_new_tokens=2)
    assert (caption.text, caption.flags) == ("A red", ("cut off",))


@pytest.mark.parametrize("protocol", STARVED)
def test_thinking_that_leaves_no_room_is_marked(protocol: str, build: Build, server: ApiServer) -> None:
    server.next(Canned(body=STARVED[protocol]))
    caption = build(NAMES[protocol]).caption(RED)
    assert (caption.text, caption.flags) == ("", ("empty", "cut off"))


@pytest.mark.parametrize("protocol", REFUSED)
def test_a_refusal_is_that_pictures_error(protocol: str, build: Build, server: ApiServer) -> None:
    server.next(Canned(body=REFUSED[protocol]))
    first, second = build(NAMES[protocol], concurrency=1).captions([RED, RED])
    assert isinstance(first, ImageRefused)
    assert isinstance(second, Caption)


def test_a_refusal_in_words_is_marked(build: Build, server: ApiServer) -> None:
    server.says = "I'm sorry, but I can't help with that."
    assert build(NAMES["anthropic"]).caption(RED).flags == ("declined",)


def test_thinking_before_the_text_goes(build: Build, server: ApiServer) -> None:
    server.says = "<think>The picture is red.</think>\n\nA red square."
    assert build(f"openai:qwen@{server.url}/v1").caption(RED).text == "A red square."


# ---------------------------------------------------------------------------------------------------- what goes out


def test_openai_is_asked_in_its_own_words_and_others_in_theirs(build: Build, server: ApiServer) -> None:
    build("openai:gpt-4o-mini").caption(RED)
    build(f"openai:gpt-4o-mini@{server.url}/v1/").caption(RED)
    own, other = (one.body for one in server.requests)
    assert (own["max_completion_tokens"], own["store"]) == (300, False)
    assert "max_tokens" not in own
    assert other["max_tokens"]
    assert not other.keys() & {"store", "max_completion_tokens"}


def test_thinking_models_are_asked_to_think_little(build: Build, server: ApiServer) -> None:
    build("openai:gpt-6-luna").caption(RED)
    build("anthropic:claude-haiku-5-5").caption(RED)
    build("anthropic:claude-haiku-4-5-20251001").caption(RED)
    openai, new, old = (one.body for one in server.requests)
    assert openai["reasoning_effort"] == "low"
    assert new["output_config"] == {"effort": "low"}
    assert "output_config" not in old


def test_sampling_reaches_those_that_listen(build: Build, server: ApiServer) -> None:
    options = CaptionOptions(nucleus=True, temperature=0.5, top_p=0.8, top_k=7, seed=3, count=2)
    build(NAMES["gemini"], concurrency=1).caption(RED, options)
    build(NAMES["ollama"], concurrency=1).caption(RED, options)
    gemini = [one.body["generationConfig"] for one in server.requests[:2]]
    ollama = [one.body["options"] for one in server.requests[2:]]
    assert [(one["temperature"], one["topP"], one["topK"], one["seed"]) for one in gemini] == [
        (0.5, 0.8, 7, 3),
        (0.5, 0.8, 7, 4),
    ]
    assert [(one["temperature"], one["top_p"], one["top_k"], one["seed"]) for one in ollama] == [
        (0.5, 0.8, 7, 3),
        (0.5, 0.8, 7, 4),
    ]


@pytest.mark.parametrize("protocol", ["openai-responses", "anthropic"])
def test_sampling_is_refused_by_name_where_nobody_listens(protocol: str, build: Build, server: ApiServer) -> None:
    with pytest.raises(CapabilityError, match=r"does not listen to .*temperature") as caught:
        build(NAMES[protocol]).caption(RED, nucleus=True)
    assert "openai:gpt-4o" in caught.value.remedy
    assert not server.requests


@pytest.mark.parametrize(
    "changes",
    [{"bad_words": ("dog",)}, {"no_repeat_ngram": 2}, {"min_new_tokens": 4}, {"beams": 7}, {"length_penalty": 2.0}],
)
def test_what_only_a_search_can_do_is_refused(changes: dict[str, object], build: Build, server: ApiServer) -> None:
    with pytest.raises(CapabilityError, match="ollama:llava:13b cannot") as caught:
        build(NAMES["ollama"]).caption(RED, **changes)
    assert "blip-base" in caught.value.remedy
    assert not server.requests


def test_verbs_that_it_lacks_name_a_model_that_has_them(build: Build) -> None:
    model = build(NAMES["openai"])
    assert model.capabilities == {"caption", "ask", "instruct"}
    for lacks in (
        lambda: model.match(RED, "a cat"),
        lambda: model.matches([RED], [["a cat"]]),
        lambda: model.embed_image(RED),
        lambda: model.embed_images([RED]),
        lambda: model.embed_text("a cat"),
        lambda: model.embed_texts(["a cat"]),
    ):
        with pytest.raises(CapabilityError, match="cannot") as caught:
            lacks()
        assert "blip-itm-base-coco" in caught.value.remedy


def test_the_words_a_caption_starts_with_are_asked_for_and_checked(build: Build, server: ApiServer) -> None:
    model = build(NAMES["openai"])
    server.says = "A painting of a square."
    assert model.caption(RED, prompt="a painting of").flags == ()
    assert '"a painting of"' in server.requests[0].text
    assert model.caption(RED, prompt="a photo of").flags == ("prompt not kept",)


def test_given_answers_come_back_as_they_were_given(build: Build, server: ApiServer) -> None:
    model = build(NAMES["gemini"])
    server.says = "Yes."
    answer = model.ask(RED, "Is it red?", answers=("no", "yes", "who knows"))
    assert [one.text for one in answer.all] == ["yes", "no", "who knows"]
    assert all(one.score is None and one.probability is None for one in answer.all)
    assert "- who knows" in server.requests[0].text
    server.says = "It is red"
    answer = model.ask(RED, "Is it red?", answers=("no", "yes"))
    assert (answer.text, answer.flags) == ("It is red", ("not among the answers",))


def test_an_instruction_goes_out_word_for_word_and_its_answer_keeps_its_layout(build: Build, server: ApiServer) -> None:
    model = build(NAMES["anthropic"])
    server.says = 'Here is the JSON:\n```json\n{\n  "total": 3\n}\n```'
    answer = model.instruct(RED, "Read this receipt.\n\nAs JSON.", max_tokens=50)
    assert answer.text == '{\n  "total": 3\n}'
    [seen] = server.requests
    assert seen.text == "Read this receipt.\n\nAs JSON."
    assert seen.body["max_tokens"] == 4050  # thinking has room beside the answer
    build(NAMES["ollama"]).instruct(RED, "Read.", max_tokens=50)
    assert server.requests[-1].body["options"]["num_predict"] == 50


def test_a_question_without_a_word_is_refused(build: Build, server: ApiServer) -> None:
    with pytest.raises(UsageError, match="holds no word"):
        build(NAMES["ollama"]).ask(RED, " ? ")
    assert not server.requests


def test_pictures_go_out_small_and_without_their_metadata(build: Build, server: ApiServer, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    exif[0x0112] = 6  # turned by 90 degrees
    Image.new("RGB", (3000, 1000), "red").save(tmp_path / "a.jpg", exif=exif, comment=b"at home", dpi=(300, 300))
    build(NAMES["anthropic"]).caption(tmp_path / "a.jpg")
    [seen] = server.requests
    assert seen.size in ((522, 1567), (522, 1568))
    for secret in (b"camera", b"home", b"Exif"):
        assert secret not in seen.jpeg


def test_a_seen_picture_is_sent_again_as_it_is(build: Build, server: ApiServer) -> None:
    model = build(NAMES["ollama"])
    seen = model.see(RED)
    model.caption(seen)
    model.ask(seen, "What is it?")
    first, second = server.requests
    assert first.jpeg == second.jpeg
    with pytest.raises(UsageError, match="was seen by"):
        build(NAMES["openai"]).caption(seen)
    with pytest.raises(UsageError, match="was seen by"):
        model.caption(Seen(object(), model.name))  # type: ignore[arg-type]


# --------------------------------------------------------------------------------------------------------- how sure


def test_log_probabilities_become_a_score_where_they_are_told(build: Build, server: ApiServer) -> None:
    for name in ("openai:gpt-4o-mini", "ollama:llava:13b", f"openai:qwen@{server.url}/v1"):
        caption = build(name).caption(RED)
        assert caption.score == pytest.approx(-0.25)
        assert len(caption.token_scores) == 3
    assert build(NAMES["anthropic"]).caption(RED).score is None


def test_only_the_tokens_of_the_text_count(build: Build, server: ApiServer) -> None:
    answer = api_server.chat_answer("x", logprobs=True)
    tokens = [("<think>", -9.0), ("red", -9.0), ("</think>", -9.0), ("A", -0.1), (" red", -0.2), (" square", -0.3)]
    answer["choices"][0]["message"]["content"] = "".join(token for token, _ in tokens)
    answer["choices"][0]["logprobs"]["content"] = [{"token": token, "logprob": score} for token, score in tokens]
    server.next(Canned(body=answer))
    caption = build(NAMES["openai"]).caption(RED)
    assert caption.text == "A red square"
    assert caption.token_scores == (-0.1, -0.2, -0.3)


def test_a_server_that_refuses_log_probabilities_is_asked_without(build: Build, server: ApiServer) -> None:
    server.next(Canned(400, {"error": {"message": "property 'logprobs' is unsupported"}}))
    model = build(f"openai:some@{server.url}/v1", concurrency=1)
    assert [one.score for one in model.captions([RED, RED]) if isinstance(one, Caption)] == [None, None]
    assert ["logprobs" in one.body for one in server.requests] == [True, False, False]


def test_alternatives_come_likeliest_first(build: Build, server: ApiServer) -> None:
    for score, text in ((-0.9, "Worse"), (-0.1, "Best"), (-0.5, "Good")):
        answer = api_server.chat_answer(text, logprobs=True)
        answer["choices"][0]["logprobs"]["content"][0]["logprob"] = score
        server.next(Canned(body=answer))
    caption = build(NAMES["openai"]).caption(RED, count=3)
    assert [one.text for one in caption.all] == ["Best", "Good", "Worse"]


# ------------------------------------------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize(
    "bad",
    [
        Canned(429, {"error": {"message": "slow down"}}, {"Retry-After": "0"}),
        Canned(500, b"<html>oops</html>"),
        Canned(503, {"error": "overloaded"}),
        Canned(408, {}),
        Canned(409, {}),
        Canned(529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
        Canned(200, b'{"choices": [{"mess'),
        Canned(200, [1, 2]),
        Canned(200, b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
        Canned(500, b'{"a":' * 100_000),
        Canned(200, {"error": {"message": "upstream failed", "code": 502}}),
        Canned(body=None),
    ],
    ids=[
        "429",
        "500",
        "503",
        "408",
        "409",
        "529",
        "cut JSON",
        "a list",
        "deep",
        "deep with 500",
        "an error with 200",
        "hung up",
    ],
)
def test_what_may_be_over_is_tried_again(bad: Canned, build: Build, server: ApiServer) -> None:
    server.next(bad, bad)
    assert build(NAMES["openai"]).caption(RED).text == "A red square."
    assert len(server.requests) == 3


def test_it_gives_up_in_the_end_and_the_batch_goes_on(build: Build, server: ApiServer) -> None:
    server.next(*[Canned(500, {"error": {"message": f"no luck with {KEY}"}})] * client.ATTEMPTS)
    first, second = build(NAMES["openai"], concurrency=1).captions([RED, RED])
    assert isinstance(first, ImageUnanswered)
    assert "no luck with ***" in str(first)
    assert isinstance(second, Caption)


def test_a_pause_that_is_asked_for_is_kept(build: Build, server: ApiServer) -> None:
    model = build(NAMES["openai"])
    model.caption(RED)  # imports are paid
    server.next(Canned(429, {}, {"Retry-After": "0.3"}))
    start = time.monotonic()
    model.caption(RED)
    assert 0.3 <= time.monotonic() - start < 3


def test_pauses_are_told_in_seconds_or_as_a_date() -> None:
    later = datetime.now(UTC) + timedelta(seconds=30)
    assert client._retry_after({"retry-after": "7"}) == 7
    assert client._retry_after({"retry-after-ms": "250", "retry-after": "1"}) == 0.25
    assert client._retry_after({"retry-after": format_datetime(later, usegmt=True)}) == pytest.approx(30, abs=2)
    assert client._retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0
    assert client._retry_after({"retry-after": "soon"}) is None
    assert client._retry_after({}) is None


def test_a_pause_that_is_too_long_is_not_waited_for(build: Build, server: ApiServer) -> None:
    server.next(Canned(429, {"error": {"message": "quota"}}, {"Retry-After": "3600"}))
    with pytest.raises(ImageUnanswered, match="a pause of 3600 seconds"):
        build(NAMES["openai"]).caption(RED)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("bad", "says", "advises"),
    [
        (Canned(401, {"error": {"message": f"Incorrect key {KEY}"}}), "answered 401: Incorrect key ", "key"),
        (Canned(403, {"error": {"message": "no"}}), "answered 403", "key"),
        (Canned(404, {"error": "model 'x' not found, try pulling it first"}), "try pulling it first", "name"),
        (Canned(402, {"error": {"message": "no credit"}}), "no credit", "credit"),
        (Canned(429, {"error": {"message": "exceeded", "code": "insufficient_quota"}}), "exceeded", "credit"),
        (Canned(400, {"error": {"message": "unsupported parameter"}}), "unsupported parameter", "another model"),
        (Canned(302, {}, {"Location": "http://elsewhere.example/v1"}), "redirects to elsewhere.example", "address"),
    ],
)
def test_what_no_request_would_survive_ends_the_run(
    bad: Canned, says: str, advises: str, build: Build, server: ApiServer
) -> None:
    server.next(bad)
    with pytest.raises(ServiceError, match=says) as caught:
        build(NAMES["openai"], concurrency=1).captions([RED, RED])
    assert advises in caught.value.remedy
    assert KEY not in str(caught.value)
    assert len(server.requests) <= 2  # one may have been on its way


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (Canned(400, {"error": {"message": "You uploaded an unsupported image."}}), ImageUnreadable),
        (Canned(413, {"error": {"message": "request too large"}}), ImageTooLarge),
        (Canned(200, {"id": "x", "choices": []}), ImageUnanswered),
        (Canned(200, {"id": "x", "choices": [{"message": "text"}]}), ImageUnanswered),
        (Canned(200, {"id": "x", "choices": [{"message": {"content": 7}}]}), ImageUnanswered),
    ],
)
def test_what_concerns_one_picture_is_its_error(
    bad: Canned, error: type[ImageError], build: Build, server: ApiServer
) -> None:
    server.next(bad)
    first, second = build(NAMES["openai"], concurrency=1).captions([RED, RED])
    assert type(first) is error
    assert isinstance(second, Caption)


def test_a_bad_picture_costs_nothing_but_its_caption(build: Build, server: ApiServer, photos: Path) -> None:
    (photos / "2-blue.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    results = build(NAMES["ollama"]).captions([*sorted(photos.iterdir()), "missing.png"])
    assert [type(one) for one in results] == [
        *(Caption, Caption, ImageUnreadable, Caption, Caption, Caption, ImageNotFound)
    ]
    assert len(server.requests) == 5


@pytest.mark.parametrize("slow", [Canned(seconds=1.0, body={}), Canned(body=api_server.chat_answer("A"), drip=0.05)])
def test_patience_has_an_end(slow: Canned, build: Build, server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "ATTEMPTS", 2)
    server.next(slow, slow)
    start = time.monotonic()
    with pytest.raises(ImageUnanswered, match=r"within 0\.3 seconds"):
        build(NAMES["openai"], seconds=0.3).caption(RED)
    assert time.monotonic() - start < 5


MALFORMED = {
    "anthropic": {"content": None, "stop_reason": "refusal"},
    "anthropic, a list for a word": {"content": [], "stop_reason": ["refusal"]},
    "openai-responses": {"output": None, "status": "completed"},
    "gemini": {"candidates": [{"content": {"parts": 5}}]},
    "openai": {"choices": [{"message": {"content": "x"}, "finish_reason": "stop", "logprobs": 5}]},
    "ollama": {"done": True, "message": None},
}


@pytest.mark.parametrize("protocol", MALFORMED)
def test_a_shape_that_nobody_documents_is_that_pictures_error(protocol: str, build: Build, server: ApiServer) -> None:
    server.next(Canned(200, MALFORMED[protocol]))
    first, second = build(NAMES[protocol.partition(",")[0]], concurrency=1).captions([RED, RED])
    assert isinstance(first, ImageUnanswered)
    assert isinstance(second, Caption)


def test_an_answer_without_end_is_dropped(build: Build, server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MOST_BYTES", 10_000)
    server.next(Canned(body=b" " * 20_000))
    with pytest.raises(ServiceError, match="more than 10,000 bytes"):
        build(NAMES["openai"]).caption(RED)


def test_nobody_there(build: Build) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ServiceError, match="cannot be reached") as caught:
        build(f"ollama:llava@http://127.0.0.1:{port}").caption(RED)
    assert "Start the server" in caught.value.remedy


def test_requests_run_side_by_side_up_to_the_limit_and_results_keep_their_places(
    build: Build, server: ApiServer
) -> None:
    server.seconds = 0.1
    server.says = lambda seen: f"{seen.size[0]} {seen.text.split('No. ')[1][0]}"
    pictures = [Image.new("RGB", (40 + i, 40), "red") for i in range(7)]
    found = build(NAMES["openai"], concurrency=3).answers(pictures, [f"No. {i}" for i in range(7)])
    assert server.busiest == 3
    assert [str(one) for one in found] == [f"{40 + i} {i}" for i in range(7)]


# --------------------------------------------------------------------------------------------------------------- keys


@every_protocol
def test_a_key_stands_in_no_log_error_or_record(
    name: str, build: Build, server: ApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.key = "another"
    server.next(Canned(500, {"error": {"message": f"{KEY} failed"}}))
    model = build(name)
    if name.startswith("ollama"):
        server.key = None
        model.caption(RED)
    else:
        with pytest.raises(ServiceError, match=r"401.*\*\*\*") as caught:
            model.caption(RED)
        error: BaseException | None = caught.value
        while error:
            assert KEY not in repr(error) + str(error)
            error = error.__cause__ or error.__context__
    server.key = None
    told = repr(model.caption(RED).provenance) + repr(model) + str(vars(model).values()) + repr(model._client)
    assert KEY not in told + caplog.text
    assert server.requests[-1].body is not None
    assert KEY not in server.requests[-1].path


@pytest.mark.parametrize("url", ["http://a..b/v1", f"http://{'a' * 300}/v1", "http://localhost:x/v1"])
def test_what_is_no_address(url: str, build: Build) -> None:
    with pytest.raises(ServiceError, match="is no address"):
        build(f"openai:x@{url}").caption(RED)


def test_a_missing_key_is_named(monkeypatch: pytest.MonkeyPatch, build: Build) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    with pytest.raises(ServiceError, match="wants a key") as caught:
        build(NAMES["anthropic"])
    assert "ANTHROPIC_API_KEY" in caught.value.remedy
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk with a space\n")
    with pytest.raises(ServiceError, match="ANTHROPIC_API_KEY is no key") as caught:
        build(NAMES["anthropic"])
    assert "a space" not in str(caught.value)


def test_a_providers_key_goes_to_nobody_else(build: Build, server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    build(f"openai:x@{server.url}/v1").caption(RED)
    monkeypatch.setenv("SEESAY_API_KEY", "another-key-1234567")
    build(f"openai:x@{server.url}/v1").caption(RED)
    first, second = server.requests
    assert "authorization" not in first.headers
    assert second.headers["authorization"] == "Bearer another-key-1234567"
    monkeypatch.setenv("SEESAY_API_KEY", "clé-1234567")
    with pytest.raises(ServiceError, match="SEESAY_API_KEY is no key"):
        build(f"openai:x@{server.url}/v1")


# --------------------------------------------------------------------------------------------------------------- cost


def test_an_estimate_follows_the_providers_rule(build: Build) -> None:
    model = build("openai:gpt-4o-mini")
    found = model.estimate([(1024, 1024), None])
    assert found.pictures == 2
    square, largest = 2833 + 4 * 5667, 2833 + 4 * 5667  # 768 x 768 in both cases
    text = found.usage.input - square - largest
    assert 0 < text < 200
    assert found.dollars == pytest.approx((found.usage.input * 0.15 + found.usage.output * 0.6) / 1e6)
    assert str(found).startswith("2 pictures, about $0.0")


def test_a_limit_refuses_a_run_that_would_pass_it(build: Build) -> None:
    model = build("openai:gpt-4o-mini", max_cost=0.01)
    model.meter.check(model.estimate([(1024, 1024)]))
    with pytest.raises(CostLimit, match=r"100 pictures, about \$0\.\d+ .*more than \$0\.01"):
        model.meter.check(model.estimate([(1024, 1024)] * 100))


def test_a_limit_stops_a_run_that_has_used_it_up(build: Build, server: ApiServer) -> None:
    expensive = api_server.anthropic_answer("A red square.")
    expensive["usage"]["output_tokens"] = 19_000  # 0.0095 dollars
    server.next(Canned(body=expensive))
    model = build("anthropic:claude-haiku-5-5", max_cost=0.0097, concurrency=1)
    first, second = model.captions([RED, RED])
    assert isinstance(first, Caption)  # what was paid for is kept
    assert isinstance(second, ImageRefused)
    assert "not sent" in str(second)
    assert len(server.requests) == 1
    with pytest.raises(CostLimit, match=r"has used \$0\.0096 of \$0\.0097"):
        model.captions([RED])


def test_requests_under_way_count_towards_the_limit(build: Build, server: ApiServer) -> None:
    server.seconds = 0.1
    model = build("anthropic:claude-haiku-5-5", concurrency=8)
    one = model.estimate([RED.size]).dollars
    assert one
    model = build("anthropic:claude-haiku-5-5", concurrency=8, max_cost=2.6 * one)
    results = model.captions([RED] * 8)
    assert sum(isinstance(result, Caption) for result in results) == 2
    assert len(server.requests) == 2


def test_a_limit_without_a_price_cannot_be_kept(build: Build, server: ApiServer) -> None:
    with pytest.raises(UsageError, match="No price is known") as caught:
        build(f"openai:x@{server.url}/v1", max_cost=1.0)
    assert "api-models.json" in caught.value.remedy
    assert build("ollama:llava", max_cost=0.0).caption(RED).text  # what is free passes any limit


# -------------------------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("openai:gpt-4o-mini", ("openai", "gpt-4o-mini", None)),
        ("ollama:llava:13b", ("ollama", "llava:13b", None)),
        ("openai:Qwen/Qwen3-VL@http://localhost:8000/v1/", ("openai", "Qwen/Qwen3-VL", "http://localhost:8000/v1")),
        ("anthropic:claude-3@20240229", ("anthropic", "claude-3@20240229", None)),
        ("openai-responses:gpt-6-sol", ("openai-responses", "gpt-6-sol", None)),
    ],
)
def test_names(name: str, parts: tuple[str, str, str | None]) -> None:
    found = Service.named(name)
    assert found
    assert (found.protocol, found.model, found.url) == parts


@pytest.mark.parametrize("name", ["blip-base", "openai:", "openai", "C:/models/blip", "mistral:7b", "openai: x", "a/b"])
def test_names_of_other_things(name: str) -> None:
    assert Service.named(name) is None


@pytest.mark.parametrize("url", ["http://me:secret@host/v1", "http://host/v1?key=secret", "http://host/v1#secret"])
def test_an_address_holds_no_secrets(url: str) -> None:
    with pytest.raises(UsageError, match="holds a user, a password or a query") as caught:
        Service.named(f"openai:x@{url}")
    assert "secret" not in str(caught.value)


def test_an_address_must_be_one() -> None:
    with pytest.raises(UsageError, match="is no address"):
        Service.named("openai:x@http://[::1/v1")


def test_there_is_nothing_to_fetch() -> None:
    with pytest.raises(ModelNotFound, match="nothing to fetch"):
        resolve("openai:gpt-4o-mini", Settings())
