"""docs/agent.md and the notebooks: their code runs, and the commands and options that they name are there."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from seesay.agent import Reply
from seesay.cli.main import cli
from seesay.describe import Describer
from tiny_models import tiny_model

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "agent.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def without_ocr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seesay.agent.agent.find_spec", lambda name: None)


def run(notebook: str) -> dict[str, Any]:
    """What the notebook leaves behind."""
    names: dict[str, Any] = {}
    for cell in json.loads((ROOT / "examples" / notebook).read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            assert not cell["outputs"], "clear the outputs: they are not this machine's"
            exec("".join(cell["source"]), names)
    return names


def test_the_pages_python_runs(gguf: Path, sees: Describer, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(gguf, "mistral-7b-instruct-v0.2.Q4_K_M.gguf")
    [code] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(code, "docs/agent.md", "exec"), {})
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "image_descriptor photo.jpg"
    assert any(line.endswith("[photo.jpg]") for line in said)
    assert said[-2:] == [sees.caption("photo.jpg").text, "~~~"]


def test_the_pages_commands_and_options_are_there() -> None:
    command = cli.get_command(None, "agent")  # type: ignore[arg-type]
    assert command is not None
    known = {option for parameter in command.params for option in parameter.opts}
    own = re.sub(r"`hf download[^`]*`", "", PAGE)  # another program's
    assert set(re.findall(r"--[a-z][\w-]+", own)) <= known
    assert len(re.findall(r"seesay agent \"", PAGE)) == 4


def test_the_agents_notebook_runs(sees: Describer, capsys: pytest.CaptureFixture[str]) -> None:
    left = run("agent.ipynb")
    printed = capsys.readouterr().out
    assert "-> image_descriptor({'target_url': 'photo.jpg'})" in printed
    assert printed.count(sees.caption("photo.jpg").text) >= 2
    assert left["reply"].pictures == ("photo.jpg",)
    assert str(left["reply"]).endswith("[photo.jpg]")
    assert isinstance(left["later"], Reply)
    assert left["said"][:3] == ["human", "ai", "tool"]
    assert left["said"].count("human") == 2


def test_the_questions_notebook_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEESAY_MODEL", str(tiny_model(tmp_path / "answerer", "answer", seed=2)))
    left = run("questions.ipynb")
    assert sum(one.probability for one in left["chosen"].all) == pytest.approx(1)
    assert len(left["several"].all) == 3
    assert len(left["answers"]) == 4
    assert "Question: what colour is it?" in capsys.readouterr().out
