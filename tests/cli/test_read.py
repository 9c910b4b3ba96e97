"""`seesay read` as people and scripts use it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image, ImageDraw, ImageFont

from seesay.cli.main import cli


@pytest.fixture
def folder(tmp_path: Path, machine: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in machine.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    sign = Image.new("RGB", (260, 200), "white")
    ImageDraw.Draw(sign).text((40, 70), "NO PARKING", fill="black", font=ImageFont.load_default(32))
    sign.save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    return tmp_path


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["read", *arguments])


def test_people_read_the_text_and_programs_its_boxes(folder: Path) -> None:
    plain = invoke("a.png")
    assert (plain.exit_code, plain.stdout) == (0, "NO PARKING\n")
    done = invoke(".", "--format", "jsonl")
    assert done.exit_code == 1
    assert "failed: ./b.png" in done.stderr
    [row] = [json.loads(line) for line in done.stdout.splitlines()]
    assert (row["path"], row["text"], row["size"]) == ("./a.png", "NO PARKING", [260, 200])
    [line] = row["lines"]
    (left, top), _, (right, bottom), _ = line["box"]
    assert 30 < left < 60 < 180 < right < 260
    assert 60 < top < 90 < bottom < 130
    assert 0.8 < line["score"] <= 1
