"""The providers' batch files: what is written is what a live run would send, what comes back finds its pictures."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from api_server import (
    NAMES,
    PROTOCOLS,
    ApiServer,
    anthropic_answer,
    chat_answer,
    gemini_answer,
    mismatch,
    responses_answer,
)

from seesay.backends import api
from seesay.backends.api import ApiModel
from seesay.backends.batchfiles import names_of, read_results, write_requests
from seesay.describe import CaptionOptions
from seesay.errors import CapabilityError, DataError, ImageError, ImageRefused, ImageUnanswered, UsageError
from seesay.images.sources import pictures
from seesay.models import Service
from seesay.records import Caption

OPTIONS = CaptionOptions()
Line = dict[str, Any]


def openai_result(line: Line, answer: Line) -> Line:
    response = {"status_code": 200, "request_id": "r", "body": answer}
    return {"id": "batch_req_1", "custom_id": line["custom_id"], "response": response, "error": None}


def openai_failure(line: Line) -> Line:
    body = {"error": {"message": "bad image", "code": "x"}}
    return {"id": "b", "custom_id": line["custom_id"], "response": {"status_code": 400, "body": body}, "error": None}


def anthropic_result(line: Line, answer: Line) -> Line:
    return {"custom_id": line["custom_id"], "result": {"type": "succeeded", "message": answer}}


def anthropic_failure(line: Line) -> Line:
    error = {"type": "error", "error": {"type": "invalid_request_error", "message": "bad image"}}
    return {"custom_id": line["custom_id"], "result": {"type": "errored", "error": error}}


def gemini_result(line: Line, answer: Line) -> Line:
    return {"key": line["key"], "response": answer}


def gemini_failure(line: Line) -> Line:
    return {"key": line["key"], "error": {"code": 3, "message": "bad image", "status": "INVALID_ARGUMENT"}}


Result = Callable[[Line, Line], Line]
Failure = Callable[[Line], Line]
PROVIDERS: list[tuple[str, str, str, Callable[[str], Line], Result, Failure]] = [
    ("openai", "/v1/chat/completions", "body", chat_answer, openai_result, openai_failure),
    ("openai-responses", "/v1/responses", "body", responses_answer, openai_result, openai_failure),
    ("anthropic", "/v1/messages", "params", anthropic_answer, anthropic_result, anthropic_failure),
    ("gemini", "/v1/models/", "request", gemini_answer, gemini_result, gemini_failure),
]
providers = pytest.mark.parametrize(
    ("protocol", "path", "inside", "answer", "result", "failure"), PROVIDERS, ids=[one[0] for one in PROVIDERS]
)


def model_of(protocol: str) -> ApiModel:
    """Without a key: nothing is sent."""
    service = Service.named(NAMES[protocol])
    assert service
    return ApiModel(service, connect=False)


def lines_of(path: Path) -> list[Line]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@providers
def test_requests_out_results_in(
    protocol: str, path: str, inside: str, answer: Callable[[str], Line], result: Result, failure: Failure, photos: Path
) -> None:
    shutil.copy(photos / "1-green.png", photos / "9-green-again.png")
    (photos / "2-blue.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    requests = photos.parent / "requests.jsonl"
    model = model_of(protocol)
    written = list(write_requests(model, pictures([photos]), OPTIONS, requests))
    assert [Path(one.name).name for one in written if isinstance(one.result, ImageError)] == ["2-blue.png"]
    assert {one.result for one in written if not isinstance(one.result, ImageError)} == {requests}
    asked = lines_of(requests)
    assert len(asked) == 5  # six pictures, one broken; the copy is no request of its own
    for line in asked:
        assert mismatch(line[inside], PROTOCOLS[path].shape) is None
        if protocol.startswith("openai"):
            assert (line["method"], line["url"]) == ("POST", path)
    assert not list(photos.parent.glob(".*"))

    # Back come three in another order, one refused, one failed, one not at all.
    told = [result(asked[3], answer("Three.")), result(asked[1], answer('"One."')), failure(asked[0])]
    out = photos.parent / "out.jsonl"
    out.write_text("".join(json.dumps(line) + "\n" for line in told))
    found = {Path(one.name).name: one.result for one in read_results(model, [out], OPTIONS, requests)}
    names = [json.loads(line) for line in names_of(requests).read_text().splitlines()]
    assert len(names) == 6
    assert len(found) == 6
    texts = sorted(one.text for one in found.values() if isinstance(one, Caption))
    assert texts == ["One.", "One.", "Three."]
    green, again = found["1-green.png"], found["9-green-again.png"]
    assert green == again
    assert isinstance(found["0-red.png"], ImageUnanswered)
    assert "bad image" in str(found["0-red.png"])
    caption = next(one for one in found.values() if isinstance(one, Caption))
    assert caption.provenance
    assert caption.provenance.model == NAMES[protocol]
    assert model.meter.used.input == 2000


def test_a_batch_sends_what_a_live_run_sends(photos: Path, build: Callable[..., ApiModel], server: ApiServer) -> None:
    requests = photos.parent / "requests.jsonl"
    list(write_requests(model_of("anthropic"), pictures([photos / "0-red.png"]), OPTIONS, requests))
    build(NAMES["anthropic"]).caption(photos / "0-red.png", OPTIONS)
    assert lines_of(requests)[0]["params"] == server.requests[0].body


def test_a_refusal_is_that_pictures_error(photos: Path) -> None:
    requests, out = photos.parent / "requests.jsonl", photos.parent / "out.jsonl"
    model = model_of("anthropic")
    list(write_requests(model, pictures([photos / "0-red.png"]), OPTIONS, requests))
    out.write_text(json.dumps(anthropic_result(lines_of(requests)[0], anthropic_answer(None, "refusal"))))
    [one] = read_results(model, [out], OPTIONS, requests)
    assert isinstance(one.result, ImageRefused)


@pytest.mark.parametrize("limit", [(2, 10**9), (100, 4000)])
def test_a_file_that_would_grow_too_large_is_followed_by_others(
    limit: tuple[int, int], photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.chat, "BATCH", limit)
    requests = photos.parent / "requests.jsonl"
    written = list(write_requests(model_of("openai"), pictures([photos]), OPTIONS, requests))
    parts = list(dict.fromkeys(one.result for one in written))
    assert [part.name for part in parts if isinstance(part, Path)][:2] == ["requests.jsonl", "requests.2.jsonl"]
    for part in parts:
        assert isinstance(part, Path)
        assert len(lines_of(part)) <= limit[0]
        assert part.stat().st_size <= limit[1]
    assert sum(len(lines_of(part)) for part in parts if isinstance(part, Path)) == 6


def test_nothing_is_left_of_a_run_that_was_stopped(photos: Path) -> None:
    requests = photos.parent / "requests.jsonl"
    run = write_requests(model_of("openai"), pictures([photos]), OPTIONS, requests)
    next(run)
    run.close()
    assert [one.name for one in photos.parent.iterdir()] == ["photos"]


def test_what_is_there_is_not_written_over(photos: Path) -> None:
    requests = photos.parent / "requests.jsonl"
    requests.write_text("mine")
    with pytest.raises(UsageError, match="exists"):
        list(write_requests(model_of("openai"), pictures([photos]), OPTIONS, requests))
    assert requests.read_text() == "mine"


def test_protocols_and_options_without_batches(photos: Path) -> None:
    requests = photos.parent / "requests.jsonl"
    with pytest.raises(CapabilityError, match="takes no batch files") as caught:
        list(write_requests(model_of("ollama"), pictures([photos]), OPTIONS, requests))
    assert "anthropic" in caught.value.remedy
    with pytest.raises(UsageError, match="one caption"):
        list(write_requests(model_of("openai"), pictures([photos]), CaptionOptions(count=2), requests))


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("no JSON", "line 1"),
        ('{"hello": 1}', "it holds no custom_id"),
        ('{"custom_id": "another", "response": {"status_code": 200, "body": {}}}', "never asked for another"),
        ("[1]", "line 1"),
    ],
)
def test_results_of_something_else(line: str, says: str, photos: Path) -> None:
    requests, out = photos.parent / "requests.jsonl", photos.parent / "out.jsonl"
    list(write_requests(model_of("openai"), pictures([photos]), OPTIONS, requests))
    out.write_text(line)
    with pytest.raises(DataError, match=says):
        list(read_results(model_of("openai"), [out], OPTIONS, requests))
    with pytest.raises(UsageError, match="is missing"):
        list(read_results(model_of("openai"), [out], OPTIONS, photos / "others.jsonl"))
