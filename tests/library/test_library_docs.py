"""docs/library.md: its Python runs, and the commands and options that it names are there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from seesay.cli.main import COMMANDS, cli

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")
BUILTIN = ROOT / "src" / "seesay" / "builtin"


def test_the_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    shutil.copy(BUILTIN / "cat.jpg", tmp_path / "photos")
    [code] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(code, "docs/library.md", "exec"), {})
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "cat.jpg indexed"
    assert said[1].startswith("cat.jpg a ")
    assert "'name': ('cat',)" in said[1]


def test_commands_and_options_are_there() -> None:
    blocks = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    lines = re.findall(r"seesay (\w+)([^#\n]*)", "".join(blocks))
    assert len(lines) == 9
    for name, rest in lines:
        assert name in COMMANDS
        command = cli.get_command(None, name)  # type: ignore[arg-type]
        if isinstance(command, click.Group):
            command = command.commands[rest.split()[0]]
        assert command is not None
        known = {option for parameter in command.params for option in parameter.opts}
        assert set(re.findall(r"--[\w-]+", rest)) <= known, name


def test_the_demo_indexes_and_finds() -> None:
    """What `make demo-library NO_SERVE=1` runs."""
    command = [sys.executable, "examples/demo_library.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    indexed, cats, _ = done.stdout.split("\n\nseesay search ")
    assert sorted(indexed.splitlines()) == sorted(f"indexed: {photo.name}" for photo in BUILTIN.glob("*.jpg"))
    assert "\n  cat.jpg: " in cats
