"""`seesay describe` as people and scripts use it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from scripted import Scripted
from seesay.cli.main import cli

Invoke = Callable[..., Result]


@pytest.fixture
def invoke(checkpoint: Path, machine: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    monkeypatch.chdir(tmp_path)
    for name, value in (machine | {"SEESAY_MODEL": str(checkpoint)}).items():
        monkeypatch.setenv(name, value)
    return lambda *arguments: CliRunner().invoke(cli, ["describe", *map(str, arguments)])


def test_alternative_texts_of_a_folder(invoke: Invoke, photos: Path, checkpoint: Path) -> None:
    done = invoke("photos", "--style", "alt", "--length", "60", "--format", "jsonl")
    assert done.exit_code == 0, done.output
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == 6
    for row in rows:
        assert 0 < len(row["text"]) <= 60
        assert row["text"].endswith(".")
        assert (row["style"], row["method"], row["model"]) == ("alt", "composed", str(checkpoint))
    assert invoke("photos/0-red.png", "--style", "alt", "--length", "60").stdout == rows[0]["text"] + "\n"


def test_search_terms_come_by_their_kind(invoke: Invoke, photos: Path) -> None:
    plain = invoke("photos/2-blue.png", "--style", "search")
    assert re.search(r"^colours: blue\b", plain.stdout, re.MULTILINE)
    row = json.loads(invoke("photos/2-blue.png", "--style", "search", "--format", "jsonl").stdout)
    assert list(row["terms"]) == ["objects", "actions", "setting", "colours", "mood"]


def test_decoration_has_an_empty_line_and_an_empty_row(invoke: Invoke, photos: Path) -> None:
    assert invoke("photos/0-red.png", "--style", "alt", "--decorative").stdout == "\n"
    row = json.loads(invoke("photos/0-red.png", "--style", "alt", "--decorative", "--format", "jsonl").stdout)
    assert (row["text"], row["method"], row["model"]) == ("", "decorative", None)


def test_a_prompt_gives_json_and_its_notice(invoke: Invoke, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    receipt = {"seller": "A", "date": None, "currency": "EUR", "items": [], "tax": None, "total": 3.5}

    def reply(instruction: str) -> str:
        return json.dumps(receipt) if "corner shop" in instruction else "no"

    monkeypatch.setattr("seesay.cli.pictures.load_model", lambda *_: Scripted(reply))
    row = json.loads(
        invoke("photos/0-red.png", "--prompt", "receipt", "--context", "corner shop", "--format", "jsonl").stdout
    )
    assert (row["value"], row["attempts"], row["model"]) == (receipt, 1, "scripted")
    plain = invoke("photos/0-red.png", "--prompt", "receipt", "--context", "corner shop").stdout
    assert '"total": 3.5' in plain
    assert plain.splitlines()[-1].startswith("Notice: Read by a model")
    failed = invoke("photos/0-red.png", "--prompt", "receipt")
    assert failed.exit_code == 1
    assert "failed: photos/0-red.png: scripted gave no answer that the prompt's schema takes" in failed.stderr


def test_what_cannot_be_is_said(invoke: Invoke, photos: Path) -> None:
    both = invoke("photos/0-red.png", "--prompt", "receipt", "--style", "alt")
    assert (both.exit_code, "--style" in both.stderr) == (2, True)
    question = invoke("photos/0-red.png", "--prompt", "reasoning", "--model", "no-such-model")
    assert (question.exit_code, "the question" in question.stderr) == (2, True)
    blip = invoke("photos/0-red.png", "--prompt", "receipt")
    assert blip.exit_code == 1
    assert "follows no instructions" in blip.stderr
    assert "ollama" in blip.stderr
    field = invoke("photos/0-red.png", "--template", "{colour}")
    assert (field.exit_code, "{colour}" in field.stderr) == (2, True)
