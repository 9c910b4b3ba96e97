"""The whole recipe in miniature: from photographs to a model that captions."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
import yaml
from tiny_training import RECIPE, pictures

import seesay
from seesay.blip.checkpoint import read_checkpoint
from seesay.errors import UsageError
from seesay.training.loop import Status
from seesay.training.run import run


@pytest.fixture(scope="module")
def seen() -> list[Status]:
    return []


@pytest.fixture(scope="module")
def output(data_folder: Path, tmp_path_factory: pytest.TempPathFactory, seen: list[Status]) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("run")
    assert run(RECIPE, data_folder, folder, seen.append) == folder / "model"
    return folder


def test_the_model_does_everything(output: Path, tmp_path: Path) -> None:
    model = seesay.load(output / "model", cache=tmp_path, precision="fp32", threads=1)
    seen = model.see(pictures()["cat"])
    caption = model.caption(seen, max_new_tokens=8)
    assert caption.text
    assert caption.score < 0
    assert model.checkpoint.config.vision.concept_words
    assert 0 < model.match(seen, "a cat looks at the camera").probability < 1
    assert model.embed_image(seen).vector.shape == model.embed_text("a cat").vector.shape
    assert model.ask(seen, "what is it?", answers=("a cat", "a dog")).text in ("a cat", "a dog")


def test_the_image_network_is_the_one_it_started_from(output: Path) -> None:
    from seesay.training.start import image_weights

    checkpoint = read_checkpoint(output / "model")
    for name, weight in image_weights().items():
        scale = weight.abs().max().item()
        assert abs(checkpoint.weights[name] - weight.numpy()).max() <= scale / 127, name
    own, adapted = (f"vision_model.embeddings.{name}.head.weight" for name in ("backbone", "adapted"))
    assert 0 < abs(checkpoint.weights[own] - checkpoint.weights[adapted]).max() < 0.1


def test_stages_leave_logs_and_scores(output: Path, seen: list[Status]) -> None:
    assert [(status.stage, status.step) for status in seen] == [
        *(("language", step) for step in range(1, 7)),
        *(("joint", step) for step in range(1, 9)),
        *(("self_critical", step) for step in range(1, 3)),
    ]
    lines = [json.loads(line) for line in (output / "language" / "log.jsonl").read_text().splitlines()]
    assert {name for line in lines for name in line} >= {"photos", "objects", "texts", "cider", "naming"}
    losses = [line[name] for line in lines for name in ("photos", "objects", "texts") if name in line]
    assert losses[-1] < losses[0]
    joint = [json.loads(line) for line in (output / "joint" / "log.jsonl").read_text().splitlines()]
    assert {name for line in joint for name in line} >= {"itc", "itm", "lm", "objects", "texts", "answers", "overall"}
    scores = json.loads((output / "scores.json").read_text())
    assert set(scores) == {"cider", "bleu4", "naming", "image_to_text_1", "text_to_image_1"}


def test_what_is_done_is_not_done_again(output: Path, data_folder: Path, seen: list[Status]) -> None:
    def stamps() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in output.rglob("*") if path.is_file()}

    before, steps = stamps(), len(seen)
    run(RECIPE, data_folder, output, seen.append)
    assert stamps() == before
    assert len(seen) == steps


def test_an_output_of_another_recipe_is_refused(output: Path, data_folder: Path) -> None:
    other = replace(RECIPE, data=replace(RECIPE.data, longest_caption=9))
    with pytest.raises(UsageError, match="made from other data or by another recipe"):
        run(other, data_folder, output)


def test_the_command(output: Path, data_folder: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.yaml"
    content = asdict(RECIPE) | {"concepts": str(RECIPE.concepts)}
    content["language"]["mixture"] = list(content["language"]["mixture"])
    recipe.write_text(yaml.safe_dump(content), encoding="utf-8")
    command = [sys.executable, "-m", "seesay.training", str(recipe), "--data", str(data_folder), "--output"]
    done = subprocess.run([*command, str(output)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"{output / 'model'}\n"), done.stderr
    recipe.write_text(recipe.read_text(encoding="utf-8").replace("views: 3", "view: 3"), encoding="utf-8")
    refused = subprocess.run([*command, str(tmp_path / "new")], capture_output=True, text=True)
    assert refused.returncode == 2
    assert "nothing is called data.view" in refused.stderr
    assert "Traceback" not in refused.stderr
