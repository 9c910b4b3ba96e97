"""The README's table of verbs: every command there prints what it says. And commands of all pages can be meant."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

import seesay
from seesay.cli.main import cli

ROOT = Path(__file__).parents[1]
PHOTOS = Path(seesay.__file__).parent / "builtin"
NUMBER = re.compile(r"\d+\.\d+")
ROWS = re.findall(
    r"^\| \w[\w ]* \| `(seesay [^`]+)` \| (.*) \|$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for photo in PHOTOS.glob("*.jpg"):
        shutil.copy(photo, folder)
    return folder


def test_there_is_a_line_for_each_verb() -> None:
    verbs = {command.split()[1] for command, _ in ROWS}
    assert verbs >= {"caption", "ask", "match", "classify", "describe", "explain", "index", "search"}


@pytest.mark.parametrize(("command", "printed"), ROWS, ids=[command for command, _ in ROWS])
def test_the_command_prints_what_stands_there(folder: Path, command: str, printed: str) -> None:
    """Word for word; numbers may differ a little, as rounding does between processors."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path}
    done = subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    said = " ".join((done.stdout or done.stderr).split())
    for line in printed.split("<br>"):
        numbers = [float(number) for number in NUMBER.findall(line)]
        pattern = NUMBER.sub(r"(\\d+\\.\\d+)", re.escape(line.strip()).replace(r"\.", "."))
        found = re.search(pattern, said)
        assert found, f"{line!r} is not in {said!r}"
        assert [float(number) for number in found.groups()] == pytest.approx(numbers, abs=0.1)


def commands() -> list[str]:
    """Every command of Seesay's in the README and in docs/."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    found = [
        line
        for page in pages
        for block in re.findall(r"```console\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
        for line in re.findall(r"^\$ seesay (.*)$", block.replace("\\\n", " "), re.MULTILINE)
    ]
    return list(dict.fromkeys(found))


@pytest.mark.parametrize("line", commands())
def test_commands_in_the_documents_can_be_meant(line: str) -> None:
    """Their options exist and take such values; nothing is run."""
    words = shlex.split(re.split(r" [|>&] ?", line)[0], comments=True)
    context = click.Context(cli)
    command: click.Command = cli
    while isinstance(command, click.Group) and words and (inner := command.get_command(context, words[0])):
        command, context = inner, click.Context(inner, context, words.pop(0))
    assert command is not cli, line
    if not isinstance(command, click.Group):
        command.make_context(command.name, words, parent=context.parent)
