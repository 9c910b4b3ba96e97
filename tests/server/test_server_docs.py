"""docs/server.md: its examples run against a real server, and answer as the page says."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from real_servers import ready, running

from seesay.cli.main import COMMANDS, cli
from seesay.describe import Describer
from seesay.library import Library
from seesay.server import ServerSettings, create_app
from seesay.server.keys import read_keys
from seesay.settings import load_settings

PAGE = (Path(__file__).parents[2] / "docs" / "server.md").read_text(encoding="utf-8")
PHOTO = Path(__file__).parents[2] / "src" / "seesay" / "builtin" / "cat.jpg"
EXAMPLES = re.findall(r"```sh\n(.*?)```\n```json\n(.*?)```", PAGE, re.DOTALL)
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def address(load: Callable[[str], Describer], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server whose model has the name that the page has, and can do everything."""
    path = tmp_path_factory.mktemp("docs") / "library.db"
    Library(path).close()
    settings = ServerSettings(machine=load_settings(library=path), models=("seesay-small",))
    with running(create_app(settings, lambda name: load("full"))) as url:
        yield ready(url).removeprefix("http://")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(PHOTO, tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
@pytest.mark.parametrize(("command", "answer"), EXAMPLES, ids=[re.findall(r"/v1/\w+", one[0])[0] for one in EXAMPLES])
def test_commands_answer_in_the_shape_that_is_shown(here: Path, address: str, command: str, answer: str) -> None:
    assert "localhost:8000" in command
    line = command.replace("localhost:8000", address).replace("curl ", "curl --silent --show-error ")
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    assert_shaped(json.loads(done.stdout), json.loads(answer))


def assert_shaped(told: Any, shown: Any) -> None:
    """Every field that is shown is there, and of its kind."""
    if isinstance(shown, dict):
        for name, value in shown.items():
            assert name in told
            assert_shaped(told[name], value)
    elif isinstance(shown, list):
        assert isinstance(told, list)
        for one in shown:
            assert_shaped(told[0], one)
    elif isinstance(shown, float):
        assert isinstance(told, (int, float))
    else:
        assert told is None or type(told) is type(shown)


@pytest.mark.parametrize("program", PROGRAMS, ids=["openai", "ollama"])
def test_programs_run(here: Path, address: str, program: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = program.replace("localhost:8000", address).replace('open("photo.jpg", "rb").read()', "PHOTO.read_bytes()")
    exec(compile(code, "docs/server.md", "exec"), {"PHOTO": here / "photo.jpg"})
    said = capsys.readouterr().out.splitlines()
    assert said[0].strip()
    assert said[1:] in ([], ["2"])


def test_keys_are_read(tmp_path: Path) -> None:
    [block] = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "keys.toml").write_text(block)
    [key] = read_keys(tmp_path / "keys.toml")
    assert (key.name, key.per_minute) == ("alice", 60)


def test_commands_and_options_are_there() -> None:
    lines = re.findall(r"seesay (serve|mcp)\b([^#\n`]*)", PAGE)
    assert len(lines) >= 5
    for name, rest in lines:
        assert name in COMMANDS
        command = cli.get_command(None, name)  # type: ignore[arg-type]
        assert command is not None
        known = {option for parameter in command.params for option in parameter.opts}
        assert set(re.findall(r"--[\w-]+", rest)) <= known, name
    serve = cli.get_command(None, "serve")  # type: ignore[arg-type]
    assert serve is not None
    known = {option for parameter in serve.params for option in parameter.opts}
    assert set(re.findall(r"`(--[\w-]+)`", PAGE)) <= known | {"--root"}
