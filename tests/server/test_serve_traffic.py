"""No request is lost, answered twice or with another's answer: under overload, slow and broken callers, and when the
server is told to end, or is killed, and comes back."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from real_servers import http, picture

from seesay.describe import Describer

REQUESTS = 300


@pytest.fixture(scope="module")
def traffic() -> Any:
    """The module that bench/server.py drives too, with 10,000 requests."""
    path = Path(__file__).parents[2] / "bench" / "traffic.py"
    specification = importlib.util.spec_from_file_location("traffic", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["traffic"] = module
    specification.loader.exec_module(module)
    return module


class Command:
    """`seesay serve` as a process, which may be ended and started again at the same port."""

    def __init__(self, model: Path) -> None:
        self.model = model
        self.port = 0
        self.start()

    def start(self) -> None:
        machine = ["--model", str(self.model), "--precision", "fp32", "--threads", "1"]
        arguments = [*machine, "--port", str(self.port), "--queue", "8", "--batch-size", "4"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "seesay", "serve", *arguments],
            env=dict(os.environ) | {"SEESAY_OFFLINE": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)/", line)
        assert found, line
        self.port = int(found[1])

    def end(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        code = self.process.wait(60)
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code


@pytest.fixture
def command(load: Callable[[str], Describer], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    load("caption")
    made = Command(next(tmp_path_factory.getbasetemp().glob("tiny*/caption")))
    yield made
    if made.process.poll() is None:
        made.end(signal.SIGTERM)


def test_every_request_has_its_own_answer_once(
    command: Command, traffic: Any, load: Callable[[str], Describer]
) -> None:
    model = load("caption")
    shown = [traffic.Picture(picture(number), model.caption(picture(number)).text) for number in range(20)]
    assert len({one.caption for one in shown}) > 10
    callers = traffic.Traffic(("127.0.0.1", command.port), shown, 24)
    ended: list[int] = []

    def disturb() -> None:
        for share, how in ((0.3, signal.SIGKILL), (0.6, signal.SIGTERM)):
            while callers.done < share * REQUESTS:
                time.sleep(0.01)
            ended.append(command.end(how))
            command.start()

    disturbing = threading.Thread(target=disturb)
    disturbing.start()
    tally = callers.run(REQUESTS)
    disturbing.join()
    assert sum(tally.asked.values()) == sum(tally.became.values()) == REQUESTS
    assert tally.faults == 0, (str(tally), tally.odd[:3])
    assert tally.became["answered"] == tally.asked["good"] + tally.asked["slow"]
    assert tally.became["refused"] == tally.asked["rubbish"]
    assert tally.again["told to come back"]  # 24 callers, and 8 places
    assert tally.again["broken connection"]
    assert ended == [-signal.SIGKILL, -signal.SIGTERM]  # the second when all was answered
    counted = http.get(f"http://127.0.0.1:{command.port}/metrics").text
    assert "seesay_requests_in_flight 0.0" in counted


@contextmanager
def sending(answers: list[bytes]) -> Iterator[tuple[str, int]]:
    """A server that sends these bytes, one to each caller, and closes the connection."""

    class Sending(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while self.rfile.readline().strip():
                pass
            self.rfile.read(3)
            self.wfile.write(answers.pop(0))

    with socketserver.TCPServer(("127.0.0.1", 0), Sending) as server:
        threading.Thread(target=server.serve_forever).start()
        yield "127.0.0.1", server.server_address[1]
        server.shutdown()


HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 17\r\nconnection: close\r\n\r\n"


def test_an_answer_that_a_killed_server_did_not_finish_is_asked_for_again(traffic: Any) -> None:
    """Head and body are two writes: a process may be killed between them."""
    answers = [HEAD, HEAD + b'{"caption":', HEAD + b'{"caption":"cat"}']
    with sending(answers) as address:
        tally = traffic.Traffic(address, [traffic.Picture(b"png", "cat")], 1).run(1, {"good": 1})
    assert (tally.became["answered"], tally.faults, tally.again["broken connection"]) == (1, 0, 2)
    assert not answers


def test_another_picture_s_answer_is_a_fault_and_is_shown(traffic: Any) -> None:
    with sending([HEAD + b'{"caption":"dog"}']) as address:
        tally = traffic.Traffic(address, [traffic.Picture(b"png", "cat")], 1).run(1, {"good": 1})
    assert tally.faults == tally.became["wrong"] == 1
    assert "'cat' expected" in tally.odd[0]
