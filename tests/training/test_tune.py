"""Fine-tuning from a checkpoint and a data set to a folder that opens: what is trained, resumed, refused."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from tiny_tuning import PLAN, TUNING, lasting, write_dataset, write_start

import seesay
from seesay.blip.checkpoint import Checkpoint, read_checkpoint
from seesay.describe import Blip
from seesay.errors import DataError, ModelError, UsageError
from seesay.evaluation import evaluate_captions
from seesay.training.check import Checked
from seesay.training.diagnostics import Alarm
from seesay.training.loop import Status
from seesay.training.samples import read_samples
from seesay.training.tune import tune
from seesay.training.tuning_recipe import Contrastive, Reinforcement, Tuning


class Stopped(Exception):
    """A run that is killed."""


def stop_after(step: int) -> object:
    def show(status: Status) -> None:
        if status.step == step:
            raise Stopped

    return show


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("tuning")).parent


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return write_start(tmp_path_factory.mktemp("start") / "tiny")


def log_of(folder: Path, stage: str = "tuning") -> list[dict[str, float]]:
    lines = (folder / stage / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [{name: value for name, value in json.loads(line).items() if name != "seconds"} for line in lines]


def losses(folder: Path) -> list[float]:
    return [line["loss"] for line in log_of(folder) if "loss" in line]


def test_a_tuned_model_opens_and_captions_and_leaves_its_papers(start: Checkpoint, data: Path, tmp_path: Path) -> None:
    folder = tune(TUNING, start, data, tmp_path)
    assert folder == tmp_path / "model"
    model = seesay.load(folder, precision="fp32", threads=1, cache=tmp_path / "cache")
    assert model.caption(data / "images" / "0.png").text
    found = losses(tmp_path)
    assert found[-1] < 0.95 * found[0]
    assert json.loads((tmp_path / "scores.json").read_text()).keys() >= {"cider", "bleu4", "image_gain"}
    assert (tmp_path / "tuning" / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert list((tmp_path / "tuning" / "tensorboard").glob("events*"))
    card = (folder / "README.md").read_text(encoding="utf-8")
    mark = json.loads((tmp_path / "run.json").read_text())
    for fact in (mark["data"], "torch " + torch.__version__, "learning_rate: 0.003", "- cider: "):
        assert fact in card


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_resumed_run_has_the_losses_of_an_uninterrupted_one(
    start: Checkpoint, data: Path, tmp_path: Path, accumulate: int
) -> None:
    recipe = replace(TUNING, optimisation=replace(PLAN, accumulate=accumulate, precision="bf16"))
    tune(recipe, start, data, tmp_path / "whole")
    with pytest.raises(Stopped):  # after the save at step 4 and a line of the log that its state knows nothing of
        tune(recipe, start, data, tmp_path / "broken", show=stop_after(5))  # type: ignore[arg-type]
    assert (tmp_path / "broken" / "tuning" / "state.pt").exists()
    tune(recipe, start, data, tmp_path / "broken")
    assert log_of(tmp_path / "broken") == log_of(tmp_path / "whole")
    assert len(losses(tmp_path / "whole")) == 6
    one, other = (read_checkpoint(tmp_path / name / "model").weights for name in ("whole", "broken"))
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_a_batch_in_parts_is_the_batch(start: Checkpoint, data: Path, tmp_path: Path) -> None:
    """Captions of different length in each part, so that a mean of means would be another loss."""
    for parts in (1, 4):
        recipe = replace(TUNING, dropout=0.0)
        recipe = replace(recipe, texts_per_image=1, optimisation=replace(PLAN, accumulate=parts))
        tune(recipe, start, data, tmp_path / str(parts))
    one, other = (read_checkpoint(tmp_path / parts / "model").weights for parts in ("1", "4"))
    assert all(np.allclose(one[name], other[name], atol=2e-5) for name in one)


def test_fewer_images_than_a_batch_are_taken_in_equal_parts(start: Checkpoint, tmp_path: Path) -> None:
    write_dataset(tmp_path / "data", 9)
    recipe = replace(TUNING, batch=32, optimisation=replace(PLAN, accumulate=4))
    tune(recipe, start, tmp_path / "data", tmp_path / "run")
    assert len(losses(tmp_path / "run")) == PLAN.steps
    few = replace(recipe, batch=32, optimisation=replace(PLAN, accumulate=16))
    with pytest.raises(UsageError, match="cannot be taken in 16 parts"):
        tune(few, start, tmp_path / "data", tmp_path / "few")


def test_a_prompt_is_not_scored_and_is_rewarded_after(start: Checkpoint, data: Path, tmp_path: Path) -> None:
    recipe = replace(TUNING, prompt="the small", self_critical=Reinforcement(optimisation=PLAN, samples=2, longest=6))
    folder = tune(recipe, start, data, tmp_path / "run")
    model = seesay.load(folder, precision="fp32", threads=1)
    assert isinstance(model, Blip)
    held = read_samples(recipe.data, data, tmp_path / "kept", "caption", model.tokenizer).validation
    written = [model.caption(one.image, prompt="the small") for one in held]
    assert all(one.text.startswith("the small") for one in written)
    texts = {one.name: model.tokenizer.decode(said.tokens) for one, said in zip(held, written, strict=True)}
    scores = evaluate_captions(texts, {one.name: one.captions for one in held})
    found = json.loads((tmp_path / "run" / "scores.json").read_text())
    assert found["cider"] == pytest.approx(100 * scores.cider, abs=0.01)


def test_half_precision_and_recomputed_layers_learn_the_same(start: Checkpoint, data: Path, tmp_path: Path) -> None:
    tune(TUNING, start, data, tmp_path / "plain")
    tune(replace(TUNING, checkpointing=True), start, data, tmp_path / "recomputed")
    assert losses(tmp_path / "recomputed") == pytest.approx(losses(tmp_path / "plain"), rel=1e-5)
    tune(replace(TUNING, optimisation=replace(PLAN, precision="fp16")), start, data, tmp_path / "half")
    found = losses(tmp_path / "half")
    assert found[0] == pytest.approx(losses(tmp_path / "plain")[0], rel=0.02)
    assert found[-1] < 0.95 * found[0]


def test_lora_learns_in_the_attention_alone(start: Checkpoint, data: Path, tmp_path: Path) -> None:
    tune(replace(lasting(8), lora=4), start, data, tmp_path)
    assert losses(tmp_path)[-1] < losses(tmp_path)[0]
    trained = torch.load(tmp_path / "tuning" / "weights.pt", weights_only=True)
    assert {name.rpartition(".")[2] for name in trained} == {"lora_down", "lora_up"}
    tuned = read_checkpoint(tmp_path / "model").weights
    changed = {name for name in tuned if not np.array_equal(tuned[name], start.weights[name])}
    assert changed
    assert {name.split(".")[-2] for name in changed} <= {"qkv", "query", "key", "value", "projection"}


def test_a_frozen_image_side_is_computed_once(start: Checkpoint, data: Path, tmp_path: Path) -> None:
    recipe = replace(TUNING, freeze="image", views=2)
    shown: list[Status] = []
    tune(recipe, start, data, tmp_path, show=shown.append)
    told = [(one.step, one.steps) for one in shown if one.stage == "pictures"]
    assert told == [(done, 48) for done in range(8, 49, 8)]
    views = sorted((tmp_path / "data").glob("view*.npy"))
    stamps = [path.stat().st_mtime_ns for path in views]
    assert len(views) == 2
    tuned = read_checkpoint(tmp_path / "model").weights
    for name, weight in start.weights.items():
        assert np.array_equal(weight, tuned[name]) is name.startswith("vision_model"), name
    (tmp_path / "scores.json").unlink()
    tune(recipe, start, data, tmp_path)
    assert [path.stat().st_mtime_ns for path in views] == stamps


def test_rewarded_captions_follow(start: Checkpoint, data: Path, tmp_path: Path) -> None:
    plan = replace(PLAN, steps=2, learning_rate=1e-4, validate_every=2)
    recipe = lasting(2, self_critical=Reinforcement(optimisation=plan, samples=3, longest=8))
    tune(recipe, start, data, tmp_path)
    assert all("reward" in line for line in log_of(tmp_path, "self_critical") if "learning_rate" in line)
    assert len(log_of(tmp_path, "self_critical")) == 3


def test_retrieval_starts_from_a_captioner(start: Checkpoint, data: Path, tmp_path: Path) -> None:
    """Its text encoder begins as the decoder; heads are drawn. Resumed, its queues and slow towers go on."""
    recipe = replace(TUNING, task="retrieval", contrastive=Contrastive(queue=16, momentum=0.9))
    tune(recipe, start, data, tmp_path / "whole")
    with pytest.raises(Stopped):
        tune(recipe, start, data, tmp_path / "broken", show=stop_after(5))  # type: ignore[arg-type]
    tune(recipe, start, data, tmp_path / "broken")
    assert log_of(tmp_path / "broken") == log_of(tmp_path / "whole")
    assert {"itc", "itm", "image_similarity", "temperature"} <= log_of(tmp_path / "whole")[0].keys()
    model = seesay.load(tmp_path / "whole" / "model", precision="fp32", threads=1, cache=tmp_path / "cache")
    assert model.capabilities >= {"match", "embed"}
    assert model.checkpoint.config.temperature != start.config.temperature  # learnt, and kept
    assert model.match(data / "images" / "0.png", "a red boat").probability is not None
    assert "recall_gain" not in log_of(tmp_path / "whole")[-1]  # two images are always found among two
    assert "tensors drawn at random" in (tmp_path / "whole" / "model" / "README.md").read_text(encoding="utf-8")


def test_answers_are_learnt(start: Checkpoint, data: Path, tmp_path: Path) -> None:
    tune(replace(lasting(10), task="vqa", texts_per_image=2), start, data, tmp_path)
    assert losses(tmp_path)[-1] < losses(tmp_path)[0]
    assert json.loads((tmp_path / "scores.json").read_text()).keys() >= {"accuracy", "exact"}
    model = seesay.load(tmp_path / "model", precision="fp32", threads=1, cache=tmp_path / "cache")
    assert "ask" in model.capabilities


def test_pre_training_learns_all_three(start: Checkpoint, data: Path, tmp_path: Path) -> None:
    tune(replace(lasting(4), task="pretrain", optimisation=replace(PLAN, accumulate=2)), start, data, tmp_path)
    assert {"itc", "itm", "lm", "loss"} <= log_of(tmp_path)[0].keys()
    recipe = replace(lasting(1), task="pretrain", matched=1, matching_weight=3.0)
    tune(recipe, start, data, tmp_path / "weighed")
    figures = log_of(tmp_path / "weighed")[0]
    assert figures["loss"] == pytest.approx(figures["itc"] + 3 * figures["itm"] + figures["lm"], rel=1e-4)
    assert json.loads((tmp_path / "scores.json").read_text()).keys() >= {"recall", "matching", "cider"}
    assert read_checkpoint(tmp_path / "model").config.task == "pretrain"


def test_the_check_tells_a_set_up_that_learns_from_one_that_cannot(
    start: Checkpoint, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Alarm | Checked] = []
    tune(lasting(1), start, data, tmp_path / "good", first_check=True, tell=told.append)
    [found] = [one for one in told if isinstance(one, Checked)]
    assert found.learns
    assert found.last < found.first / 2
    tune(lasting(1), start, data, tmp_path / "unchecked")
    assert losses(tmp_path / "good") == losses(tmp_path / "unchecked")  # the check leaves no trace in the weights
    monkeypatch.setattr("seesay.training.check.STEPS", 20)
    hopeless = replace(TUNING, optimisation=replace(PLAN, learning_rate=1e-9))
    with pytest.raises(ModelError, match="does not learn") as raised:
        tune(hopeless, start, data, tmp_path / "bad", first_check=True)
    assert "learning rate" in raised.value.remedy
    assert not (tmp_path / "bad" / "tuning").exists()


def test_two_processes_train_the_model_of_one(start: Checkpoint, data: Path, tmp_path: Path) -> None:
    """As torchrun starts them: `seesay train` with a recipe's file, two ranks, each with half of every batch."""
    recipe = replace(lasting(3), dropout=0.0, texts_per_image=1)
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump(asdict(recipe)), encoding="utf-8")
    command = [sys.executable, "-m", "seesay", "train", "--recipe", str(file), "--from", str(start.folder)]
    command += ["--data", str(data), "--output", str(tmp_path / "two")]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    running = [
        subprocess.Popen(
            command,
            env={**os.environ, **shared, "RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    told = [process.communicate(timeout=300) for process in running]
    assert [process.returncode for process in running] == [0, 0], told
    assert [out for out, _ in told] == [f"{tmp_path / 'two' / 'model'}\n", ""]  # the first alone speaks
    tune(replace(recipe, model=str(start.folder)), start, data, tmp_path / "one")
    one, two = (read_checkpoint(tmp_path / name / "model").weights for name in ("one", "two"))
    assert all(np.allclose(one[name], two[name], atol=2e-5) for name in one)


def test_the_hybrid_learns_from_the_maps_of_its_frozen_network(data: Path, tmp_path: Path) -> None:
    hybrid = write_start(tmp_path / "start", embedding="efficientnet_lite2")
    tune(replace(lasting(4), views=2, lora=2), hybrid, data, tmp_path / "run")
    assert np.load(tmp_path / "run" / "data" / "view0.npy").dtype == np.uint8
    assert losses(tmp_path / "run")[-1] < losses(tmp_path / "run")[0]
    tuned = read_checkpoint(tmp_path / "run" / "model").weights
    assert all(np.array_equal(tuned[name], hybrid.weights[name]) for name in tuned if "backbone" in name)


def test_an_output_of_another_run_is_refused(start: Checkpoint, data: Path, tmp_path: Path) -> None:
    tune(lasting(1), start, data, tmp_path)
    with pytest.raises(UsageError, match="another recipe or other data"):
        tune(lasting(2), start, data, tmp_path)


def test_data_that_nothing_can_be_learnt_from_is_refused(start: Checkpoint, tmp_path: Path) -> None:
    def forget(rows: list[dict[str, object]]) -> None:
        for row in rows:
            del row["captions"]

    write_dataset(tmp_path / "data", 4, forget)
    with pytest.raises(DataError, match="0 images with captions"):
        tune(TUNING, start, tmp_path / "data", tmp_path / "run")


def test_a_data_folder_that_lies_elsewhere_is_told(start: Checkpoint, data: Path, tmp_path: Path) -> None:
    recipe = replace(TUNING, data=replace(TUNING.data, dataset="flickr8k/captions.txt"))
    with pytest.raises(DataError, match=r"flickr8k/captions\.txt: no such file") as raised:
        tune(recipe, start, data, tmp_path / "run")
    assert "is to have flickr8k/captions.txt" in raised.value.remedy


def test_recipes_that_cannot_be_are_refused() -> None:
    for changes, message in (
        ({"batch": 9, "optimisation": replace(PLAN, accumulate=2)}, "cannot be taken in 2 parts"),
        ({"task": "vqa", "self_critical": Reinforcement(optimisation=PLAN)}, "self-critically"),
        ({"lora": -1}, "lora is -1"),
    ):
        with pytest.raises(UsageError, match=message):
            replace(TUNING, **changes)  # type: ignore[arg-type]


def test_published_recipes_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from seesay.training.tuning_recipe import RECIPES, find_recipe, read_any

    (tmp_path / "caption").mkdir()  # a folder that a user called so is no recipe
    monkeypatch.chdir(tmp_path)

    names = [path.stem for folder in RECIPES for path in folder.glob("*.yaml")]
    assert {"caption", "captioning-flickr8k"} <= set(names)
    for name in names:
        assert read_any(find_recipe(name)).name == name
    assert isinstance(read_any(find_recipe("caption")), Tuning)
    with pytest.raises(UsageError) as raised:
        find_recipe("captioning-flickr30k")
    assert raised.value.remedy == "Did you mean captioning-flickr8k?"
