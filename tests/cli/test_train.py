"""`seesay train`, as a process of its own: from a data set to a model that the next command takes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from seesay.cli.main import cli
from seesay.cli.train import _Progress
from seesay.training.diagnostics import Alarm
from seesay.training.loop import Status

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def dataset(photos: Path, tmp_path: Path) -> Path:
    rows = [
        {"image": path.name, "captions": [f"a {path.stem.split('-')[1]} boat", "a small boat"]}
        for path in sorted(photos.iterdir())
    ]
    file = tmp_path / "captions.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def test_a_model_is_trained_and_captions(
    seesay: Run, checkpoint: Path, dataset: Path, photos: Path, tmp_path: Path
) -> None:
    command = ("train", "--task", "caption", "--from", str(checkpoint), "--data", str(dataset), "--images", str(photos))
    changes = (
        "--batch-size",
        "2",
        "--learning-rate",
        "1e-3",
        "--accumulate",
        "2",
        "--no-augment",
        "--precision",
        "fp32",
    )
    done = seesay(*command, *changes, "--steps", "3")
    assert (done.returncode, done.stdout) == (0, "runs/caption/model\n"), done.stderr
    recipe = json.loads((tmp_path / "runs" / "caption" / "run.json").read_text())["recipe"]
    assert (recipe["batch"], recipe["optimisation"]["accumulate"], recipe["augment"]) == (2, 2, False)
    captioned = seesay("caption", str(photos / "0-red.png"), "--model", "runs/caption/model")
    assert captioned.returncode == 0, captioned.stderr
    assert captioned.stdout.strip()
    other = seesay(*command, *changes, "--steps", "4")
    assert other.returncode == 2
    assert "another recipe or other data" in other.stderr


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    """On a terminal in one line, which ends where another begins; elsewhere in a line now and then."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    monkeypatch.setattr("seesay.cli.train.EVERY", 0.0)
    progress = _Progress()
    progress.show(Status("pictures", 5, 100, 75.0, {}))
    progress.show(Status("tuning", 1, 9, 30.0, {"loss": 3.25}))
    progress.tell(Alarm("the loss has ears", 1, "It listens.", "silence."))
    progress.end()
    told = "alarm: the loss has ears (since step 1): It listens. Try: silence.\n"
    lines = ["pictures 5/100  1:15 left", "tuning 1/9  0:30 left  loss 3.250"]
    expected = "".join(f"\r\x1b[K{line}" for line in lines) + "\n" if terminal else "\n".join([*lines, ""])
    assert capsys.readouterr().err == expected + told


def test_where_nobody_watches_a_line_a_minute_is_enough(capsys: pytest.CaptureFixture[str]) -> None:
    progress = _Progress()
    progress.show(Status("tuning", 1, 9, 30.0, {"loss": 3.25}))
    assert capsys.readouterr().err == ""


def test_what_is_missing_or_contradictory_is_told(seesay: Run, dataset: Path) -> None:
    for arguments, message in (
        ((), "Name a --task or a --recipe"),
        (("--recipe", "captionin"), "Did you mean caption"),
        (("--recipe", "captioning-flickr8k", "--task", "vqa"), "is for caption"),
        (("--recipe", "seesay-small", "--lora", "4"), "decides on lora"),
    ):
        done = seesay("train", *arguments, "--data", str(dataset))
        assert done.returncode == 2
        assert message in done.stderr
        assert "Traceback" not in done.stderr


def test_without_torch_the_extra_is_named(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    result = CliRunner().invoke(cli, ["train", "--task", "caption", "--data", str(dataset)])
    assert (result.exit_code, "pip install 'seesay[train]'" in result.stderr) == (1, True)
