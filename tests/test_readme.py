"""The README's table of verbs: every command there prints what it says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import seesay

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
