"""`seesay capfilt` as people and scripts use it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from capfilt_inputs import write_table, write_tar
from seesay.bootstrapping import read_records
from seesay.cli.main import cli
from seesay.data import read_dataset
from tiny_models import tiny_model

Invoke = Callable[..., Result]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a captioner and a filter."""
    folder = tmp_path_factory.mktemp("models")
    for seed, task in enumerate(("pretrain", "caption", "match")):
        tiny_model(folder / task, task, seed)  # type: ignore[arg-type]
    return folder


@pytest.fixture
def invoke(models: Path, machine: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Runs the command within this process, in `tmp_path`, where the models lie too."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").symlink_to(models)
    for name, value in machine.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str | Path) -> Result:
        return CliRunner().invoke(cli, ["capfilt", *map(str, arguments)])

    return run


BOTH = ("--captioner", "models/caption", "--filter", "models/match")


def test_what_a_person_sees(invoke: Invoke, tmp_path: Path) -> None:
    write_tar(tmp_path / "web.tar", range(12))
    result = invoke("web.tar", "clean-*.tar", *BOTH, "--captions", "2")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == ""
    failed, counts, report = result.stderr.splitlines()
    assert failed == f"failed: {tmp_path}/web.tar/00005.png: not a picture of a known format"
    kept = len(list(read_dataset("clean-*.tar")))
    assert re.fullmatch(
        rf"{kept} of 12 pictures kept, \d+ of 9 found texts, \d+ of \d+ written texts, 1 failed", counts
    )
    assert report == f"report: {tmp_path}/clean.capfilt/report.html"
    again = invoke("web.tar", "clean-*.tar", *BOTH, "--captions", "2")
    assert (again.exit_code, again.stderr.splitlines()) == (0, [counts, report])


def test_the_report_is_one_file_of_its_own(invoke: Invoke, tmp_path: Path) -> None:
    write_tar(tmp_path / "web.tar", range(12))
    invoke("web.tar", "clean-*.tar", *BOTH)
    page = (tmp_path / "clean.capfilt/report.html").read_text()
    assert page.startswith("<!doctype html>")
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "<script" not in page
    assert page.count("<figure>") == page.count('src="data:image/jpeg;base64,') > 0
    assert "00005.png: not a picture of a known format" in page


def test_threshold_seed_and_parts_reach_the_road(invoke: Invoke, tmp_path: Path) -> None:
    table = write_table(tmp_path / "web", range(6))
    models = ("--captioner", "models/pretrain", "--filter", "models/pretrain")
    everything = invoke(table, "all.jsonl", *models, "--threshold", "0", "--captions", "1")
    other = invoke(table, "other.jsonl", *models, "--threshold", "0", "--captions", "1", "--seed", "7")
    nothing = invoke(table, "none.jsonl", *models, "--threshold", "1", "--captions", "1")
    found = invoke(table, "found.jsonl", "--filter", "models/match", "--captions", "0")
    for result in (everything, other, nothing, found):
        assert result.exit_code == 0, result.stderr
        assert f"failed: {table}:4: not JSON" in result.stderr
    assert "6 of 6 pictures kept" in everything.stderr
    assert "0 of 6 pictures kept" in nothing.stderr
    assert (tmp_path / "none.jsonl").read_bytes() == b""
    texts = {name: [one.texts for one in read_records(f"{name}.jsonl.capfilt")] for name in ("all", "other", "found")}
    assert texts["all"] != texts["other"]
    assert "written" not in found.stderr
    missing = invoke(table, "split.jsonl", *models, "--split", "train")
    assert (missing.exit_code, "no example of split train" in missing.stderr) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["web.tar", "clean-*.tar"], "Missing option '--filter'"),
        (["web.tar", "clean-*.tar", "--filter", "models/match"], "captions need a captioner"),
        (["web.tar", "clean-*.tar", *BOTH, "--threshold", "1.5"], "Invalid value"),
        (["web.tar", "clean-*.tar", *BOTH, "--captions", "-1"], "Invalid value"),
        (["web.tar", "clean.tar", *BOTH], "one * must stand for the shard's number"),
        (["web.tar", "clean.docx", *BOTH], "nothing is written as .docx"),
        (["web.tar", "clean-*.tar", *BOTH, "--workers", "2"], "--workers are those of a Ray cluster"),
    ],
)
def test_what_cannot_be_meant_is_status_2(invoke: Invoke, tmp_path: Path, arguments: list[str], says: str) -> None:
    write_tar(tmp_path / "web.tar", range(2))
    result = invoke(*arguments)
    assert (result.exit_code, says in result.stderr) == (2, True), result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["models", "web.tar"]


def test_models_in_the_wrong_part_are_told(invoke: Invoke, tmp_path: Path) -> None:
    write_tar(tmp_path / "web.tar", range(2))
    result = invoke("web.tar", "clean-*.tar", "--captioner", "models/match", "--filter", "models/caption")
    assert result.exit_code == 1
    assert "so it is no captioner" in result.stderr
    assert "docs/capfilt.md" in result.stderr
    missing = invoke("web.tar", "other-*.tar", "--captioner", "models/captoin", "--filter", "models/match")
    assert (missing.exit_code, "error: " in missing.stderr) == (1, True)


def test_a_broken_input_is_told(invoke: Invoke, tmp_path: Path) -> None:
    result = invoke("nowhere-*.tar", "clean-*.tar", *BOTH)
    assert (result.exit_code, "nowhere-*.tar: nothing there" in result.stderr) == (1, True)
    result = invoke("nowhere.csv", "clean.csv", *BOTH)
    assert (result.exit_code, "nowhere.csv: no such file" in result.stderr) == (1, True)
    assert not (tmp_path / "clean.csv.capfilt").exists()  # which would hold the name for that input


def test_control_c_leaves_things_whole(models: Path, machine: dict[str, str], tmp_path: Path) -> None:
    write_tar(tmp_path / "web.tar", range(240))
    (tmp_path / "models").symlink_to(models)
    command = [sys.executable, "-m", "seesay", "capfilt", "web.tar", "clean-*.tar", *BOTH, "--batch-size", "2"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=machine,
        stderr=subprocess.PIPE,
        # A shell's background jobs, and so the tests in one, ignore SIGINT, and their children after them.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    journal = tmp_path / "clean.capfilt/records/000000.jsonl"
    deadline = time.monotonic() + 120
    while not (journal.exists() and journal.read_bytes().count(b"\n") >= 4):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors.decode().splitlines()[-1]) == (130, "interrupted")
    before = list(read_records(tmp_path / "clean.capfilt"))
    assert 4 <= len(before) < 240
    done = subprocess.run(command, cwd=tmp_path, env=machine, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    records = list(read_records(tmp_path / "clean.capfilt"))
    assert records[: len(before)] == before
    assert [one.name for one in records] == [f"{number:05d}.png" for number in range(240)]
