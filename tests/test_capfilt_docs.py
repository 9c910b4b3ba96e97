"""docs/capfilt.md: its Python runs on a run's records, and its commands are ones that can be given."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from capfilt_inputs import job, write_tar
from seesay.bootstrapping import clean
from seesay.cli.main import cli
from tiny_models import tiny_model

PAGE = (Path(__file__).parents[1] / "docs" / "capfilt.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    models = {"match": tiny_model(tmp_path / "match", "match", 2)}
    source = write_tar(tmp_path / "web.tar", range(20))
    filtering = job(source, tmp_path / "clean-*.tar", models, captions=0)
    records = list(clean(filtering, threads=1))
    for block in blocks("python"):
        exec(compile(block, "docs/capfilt.md", "exec"), {})
    dropped = sum(not text.kept for one in records for text in one.texts)
    first, *thresholds = capsys.readouterr().out.splitlines()
    assert first == f"{dropped} found texts were dropped"
    [probability] = [text.probability for text in records[1].texts]
    assert probability is not None
    for line in thresholds:
        threshold, _, recall = map(float, line.split())
        assert recall == (probability < threshold)


def test_the_commands_can_be_given() -> None:
    commands = [line[2:] for block in blocks("console") for line in block.splitlines() if line.startswith("$ seesay")]
    assert len(commands) == 7
    for command in commands:
        _, name, *arguments = shlex.split(command)
        with click.Context(cli) as ctx:
            found = cli.get_command(ctx, name)
            assert found is not None
            found.make_context(name, arguments)  # raises for options and values that there are none of
