"""`seesay chat` as a process: from a pipe, and on a terminal of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tiny_models import tiny_model

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def answerer(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_model(tmp_path_factory.mktemp("chat") / "answerer", "answer", seed=2))


@pytest.fixture(autouse=True)
def pictures(tmp_path: Path) -> None:
    for colour in ("red", "green"):
        Image.new("RGB", (40, 30), colour).save(tmp_path / f"{colour}.png")


def test_every_line_of_a_pipe_is_a_question(seesay: Run, answerer: str, tmp_path: Path) -> None:
    lines = (
        b"a red boat\n\n/save talk.json\n/image green.png\nthe dog on the grass\n/undo\n/undo\na cat\n/save talk.txt\n"
    )
    done = seesay("chat", "red.png", stdin=lines, SEESAY_MODEL=answerer)
    assert (done.returncode, done.stderr) == (0, "")
    first, saved, _, forgotten, nothing, last, _ = done.stdout.splitlines()
    asked = seesay("ask", "red.png", "a red boat", SEESAY_MODEL=answerer)
    assert first == asked.stdout.strip().split("\t")[-1]
    assert (saved, forgotten) == ("1 turn in talk.json", "Forgotten: the dog on the grass")
    assert nothing == "There is nothing to forget."
    assert json.loads((tmp_path / "talk.json").read_text())["turns"][0]["answer"] == first
    assert (tmp_path / "talk.txt").read_text() == (
        f"Picture: green.png\nModel: {answerer}\n\nQuestion: a cat\nAnswer: {last}\n"
    )


def test_what_goes_wrong_is_told_and_the_rest_goes_on(seesay: Run, answerer: str, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("somebody's")
    lines = b"/save mine.txt\n/image nowhere.png\n/fly\n/save\n???\na cat\n"
    done = seesay("chat", "red.png", stdin=lines, SEESAY_MODEL=answerer)
    assert done.returncode == 1
    assert len(done.stdout.split()) >= 1
    for told in ("mine.txt exists", "nowhere.png", "/help lists them", "Write /save FILE", "holds no word"):
        assert told in done.stderr
    assert (tmp_path / "mine.txt").read_text() == "somebody's"
    assert seesay("chat", "nowhere.png", stdin=b"", SEESAY_MODEL=answerer).returncode == 1
    captioner = seesay("chat", "red.png", stdin=b"a cat\n")
    assert captioner.returncode == 1
    assert "blip-vqa-base" in captioner.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="no terminals of this kind")
def test_on_a_terminal_it_asks_and_ends_with_ctrl_d(machine: dict[str, str], answerer: str, tmp_path: Path) -> None:
    import pty

    ours, theirs = pty.openpty()
    running = subprocess.Popen(
        [sys.executable, "-m", "seesay", "chat", "red.png"],
        env=machine | {"SEESAY_MODEL": answerer, "TERM": "dumb"},
        cwd=tmp_path,
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    os.close(theirs)
    os.write(ours, b"/help\na red boat\n\x04")
    said, told = running.communicate(timeout=120)
    os.close(ours)
    assert running.returncode == 0
    assert b"/undo" in said
    assert b"answers each question by itself" in told
