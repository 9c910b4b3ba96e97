"""`seesay index` and `seesay search` as processes: killed, interrupted, several at once, watching."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tiny_models import tiny_model

Start = Callable[..., "subprocess.Popen[str]"]
COUNT = 60


@pytest.fixture
def start(machine: dict[str, str], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Start:
    """Begins the command in `tmp_path`, with a library of its own."""
    model = tmp_path_factory.getbasetemp() / "library-model"
    if not model.exists():
        tiny_model(model, "pretrain")
    env = machine | {"SEESAY_MODEL": str(model), "SEESAY_LIBRARY": str(tmp_path / "l.db")}

    def start(*arguments: str | Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "seesay", *map(str, arguments)]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, env=env, cwd=tmp_path, stdout=pipe, stderr=pipe, text=True, preexec_fn=interruptible
        )

    return start


def interruptible() -> None:
    """A shell has what it runs in the background ignore Ctrl-C, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def many(tmp_path: Path) -> Path:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(COUNT):
        pixels = np.random.default_rng(number).integers(0, 255, (48, 64, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:03}.png")
    return folder


def done(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path, timeout=30)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def wait_for(path: Path, query: str, least: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if path.exists() and int(str(rows(path, query)[0][0])) >= least:
                return
        except sqlite3.OperationalError:  # not made yet
            pass
        time.sleep(0.005)
    raise AssertionError(f"never came: {query}")


def check_whole(path: Path, count: int = COUNT) -> None:
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]
    assert rows(path, "INSERT INTO words (words) VALUES ('integrity-check')") == []
    for query in (
        "SELECT count(*) FROM contents WHERE captioned_by NOT NULL AND space NOT NULL AND claimed_by IS NULL",
        "SELECT count(*) FROM items WHERE caption != ''",
        "SELECT count(*) FROM words",
        "SELECT count(DISTINCT item) FROM vectors WHERE kind = 'image'",
        "SELECT count(DISTINCT item) FROM vectors WHERE kind = 'caption'",
    ):
        assert rows(path, query) == [(count,)], query


@pytest.mark.parametrize("moment", [1, 17, 40])
def test_killed_at_any_moment_it_goes_on(start: Start, many: Path, tmp_path: Path, moment: int) -> None:
    first = start("index", many, "--batch-size", "2")
    wait_for(tmp_path / "l.db", "SELECT count(*) FROM items", moment)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    [(told,)] = rows(tmp_path / "l.db", "SELECT count(*) FROM items WHERE caption != ''")
    code, _, err = done(start("index", many))
    assert code == 0
    if told < COUNT:
        assert f"{COUNT - int(str(told))} indexed" in err, err
    check_whole(tmp_path / "l.db")


def test_two_at_once_share_the_work(start: Start, many: Path, tmp_path: Path) -> None:
    both = [start("index", many, "--batch-size", "2") for _ in range(2)]
    results = [done(process) for process in both]
    assert [code for code, _, _ in results] == [0, 0], results
    if any("left to another process" in err for _, _, err in results):
        assert done(start("index", many))[0] == 0
    check_whole(tmp_path / "l.db")


def test_a_new_file_may_be_opened_by_many_at_once(tmp_path: Path) -> None:
    script = "import sys; from seesay.library import Library; Library(sys.argv[1]).close()"
    for number in range(3):
        command = [sys.executable, "-c", script, str(tmp_path / f"{number}.db")]
        opened = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(4)]
        assert [done(process)[::2] for process in opened] == [(0, "")] * 4


def test_a_dead_process_s_claims_are_void_and_a_living_one_s_are_not(start: Start, many: Path, tmp_path: Path) -> None:
    assert done(start("index", many))[0] == 0
    import platform

    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    path = tmp_path / "l.db"
    for owner, expected in ((gone.pid, "1 indexed"), (os.getpid(), "1 left to another process")):
        with sqlite3.connect(path) as connection:
            connection.execute(
                "UPDATE contents SET captioned_by = NULL, claimed_by = ?, claimed_until = ? WHERE id = 1",
                [f"{platform.node()}:{owner}:x", time.time() + 500],
            )
        connection.close()
        assert expected in done(start("index", many))[2]


def test_interrupted_it_gives_its_claims_back(start: Start, many: Path, tmp_path: Path) -> None:
    process = start("index", many, "--batch-size", "1")
    wait_for(tmp_path / "l.db", "SELECT count(*) FROM items", 3)
    process.send_signal(signal.SIGINT)
    assert done(process)[0] in (130, 0)
    assert rows(tmp_path / "l.db", "SELECT count(*) FROM contents WHERE claimed_by NOT NULL") == [(0,)]


def test_watching_it_takes_what_comes(start: Start, many: Path, tmp_path: Path) -> None:
    process = start("index", many, "--watch")
    try:
        wait_for(tmp_path / "l.db", "SELECT count(*) FROM items WHERE caption != ''", COUNT)
        Image.new("RGB", (64, 48), "green").save(many / "new.png")
        wait_for(tmp_path / "l.db", "SELECT count(*) FROM items WHERE caption != ''", COUNT + 1)
        (many / "000.png").unlink()
        wait_for(tmp_path / "l.db", "SELECT count(*) FROM files WHERE missing NOT NULL", 1)
    finally:
        process.send_signal(signal.SIGINT)
    code, _, err = done(process)
    assert code == 130
    assert "1 indexed" in err


def test_search_answers_in_every_form(start: Start, many: Path, tmp_path: Path) -> None:
    code, _, err = done(start("search", "cat"))
    assert (code, "seesay index FOLDER" in err) == (2, True)
    assert done(start("index", many))[0] == 0
    code, out, _ = done(start("search", "red", "cat", "--cut", "0", "--format", "json", "--limit", "3"))
    told = json.loads(out)
    assert (code, len(told["hits"]), told["searched"], told["query"]) == (0, 3, COUNT, "red cat")
    assert set(told["hits"][0]["why"]) == {"words", "missing", "scores", "ranks"}
    assert told["hits"][0]["why"]["scores"]["match"] is not None
    code, out, _ = done(start("search", "--like", many / "007.png", "--format", "paths", "-n", "1"))
    assert (code, out) == (0, f"{many / '007.png'}\n")
    code, out, _ = done(start("search", "--like", many / "007.png", "-o", "page.html", "-n", "2"))
    assert (tmp_path / "page.html").read_text().count("data:image/jpeg") == 2
    assert out.count("similarity") == 2
    assert done(start("search", "x", "-o", "page.html"))[0] == 2, "nothing is overwritten unasked"
    code, out, err = done(start("search", "--camera", "nikon"))
    assert (code, out) == (1, "")
    assert "nothing matches, of 0" in err
    for wrong in (("--near", "99,0"), (), ("x", "-o", "page.pdf")):
        assert done(start("search", *wrong))[0] == 2, wrong


def test_folders_that_are_none_are_refused(start: Start, tmp_path: Path) -> None:
    assert done(start("index"))[0] == 2
    code, _, err = done(start("index", tmp_path / "nowhere"))
    assert (code, "is no folder" in err) == (2, True)
    new = tmp_path / "new.db"
    assert [done(start("index", *more, "--library", new))[0] for more in ([], [tmp_path / "nowhere"])] == [2, 2]
    assert not new.exists()


def test_a_broken_photograph_is_the_exit_status(start: Start, many: Path) -> None:
    (many / "bad.jpg").write_text("no picture")
    code, _, err = done(start("index", many))
    assert code == 1
    assert "failed: " in err
    assert f"{COUNT} indexed, 1 failed" in err
