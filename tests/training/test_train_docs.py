"""docs/train.md: its commands run, on small models; and recipes/README.md names every recipe."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from tiny_tuning import write_dataset, write_start

from seesay.cli.main import cli
from seesay.training.tuning_recipe import RECIPES, find_recipe

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "train.md").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(line.removeprefix("$ "))
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
]
SMALL = {"blip-base": "caption", "blip-itm-base-coco": "match", "blip-vqa-base": "answer"}
"""The models that the page names, and of what kind the small ones are that stand for them."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the page's commands expect to find where they are given."""
    root = tmp_path_factory.mktemp("docs")
    data = write_dataset(root, 12)
    (root / "images").rename(root / "photos")
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    for name, kept in (("captions", "captions"), ("questions", "questions")):
        lines = [json.dumps({"image": row["image"], kept: row[kept]}) + "\n" for row in rows]
        (root / f"{name}.jsonl").write_text("".join(lines))
    for name, task in SMALL.items():
        write_start(root / name, task)  # type: ignore[arg-type]
    return root


def test_the_commands_run(folder: Path, machine: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    run = [one for one in COMMANDS if one[0] == "seesay" and "DIR" not in one]
    assert len(run) == 8
    for _, *arguments in run:
        small = ["--steps", "1", "--batch-size", "4", "--precision", "fp32"] if arguments[0] == "train" else []
        done = CliRunner().invoke(cli, [*arguments, *small], env=machine)
        assert done.exit_code == 0, (arguments, done.output, done.exception)
        if small:
            made = Path(arguments[arguments.index("--output") + 1]) / "model"
            assert done.stdout.splitlines()[-1] == str(made)


def test_the_others_can_be_given() -> None:
    others = [one[one.index("train") + 1 :] for one in COMMANDS if "DIR" in one or one[0] == "torchrun"]
    assert len(others) == 2
    command = cli.get_command(click.Context(cli), "train")
    assert command
    for arguments in others:
        context = command.make_context("train", arguments)
        if context.params["recipe"]:
            assert find_recipe(context.params["recipe"]).exists()


def test_every_recipe_is_named() -> None:
    text = (ROOT / "recipes" / "README.md").read_text(encoding="utf-8")
    for home in RECIPES:
        assert [path.stem for path in home.glob("*.yaml")]
        for path in home.glob("*.yaml"):
            assert f"`{path.stem}`" in text
    assert all(find_recipe(path.stem) == path for home in RECIPES for path in home.glob("*.yaml"))
