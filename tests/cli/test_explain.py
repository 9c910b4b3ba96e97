"""`seesay explain` as people and scripts use it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from seesay.cli.main import cli
from tiny_models import tiny_model

Invoke = Callable[..., Result]


@pytest.fixture(scope="module")
def matcher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("matcher") / "tiny", "match", text_layers=3)


@pytest.fixture
def invoke(matcher: Path, machine: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    monkeypatch.chdir(tmp_path)
    for name, value in (machine | {"SEESAY_MODEL": str(matcher)}).items():
        monkeypatch.setenv(name, value)
    return lambda *arguments: CliRunner().invoke(cli, ["explain", *map(str, arguments)])


TEXT = "a red cat on the small boat"


def test_people_read_where_each_word_looked(invoke: Invoke, photos: Path) -> None:
    done = invoke("photos/0-red.png", TEXT, "--threshold", "1")
    assert done.exit_code == 0, done.output
    head, *lines = done.stdout.splitlines()
    assert head.startswith(f"{TEXT}  (match ")
    assert [line.split()[0] for line in lines] == TEXT.split()
    assert 'not borne out: "a red cat"' in lines[0]
    assert "borne" not in lines[3], "a preposition claims nothing"


def test_programs_read_numbers(invoke: Invoke, photos: Path, matcher: Path) -> None:
    done = invoke("photos/0-red.png", TEXT, "--json")
    row = json.loads(done.stdout)
    assert (row["path"], row["text"], row["method"], row["model"]) == (
        "photos/0-red.png", TEXT, "matching", str(matcher),
    )  # fmt: skip
    assert [one["text"] for one in row["phrases"]] == ["a red cat", "the small boat"]
    assert [TEXT.split()[slice(*one["words"])] for one in row["phrases"]] == [
        ["a", "red", "cat"], ["the", "small", "boat"],
    ]  # fmt: skip
    assert all(0 <= one["probability"] <= 1 for one in row["phrases"])
    assert len(row["words"][0]["heat"]) == len(row["words"][0]["heat"][0]) == 2


@pytest.mark.parametrize("kind", ["png", "html", "json"])
def test_the_suffix_says_what_is_written(invoke: Invoke, photos: Path, tmp_path: Path, kind: str) -> None:
    output = tmp_path / f"looks.{kind}"
    assert invoke("photos/0-red.png", TEXT, "--output", output).exit_code == 0
    if kind == "png":
        with Image.open(output) as sheet:
            assert sheet.width > 4 * sheet.height / 2
    else:
        assert output.read_text().startswith("<!doctype html>" if kind == "html" else '{"path"')
    again = invoke("photos/0-red.png", TEXT, "--output", output)
    assert again.exit_code == 2
    assert "exists" in again.stderr
    assert invoke("photos/0-red.png", TEXT, "--output", output, "--overwrite").exit_code == 0


def test_what_cannot_be_said_is_said_before_a_model_is_loaded(invoke: Invoke, photos: Path, tmp_path: Path) -> None:
    done = invoke("photos/0-red.png", TEXT, "--output", "looks.gif", "--model", "no-such-model")
    assert done.exit_code == 2
    assert ".png, .html, .json" in done.stderr
    nowhere = invoke("photos/0-red.png", TEXT, "--output", "missing/looks.png", "--model", "no-such-model")
    assert (nowhere.exit_code, "cannot write missing/looks.png" in nowhere.stderr) == (1, True)
    assert invoke("nowhere.png", TEXT).exit_code == 1
    without = invoke("photos/0-red.png")
    assert without.exit_code == 1
    assert "cannot write captions" in without.stderr
