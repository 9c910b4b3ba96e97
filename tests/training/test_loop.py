"""The loop: schedule, averaged weights, validation, and a run that was stopped ending as if it had not been."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_training import NAMES, PHOTO_CAPTIONS, PLAN, RECIPE, small_model
from torch import nn

from seesay.blip.model import Blip
from seesay.errors import ModelError
from seesay.training import optimiser
from seesay.training.batches import Captions, Photos
from seesay.training.diagnostics import Alarm, Monitor
from seesay.training.dropout import lock_dropout
from seesay.training.loop import (
    Average,
    Beside,
    Setting,
    Status,
    Step,
    Steps,
    _Loop,
    fit,
    load_weights,
)
from seesay.training.objectives import language_steps
from seesay.training.optimiser import autocast, has_bf16, learning_rate, parameter_groups, trained
from seesay.training.processes import Processes


class Stopped(Exception):
    """A run that is killed."""


def stopping(steps: Steps, after: int) -> Steps:
    """The same steps, until the machine is switched off."""

    def cut(start: int) -> Iterator[Step]:
        for step, made in enumerate(steps(start), start):
            if step == after:
                raise Stopped
            yield made

    return cut


def setting(folder: Path, seen: list[Status] | None = None) -> Setting:
    return Setting(folder, seed=4, processes=Processes(), show=(seen if seen is not None else []).append)


def model_and_steps(photos: Photos, texts: Captions, maps: Path) -> tuple[Blip, Steps]:
    model = small_model(dropout=0.1)
    lock_dropout(model)
    objects = Photos(NAMES, PHOTO_CAPTIONS, maps, seed=2)
    return model, language_steps(model, RECIPE.language, photos, objects, texts, 0, (0, 1))


def log_of(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "language" / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [{name: value for name, value in json.loads(line).items() if name != "seconds"} for line in lines]


def test_a_resumed_run_is_the_uninterrupted_one(photos: Photos, texts: Captions, maps: Path, tmp_path: Path) -> None:
    scores = iter([0.5, 0.6, 0.6])

    model, steps = model_and_steps(photos, texts, maps)
    fit(setting(tmp_path / "whole"), "language", model, PLAN, steps, lambda: {"cider": next(scores)})

    broken, steps = model_and_steps(photos, texts, maps)
    with pytest.raises(Stopped):  # after the save at step 3, and a line of the log that the state knows nothing of
        fit(setting(tmp_path / "broken"), "language", broken, PLAN, stopping(steps, 5), lambda: {"cider": 0.5})
    assert [line["step"] for line in log_of(tmp_path / "broken")] == [1, 2, 3, 3, 4, 5]
    again, steps = model_and_steps(photos, texts, maps)
    fit(setting(tmp_path / "broken"), "language", again, PLAN, steps, lambda: {"cider": next(scores)})

    assert log_of(tmp_path / "broken") == log_of(tmp_path / "whole")
    assert len(log_of(tmp_path / "whole")) == 8  # six steps, two validations
    for name, weight in trained(model).items():
        assert torch.equal(weight, trained(again)[name]), name
    assert sorted(path.name for path in (tmp_path / "broken" / "language").iterdir()) == ["log.jsonl", "weights.pt"]


def test_denormal_numbers_are_zero_while_training_and_no_longer(
    photos: Photos, texts: Captions, maps: Path, tmp_path: Path
) -> None:
    """It is a switch of the processor: left on, it would change what others compute in this process."""
    within = []

    def score() -> dict[str, float]:
        within.append(sys.float_info.min / 2)
        return {"cider": 0.5}

    model, steps = model_and_steps(photos, texts, maps)
    fit(setting(tmp_path), "language", model, PLAN, steps, score)
    assert set(within) == {0.0}
    assert sys.float_info.min / 2 > 0.0


def test_a_finished_stage_is_loaded_not_trained(photos: Photos, texts: Captions, maps: Path, tmp_path: Path) -> None:
    model, steps = model_and_steps(photos, texts, maps)
    fit(setting(tmp_path), "language", model, PLAN, steps, lambda: {"cider": 0.5})
    other, steps = model_and_steps(photos, texts, maps)
    fit(setting(tmp_path), "language", other, PLAN, stopping(steps, 0), lambda: {"cider": 0.0})
    assert all(torch.equal(weight, trained(other)[name]) for name, weight in trained(model).items())


def test_the_best_validation_wins_and_a_stage_without_progress_ends(
    photos: Photos, texts: Captions, maps: Path, tmp_path: Path
) -> None:
    model, steps = model_and_steps(photos, texts, maps)
    kept: list[dict[str, torch.Tensor]] = []
    scores = iter([0.1, 0.4, 0.3, 0.2])

    def validate() -> dict[str, float]:
        assert not model.training
        kept.append({name: weight.detach().clone() for name, weight in trained(model).items()})
        return {"cider": next(scores), "naming": 7.0}

    seen: list[Status] = []
    fit(setting(tmp_path, seen), "language", model, replace(PLAN, validate_every=1, patience=2), steps, validate)
    assert [status.step for status in seen] == [1, 2, 3, 4]
    assert all(torch.equal(weight, kept[1][name]) for name, weight in trained(model).items())
    assert {"step": 2, "cider": 0.4, "naming": 7.0} in log_of(tmp_path)


@pytest.mark.parametrize(("later", "told"), [(0.1, ["the model is as it began"]), (0.4, [])])
def test_a_stage_that_gains_nothing_says_so(
    photos: Photos, texts: Captions, maps: Path, tmp_path: Path, later: float, told: list[str]
) -> None:
    model, steps = model_and_steps(photos, texts, maps)
    before = {name: weight.detach().clone() for name, weight in trained(model).items()}
    scores, alarms = iter([0.3, later, 0.2]), list[Alarm]()
    run = replace(setting(tmp_path), tell=alarms.append)
    plan = replace(PLAN, steps=2, validate_every=1, validate_first=True)
    fit(run, "language", model, plan, steps, lambda: {"cider": next(scores)})
    assert [alarm.what for alarm in alarms] == told
    assert all(torch.equal(weight, before[name]) for name, weight in trained(model).items()) == bool(told)
    assert [line["alarm"]["what"] for line in log_of(tmp_path) if "alarm" in line] == told


def test_numbers_that_are_not_finite_stop_the_run_and_are_named(
    photos: Photos, texts: Captions, maps: Path, tmp_path: Path
) -> None:
    model, steps = model_and_steps(photos, texts, maps)

    def broken(start: int) -> Iterator[Step]:
        for step, made in enumerate(steps(start), start):
            poisoned = model.vision_model.post_layernorm.bias.sum() * float("nan")
            yield made if step < 1 else Step(made.loss + poisoned, made.figures)

    with pytest.raises(ModelError, match=r"Step 2: the gradients of vision_model\.post_layernorm\.bias are not"):
        fit(setting(tmp_path), "language", model, PLAN, broken, lambda: {"cider": 0.0})
    assert all(torch.isfinite(weight).all() for weight in trained(model).values())


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    model = small_model()
    torch.save({"some.weight": torch.zeros(3)}, tmp_path / "weights.pt")
    with pytest.raises(ModelError, match="belongs to another model"):
        load_weights(model, tmp_path / "weights.pt")
    (tmp_path / "weights.pt").write_bytes(b"half a fi")
    with pytest.raises(ModelError, match="cannot be read"):
        load_weights(model, tmp_path / "weights.pt")


def test_lower_layers_learn_slower_where_that_is_wanted() -> None:
    model = small_model()
    plan = replace(PLAN, layer_decay=0.5, pretrained=1.0)
    scales = {id(one): group["scale"] for group in parameter_groups(model, plan) for one in group["params"]}
    for name, scale in {
        "text_decoder.bert.embeddings.word_embeddings.weight": 0.125,  # below two layers
        "text_decoder.bert.encoder.layer.0.attention.self.query.weight": 0.25,
        "text_decoder.bert.encoder.layer.1.crossattention.self.query.bias": 0.5,
        "text_decoder.cls.predictions.bias": 1.0,
        "vision_model.post_layernorm.weight": 1.0,
        "vision_model.encoder.layers.0.mlp.fc1.weight": 0.5,
        "vision_model.embeddings.position_embedding": 0.25,  # below the one layer
    }.items():
        assert scales[id(trained(model)[name])] == scale, name
    assert len(scales) == len(trained(model))


def test_an_overflow_in_half_precision_costs_the_step_alone(
    photos: Photos, texts: Captions, maps: Path, tmp_path: Path
) -> None:
    """The scaler begins at 65,536 and halves with each overflow; the loss itself is finite."""
    model, steps = model_and_steps(photos, texts, maps)
    before = {name: weight.detach().clone() for name, weight in trained(model).items()}

    def large(start: int) -> Iterator[Step]:
        for made in steps(start):
            yield Step(made.loss * 1e34, made.figures)

    (tmp_path / "half").mkdir()
    loop = _Loop(setting(tmp_path), "half", model, replace(PLAN, precision="fp16"), "cider", Beside(), Monitor(()))
    loop._take(large(0))
    assert all(torch.equal(weight, before[name]) for name, weight in trained(model).items())
    assert loop.scaler.get_scale() == 32768
    loop._take(steps(1))
    assert not all(torch.equal(weight, before[name]) for name, weight in trained(model).items())


def test_what_an_objective_learns_beside_the_model_is_trained_resumed_and_kept(
    photos: Photos, texts: Captions, maps: Path, tmp_path: Path
) -> None:
    def begin(folder: Path, after: int | None) -> tuple[nn.Module, list[int]]:
        model, steps = model_and_steps(photos, texts, maps)
        module, followed = nn.Linear(1, 1, bias=False), []
        nn.init.ones_(module.weight)
        module.register_buffer("count", torch.zeros(()))

        def pulled(start: int) -> Iterator[Step]:
            return (Step(made.loss + module.weight.sum(), made.figures) for made in steps(start))

        def follow() -> None:
            followed.append(len(followed))
            module.count += 1  # type: ignore[operator]

        stream = pulled if after is None else stopping(pulled, after)
        fit(setting(folder), "a", model, PLAN, stream, lambda: {"cider": 0.1}, beside=Beside(module, follow))
        return module, followed

    whole, followed = begin(tmp_path / "whole", None)
    assert len(followed) == 6
    assert whole.weight.item() < 1
    with pytest.raises(Stopped):
        begin(tmp_path / "broken", 5)
    again, followed = begin(tmp_path / "broken", None)
    assert len(followed) == 3  # the save is from step 3
    assert again.count.item() == whole.count.item() == 6
    assert again.weight.item() == whole.weight.item()
    loaded, followed = begin(tmp_path / "whole", 0)
    assert followed == []
    assert loaded.weight.item() == whole.weight.item()


def test_the_average_follows_the_weights_and_gives_them_back() -> None:
    model = small_model()
    name, weight = next(iter(trained(model).items()))
    average = Average(model, decay=0.9)
    first = weight.detach().clone()
    with torch.no_grad():
        weight += 1
    average.update(model)
    expected = first + (1 - min(0.9, 2 / 11))
    assert torch.allclose(average.weights[name], expected)
    with average.applied(model):
        assert torch.allclose(trained(model)[name], expected)
    assert torch.equal(weight, first + 1)
    assert model.training


def test_the_learning_rate_rises_then_falls() -> None:
    plan = replace(PLAN, steps=100, warm_up=10, learning_rate=1.0, floor=0.1)
    for decay, middle in (("cosine", 0.55), ("linear", 0.55)):
        rates = [learning_rate(replace(plan, decay=decay), step) for step in range(100)]
        assert rates[0] == pytest.approx(0.1)
        assert max(rates) == rates[9]
        assert rates[50] == pytest.approx(middle)
        assert rates[9:] == sorted(rates[9:], reverse=True)
        assert rates[99] == pytest.approx(0.1, abs=0.01)


def test_every_trained_parameter_is_in_one_group_and_frozen_ones_in_none() -> None:
    model = small_model()
    groups = parameter_groups(model, PLAN)
    grouped = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(grouped) == sorted(id(parameter) for parameter in trained(model).values())
    assert not any("backbone" in name or "classifier" in name for name in trained(model))
    layer = model.text_decoder.bert.encoder.layer[0]
    fresh, brought, undecayed = ({id(parameter) for parameter in group["params"]} for group in groups)
    assert id(layer.crossattention.self.query.weight) in fresh
    assert id(layer.attention.self.query.weight) in brought
    assert id(layer.attention.self.query.bias) in undecayed


@pytest.mark.parametrize("there", [True, False])
def test_a_processor_that_only_imitates_bf16_computes_in_fp32(there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimiser, "has_bf16", lambda: there)
    product = nn.Linear(2, 2)
    with autocast("cpu", replace(PLAN, precision="bf16")):
        assert product(torch.ones(1, 2)).dtype == (torch.bfloat16 if there else torch.float32)
    with autocast("cpu", replace(PLAN, precision="fp16")):
        assert product(torch.ones(1, 2)).dtype == torch.float16


def test_products_in_bf16_are_fast_where_the_processor_is_said_to_have_them() -> None:
    """The claim against the machine: what imitates needs more than ten times as long as fp32."""

    def seconds(kind: torch.dtype) -> float:
        left, right = torch.ones(256, 512, dtype=kind), torch.ones(512, 512, dtype=kind)
        times = []
        for _ in range(5):
            began = time.process_time()
            left @ right
            times.append(time.process_time() - began)
        return min(times)

    assert (seconds(torch.bfloat16) < 3 * seconds(torch.float32)) == has_bf16()
