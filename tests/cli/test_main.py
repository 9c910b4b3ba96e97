"""The command as a whole: start-up, help, completion, the reference, the other subcommands."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import click
import pytest
from click.testing import CliRunner
from PIL import Image

import seesay as package
from seesay.asking import AskOptions
from seesay.cli import ask, caption, outputs, pictures
from seesay.cli.main import COMMANDS, cli
from seesay.cli.reference import reference
from seesay.cli.status import Status, describe, duration
from seesay.decoding import SearchOptions
from seesay.describe import CaptionOptions
from seesay.doctor import EXTRAS, GOLDEN_FILE, REQUIRED, write_golden
from seesay.images.tars import TARS

Run = Callable[..., subprocess.CompletedProcess[str]]
HEAVY = ("numpy", "onnxruntime", "onnx", "PIL", "rich", "huggingface_hub", "torch", "httpx2", "safetensors")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["caption", "--help"], ["completion", "zsh"]])
def test_nothing_heavy_is_imported_for_words(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom seesay.cli.main import cli\n"
        f"cli.main({arguments!r}, standalone_mode=False)\n"
        f"print(sorted(set(sys.modules) & set({HEAVY!r})), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout
    assert done.stderr == "[]\n"


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS), ["models", "pull"]])
def test_every_help_has_examples(command: list[str]) -> None:
    result = CliRunner().invoke(cli, [*command, "--help"])
    assert result.exit_code == 0
    assert "seesay caption photo.jpg" in result.stdout or "Examples:" in result.stdout


def test_the_reference_is_up_to_date() -> None:
    written = Path(__file__).parents[2] / "docs" / "cli.md"
    assert written.read_text(encoding="utf-8") == reference(), "python -m seesay.cli.reference > docs/cli.md"


def test_version() -> None:
    assert CliRunner().invoke(cli, ["--version"]).stdout == f"seesay {package.__version__}\n"


@pytest.mark.parametrize(("word", "meant"), [("captoin", "caption"), (__file__, f"seesay caption {__file__}")])
def test_no_such_command(word: str, meant: str) -> None:
    result = CliRunner().invoke(cli, [word])
    assert result.exit_code == 2
    assert f"Did you mean `{meant}`?" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("caption x.jpg --style alt", "'--style'. It is one of `seesay describe`."),
        ("describe x.jpg --answers yes,no", "'--answers'. It is one of `seesay ask`."),
        ("caption x.jpg --sed 1", "'--sed'. Did you mean '--seed'?"),
        ("caption x.jpg --jsn", "No such option '--jsn'."),
    ],
)
def test_an_option_of_another_command_names_that_command(arguments: str, says: str) -> None:
    result = CliRunner().invoke(cli, arguments.split())
    assert result.exit_code == 2
    assert says in result.stderr


@pytest.mark.skipif(os.name != "posix", reason="closes streams as a POSIX shell does")
def test_closed_standard_streams_are_no_fault(checkpoint: Path, machine: dict[str, str], photos: Path) -> None:
    script = '"$0" -m seesay caption photos/0-red.png --output out.jsonl >&- && "$0" -m seesay caption - <&-'
    done = subprocess.run(
        ["sh", "-c", script, sys.executable],
        env=machine | {"SEESAY_MODEL": str(checkpoint)},
        cwd=photos.parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert len((photos.parent / "out.jsonl").read_text().splitlines()) == 1
    assert (done.returncode, done.stderr.splitlines()[0][:36]) == (1, "failed: -: standard input is empty (")


def test_names_that_are_no_text_are_printed_as_they_are(
    checkpoint: Path, machine: dict[str, str], photos: Path
) -> None:
    odd = os.fsencode(photos) + b"/caf\xe9.png"
    shutil.copy(photos / "0-red.png", odd)
    strict = os.environ | machine | {"PYTHONIOENCODING": "utf-8:strict"}  # as in most locales
    for arguments in (["index", photos, "--model", checkpoint], ["duplicates"]):
        command = [sys.executable, "-m", "seesay", *arguments, "--library", photos / "library.db"]
        done = subprocess.run(command, env=strict, capture_output=True, check=True)
    assert odd in done.stdout


def test_nothing_is_told_to_the_makers_of_onnx_runtime(checkpoint: Path, machine: dict[str, str], photos: Path) -> None:
    """From 1.32 on it queues events about the process in the user's cache, and sends them."""
    home = {name: str(photos / "home") for name in ("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME")}
    unset = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    arguments = ["caption", photos / "0-red.png", "--model", checkpoint]
    subprocess.run([sys.executable, "-m", "seesay", *arguments], env=unset | machine | home, check=True)
    assert not list((photos / "home").rglob("*icrosoft*"))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(shell: str) -> None:
    result = CliRunner().invoke(cli, ["completion", shell])
    assert result.exit_code == 0
    assert f"_SEESAY_COMPLETE={shell}_complete" in result.stdout


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("seesay caption --form", "plain,--format"),
        ("seesay caption --model blip-l", "plain,blip-large"),
        ("seesay classify x.jpg --head m", "plain,match"),
        ("seesay ask phot", "file,phot"),
    ],
)
def test_the_script_of_bash_completes(seesay: Run, words: str, completed: str) -> None:
    last = str(len(words.split()) - 1)
    done = seesay(_SEESAY_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=last)
    assert done.returncode == 0
    assert done.stdout == f"{completed}\n"


@pytest.mark.parametrize(("command", "options"), [(caption.caption, CaptionOptions()), (ask.ask, AskOptions())])
def test_the_help_states_the_real_defaults(command: click.Command, options: SearchOptions) -> None:
    stated = {
        "--count": options.count,
        "--beams": options.beams,
        "--top-p": options.top_p,
        "--temperature": options.temperature,
        "--max-tokens": options.max_new_tokens,
    }
    helps = {parameter.opts[0]: getattr(parameter, "help", "") for parameter in command.params}
    for option, value in stated.items():
        assert f"[default: {value}]" in helps[option]


def test_formats_and_suffixes_are_those_of_the_outputs() -> None:
    [formats] = [option.type for option in caption.caption.params if option.name == "form"]
    assert isinstance(formats, click.Choice)
    assert set(get_args(outputs.Format)) == set(formats.choices) == {*pictures.FORMATS, "coco", "txt-sidecar"}
    assert set(TARS) < set(pictures.UNCOUNTED)


def test_models_as_a_table_and_for_programs(seesay: Run, checkpoint: Path, tmp_path: Path) -> None:
    shutil.copytree(checkpoint, tmp_path / "blip-base")
    table, data = seesay("models"), json.loads(seesay("models", "--json").stdout)
    line = next(line for line in table.stdout.splitlines() if line.startswith("blip-base"))
    assert "990 MB" in line
    assert "yes" in line
    assert "BSD-3-Clause" in line
    rows = {row["name"]: row for row in data}
    assert rows["blip-base"]["folder"] == "blip-base"
    assert rows["blip-large"]["folder"] is None
    assert rows["blip-vqa-base"]["task"] == "answer"
    blip2 = rows["Salesforce/blip2-opt-2.7b"]
    assert (blip2["family"], blip2["verbs"], blip2["folder"]) == ("BLIP-2", ["ask", "caption", "chat"], None)
    assert "Qwen/Qwen3-VL-4B-Instruct" in table.stdout


def test_pull_offline_says_what_to_do(seesay: Run) -> None:
    done = seesay("models", "pull", "blip-base", "--offline")
    assert done.returncode == 1
    assert "where there is a network" in done.stderr


class TestDoctor:
    @pytest.fixture
    def patient(
        self, checkpoint: Path, tmp_path: Path, machine: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> Path:
        """A model with golden captions."""
        folder = tmp_path / "model"
        shutil.copytree(checkpoint, folder)
        for colour in ("red", "blue"):
            Image.new("RGB", (64, 48), colour).save(folder / f"{colour}.jpg")
        for name, value in machine.items():
            monkeypatch.setenv(name, value)
        write_golden(folder)
        return folder

    def test_a_sound_installation(self, seesay: Run, patient: Path) -> None:
        done = seesay("doctor", "--json", SEESAY_MODEL=str(patient))
        findings = {finding["topic"]: finding for finding in json.loads(done.stdout)}
        assert done.returncode == 0, done.stdout
        assert {"python", "numpy", "onnxruntime", "processor", "cache", "hub cache"} < set(findings)
        assert findings["red.jpg in fp32"]["status"] == findings["blue.jpg in fp32"]["status"] == "ok"

    def test_a_model_that_says_something_else(self, seesay: Run, patient: Path) -> None:
        golden = json.loads((patient / GOLDEN_FILE).read_text())
        golden["red.jpg"]["caption"] = "a very different sentence"
        golden["blue.jpg"]["score"] -= 0.5
        (patient / GOLDEN_FILE).write_text(json.dumps(golden))
        done = seesay("doctor", SEESAY_MODEL=str(patient))
        assert done.returncode == 1
        assert done.stdout.count("broken  ") == 2
        assert "'a very different sentence'" in done.stdout

    def test_other_precisions_are_only_noted(self, seesay: Run, patient: Path) -> None:
        golden = json.loads((patient / GOLDEN_FILE).read_text())
        done = seesay("doctor", "--json", SEESAY_MODEL=str(patient), SEESAY_PRECISION="int8")
        findings = [finding for finding in json.loads(done.stdout) if finding["topic"].endswith("in int8")]
        assert done.returncode == 0
        assert len(findings) == len(golden)
        assert {finding["status"] for finding in findings} <= {"ok", "note"}

    def test_a_precision_is_compared_once_whatever_it_is_called(self, seesay: Run, patient: Path) -> None:
        done = seesay("doctor", "--json", SEESAY_MODEL=str(patient), SEESAY_PRECISION="auto")
        topics = [finding["topic"] for finding in json.loads(done.stdout)]
        assert len(topics) == len(set(topics))

    def test_every_extra_is_looked_for(self) -> None:
        project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
        extras = project["optional-dependencies"]
        assert set(EXTRAS) == set(extras) - {"compare", "demo", "dev"}  # these hold nothing of their own for a user
        for extra, distribution in EXTRAS.items():
            assert any(one.startswith(distribution) for one in extras[extra]), extra
        assert all(any(one.startswith(name) for one in project["dependencies"]) for name in REQUIRED)
        assert len(REQUIRED) == len(project["dependencies"])

    def test_weights_that_were_cut_off(self, seesay: Run, patient: Path) -> None:
        weights = patient / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:1000])
        done = seesay("doctor", SEESAY_MODEL=str(patient))
        assert done.returncode == 1
        assert "CheckpointError" in done.stdout

    def test_a_model_that_is_not_here(self, seesay: Run) -> None:
        done = seesay("doctor", SEESAY_MODEL="blip-large")
        assert done.returncode == 1
        assert "seesay models pull blip-large" in done.stdout


class TestStatus:
    def test_counts_rate_and_time_left(self) -> None:
        assert describe(120, 1000, 12.5, "pictures") == "120/1000 pictures  12.5/s  1:10 left"
        assert describe(120, None, 12.5, "pictures") == "120 pictures  12.5/s"
        assert describe(250_000_000, 990_000_000, 1e7, "MB", 1e6) == "250/990 MB  10.0/s  1:14 left"
        assert describe(0, 10, 0.0, "pictures") == "0/10 pictures"

    @pytest.mark.parametrize(("seconds", "text"), [(7, "0:07"), (754, "12:34"), (10921, "3:02:01")])
    def test_durations(self, seconds: float, text: str) -> None:
        assert duration(seconds) == text

    def test_nothing_is_drawn_where_there_is_no_terminal(self, capsys: pytest.CaptureFixture[str]) -> None:
        status = Status("pictures", 10)
        status.update(5)
        status.say("loading")
        status.clear()
        assert capsys.readouterr() == ("", "")
