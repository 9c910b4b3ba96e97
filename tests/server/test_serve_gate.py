"""Who is let through, how much, how often, and who is told to come back."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest
from real_servers import data_uri, http, picture, ready, running

from seesay.describe import Describer
from seesay.errors import UsageError
from seesay.images import Limits
from seesay.server import ServerSettings, create_app
from seesay.server.keys import Doorkeeper, Key, read_keys

Serve = Callable[..., str]
ALICE, BOB = "alice's long secret", "bob's own long secret"


def test_keys_are_asked_for(serve: Serve) -> None:
    url = serve(keys=(Key.of("alice", ALICE), Key.of("bob", BOB)))
    body = {"image": data_uri(picture(1))}
    for headers in ({}, {"Authorization": "Bearer nonsense"}, {"Authorization": ALICE}, {"Cookie": "seesay-key=x"}):
        refused = http.post(f"{url}/v1/caption", json=body, headers=headers)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == "Bearer"
    for headers in (
        {"Authorization": f"Bearer {ALICE}"},
        {"X-API-Key": BOB},
        {"Cookie": f'seesay-key="{BOB}"'},
        {"Cookie": f'theme={{"dark":true}}; seesay-key="{BOB}"; x'},
    ):
        assert http.post(f"{url}/v1/caption", json=body, headers=headers).status_code == 200
    for path in ("/health", "/ready", "/", "/docs"):
        assert http.get(f"{url}{path}").status_code == 200
    assert http.get(f"{url}/metrics").status_code == 401
    counted = http.get(f"{url}/metrics", headers={"X-API-Key": ALICE}).text
    assert 'seesay_requests_total{caller="bob",path="/v1/caption",status="200"} 3.0' in counted
    assert ALICE not in counted


def test_a_key_has_its_rate(serve: Serve) -> None:
    url = serve(keys=(Key.of("alice", ALICE, 2), Key.of("bob", BOB)))

    def ask(secret: str) -> httpx2.Response:
        return http.post(f"{url}/v1/embed", json={"texts": ["a cat"]}, headers={"X-API-Key": secret})

    assert [ask(ALICE).status_code for _ in range(3)] == [200, 200, 429]
    assert http.get(f"{url}/v1/models", headers={"X-API-Key": ALICE}).status_code == 200
    assert 1 <= int(ask(ALICE).headers["retry-after"]) <= 30
    assert ask(BOB).status_code == 200


def test_a_bucket_refills_evenly() -> None:
    now = 0.0
    key = Key.of("alice", ALICE, 60)
    keeper = Doorkeeper([key], lambda: now)
    assert [keeper.wait(key) for _ in range(60)] == [0] * 60
    assert keeper.wait(key) == pytest.approx(1)
    now = 2.5
    assert [keeper.wait(key) for _ in range(3)] == [0, 0, pytest.approx(0.5)]
    now = 1000.0
    assert sum(keeper.wait(key) == 0 for _ in range(100)) == 60


def test_keys_files(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(f'[alice]\nkey = "{ALICE}"\nper_minute = 60\n[bob]\nkey = "{BOB}"\n')
    alice, bob = read_keys(path)
    assert (alice.name, alice.per_minute, bob.name) == ("alice", 60, "bob")
    assert ALICE not in repr(alice)
    for text in ("", "key = 1", '[alice]\nkey = "short"', f'alice = "{ALICE}"', "[alice"):
        path.write_text(text)
        with pytest.raises(UsageError) as error:
            read_keys(path)
        assert ALICE not in str(error.value)


def test_pages_of_others_are_refused(serve: Serve) -> None:
    url = serve()
    body = json.dumps({"image": data_uri(picture(1))})
    assert http.get(f"{url}/health", headers={"Host": "evil.example"}).status_code == 421
    foreign = {"Origin": "http://evil.example", "Content-Type": "text/plain"}
    assert http.post(f"{url}/v1/caption", content=body, headers=foreign).status_code == 403
    for origin in ("http://[x", "null", "http://"):
        assert http.post(f"{url}/v1/caption", content=body, headers={"Origin": origin}).status_code == 403
    assert http.post(f"{url}/v1/caption", content=body, headers={"Origin": url}).status_code == 200


def test_bodies_and_pixels_have_limits(serve: Serve) -> None:
    url = serve(body=100_000, limits=Limits(pixels=2500, redirects=0))
    assert http.post(f"{url}/v1/caption", json={"image": data_uri(picture(1))}).status_code == 200
    refused = http.post(f"{url}/v1/caption", json={"image": data_uri(picture(1, 60))})
    assert refused.status_code == 413
    assert "3,600 pixels" in refused.json()["error"]["message"]
    assert http.post(f"{url}/v1/caption", content=b"x" * 100_001).status_code == 413

    def unannounced() -> object:
        for _ in range(30):
            yield b"x" * 10_000

    refused = http.post(f"{url}/v1/caption", content=unannounced())  # type: ignore[arg-type]
    assert refused.status_code == 413
    assert "larger" in refused.json()["error"]["message"]


def test_a_body_that_is_there_is_refused_at_once(serve: Serve) -> None:
    url = serve(body=100)
    host, port = url.removeprefix("http://").split(":")
    start = time.monotonic()
    with socket.create_connection((host, int(port))) as caller:
        head = f"POST /v1/caption HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n"
        caller.sendall(head.encode() + b"c8\r\n" + b"x" * 200 + b"\r\n0\r\n\r\n")
        assert caller.recv(4096).startswith(b"HTTP/1.1 413")
    assert time.monotonic() - start < 3  # the patience for what is still sent is 5


class Slow:
    """A describer that takes its time, and counts."""

    def __init__(self, model: Describer, seconds: float) -> None:
        self._model, self._seconds = model, seconds
        self.captioned = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._model, name)

    def captions(self, images: list[object], *rest: object) -> object:
        time.sleep(self._seconds)
        self.captioned += len(images)
        return self._model.captions(images, *rest)  # type: ignore[arg-type]


@pytest.fixture
def slow(load: Callable[[str], Describer], monkeypatch: pytest.MonkeyPatch) -> Callable[[float], Slow]:
    """Makes servers' models slow; gives the last one that was loaded."""
    loaded: list[Slow] = []

    def make(seconds: float) -> Slow:
        model = Slow(load("caption"), seconds)
        loaded.append(model)
        monkeypatch.setattr("seesay.server.worker._loader", lambda settings: lambda name: model)
        return model

    return make


def test_more_than_the_queue_holds_are_told_to_come_back(serve: Serve, slow: Callable[[float], Slow]) -> None:

    model = slow(0.3)
    body = {"image": data_uri(picture(1))}
    with running(create_app(ServerSettings(models=("caption",), queue=4, batch=2))) as url:
        ready(url)
        with ThreadPoolExecutor(12) as threads:
            told = list(threads.map(lambda _: http.post(f"{url}/v1/caption", json=body), range(12)))
        answered = [one for one in told if one.status_code == 200]
        refused = [one for one in told if one.status_code == 429]
        assert len(answered) + len(refused) == 12
        assert len(answered) >= 4
        assert model.captioned == len(answered)
        assert all(int(one.headers["retry-after"]) >= 1 for one in refused)
        assert refused


def test_a_request_has_its_time_and_its_work_is_not_begun(slow: Callable[[float], Slow]) -> None:

    model = slow(0.6)
    body = {"image": data_uri(picture(1))}
    with running(create_app(ServerSettings(models=("caption",), seconds=0.4, batch=1))) as url:
        ready(url)
        with ThreadPoolExecutor(4) as threads:
            told = list(threads.map(lambda _: http.post(f"{url}/v1/caption", json=body), range(4)))
        assert [one.status_code for one in told] == [504] * 4
        time.sleep(0.5)
        assert model.captioned == 1  # only what was begun


def test_callers_that_left_cost_nothing(slow: Callable[[float], Slow]) -> None:

    model = slow(0.3)
    body = {"image": data_uri(picture(1))}
    with running(create_app(ServerSettings(models=("caption",), batch=1))) as url:
        ready(url)

        def leave(_: int) -> None:
            with contextlib.suppress(httpx2.TimeoutException):
                http.post(f"{url}/v1/caption", json=body, timeout=0.15)

        with ThreadPoolExecutor(5) as threads:
            list(threads.map(leave, range(5)))
        assert http.post(f"{url}/v1/caption", json=body).status_code == 200
        assert model.captioned == 2  # the first, which was begun, and the last, which waited
        assert "seesay_callers_left_total 5.0" in http.get(f"{url}/metrics").text


def test_slow_bodies_take_no_place(serve: Serve) -> None:
    url = serve(queue=2, seconds=1.0)
    host, port = url.removeprefix("http://").split(":")
    dripping = [socket.create_connection((host, int(port))) for _ in range(6)]
    for one in dripping:
        one.sendall(f"POST /v1/caption HTTP/1.1\r\nHost: {host}\r\nContent-Length: 999\r\n\r\n{{".encode())
    assert http.post(f"{url}/v1/caption", json={"image": data_uri(picture(1))}).status_code == 200
    answers = [one.recv(4096) for one in dripping]
    assert all(answer.startswith(b"HTTP/1.1 504") for answer in answers)
    for one in dripping:
        one.close()


def test_pictures_from_addresses_only_of_hosts_that_are_listed(serve: Serve) -> None:
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Pictures(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the library's name
            if self.path == "/elsewhere":
                self.send_response(302)
                self.send_header("Location", "/cat.png")
                self.end_headers()
                return
            self.send_response(200)
            self.end_headers()
            self.wfile.write(picture(1))

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Pictures) as pictures:
        threading.Thread(target=pictures.serve_forever).start()
        try:
            port = pictures.server_port
            url = serve(hosts=("127.0.0.*",), private_hosts=True)

            def ask(address: str, server: str = url) -> httpx2.Response:
                return http.post(f"{server}/v1/caption", json={"image": address})

            told = ask(f"http://127.0.0.1:{port}/cat.png").json()
            assert told == ask(data_uri(picture(1))).json() | {"milliseconds": told["milliseconds"]}
            assert ask(f"http://localhost:{port}/cat.png").status_code == 403
            assert ask(f"http://127.0.0.1:{port}/elsewhere").status_code == 403
            public_only = serve(hosts=("127.0.0.1",))
            assert ask(f"http://127.0.0.1:{port}/cat.png", public_only).status_code == 403
        finally:
            pictures.shutdown()
