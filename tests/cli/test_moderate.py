"""`seesay moderate` as people and scripts use it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from seesay.cli.main import cli
from tiny_models import tiny_model

Invoke = Callable[..., Result]

POLICY = """
[[labels]]
name = "cats"
descriptions = ["a red cat"]
threshold = {threshold}
action = "block"
"""


@pytest.fixture(scope="module")
def matcher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("matcher") / "tiny", "match")


@pytest.fixture
def invoke(matcher: Path, machine: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    monkeypatch.chdir(tmp_path)
    for name, value in (machine | {"SEESAY_MODEL": str(matcher)}).items():
        monkeypatch.setenv(name, value)
    return lambda *arguments: CliRunner().invoke(cli, ["moderate", *map(str, arguments)])


def test_each_picture_has_its_verdict_reason_and_description(invoke: Invoke, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(POLICY.format(threshold=1e-12))
    (photos / "6-broken.png").write_bytes(b"no picture")
    done = invoke("photos", "--policy", "mine.toml", "--format", "jsonl")
    assert done.exit_code == 1
    assert "failed: photos/6-broken.png" in done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == 6
    for row in rows:
        [score] = row["scores"]
        assert (row["decision"], row["policy"], score["label"], score["reached"]) == ("block", "mine", "cats", True)
        assert row["reason"].startswith("cats: ")
        assert row["description"], "the built-in model describes what a matching model cannot"
    assert len({row["scores"][0]["probability"] for row in rows}) > 1


def test_people_read_one_line(invoke: Invoke, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(POLICY.format(threshold=1))
    done = invoke("photos/0-red.png", "--policy", "mine.toml")
    assert done.exit_code == 0, done.output
    [line] = done.stdout.splitlines()
    assert line.startswith("allow: no label reached its threshold; nearest was cats")


def test_what_cannot_be_is_said(invoke: Invoke, photos: Path, checkpoint: Path) -> None:
    unknown = invoke("photos/0-red.png", "--policy", "none-such", "--model", "no-such-model")
    assert unknown.exit_code == 2
    assert "family-site, marketplace" in unknown.stderr
    captioner = invoke("photos/0-red.png", "--policy", "marketplace", "--model", checkpoint)
    assert captioner.exit_code == 1
    assert "blip-itm-base-coco" in captioner.stderr
    built_in = invoke("photos/0-red.png", "--policy", "family-site", "--model", "seesay-small")
    assert (built_in.exit_code, built_in.stdout) == (1, ""), "it would block a cat"
    assert "blip-itm-base-coco" in built_in.stderr
