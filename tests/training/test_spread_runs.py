"""Training with the weights spread over two processes: the run of one process, also after a stop."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_tuning import PLAN, TUNING, write_dataset, write_start
from two_processes import on_two

import seesay
from seesay.blip.checkpoint import read_checkpoint
from seesay.errors import UsageError
from seesay.training import loop, tune
from seesay.training.processes import Processes
from seesay.training.tuning_recipe import Contrastive

RECIPE = replace(
    TUNING,
    task="pretrain",
    texts_per_image=1,
    dropout=0.0,
    contrastive=Contrastive(queue=16, momentum=0.9),
    optimisation=replace(PLAN, steps=4, validate_every=4, save_every=2, averaging=0.5),
)


class Stopped(Exception):
    """A run that is killed."""


def runs(processes: Processes, start: str, data: str, output: str) -> list[int]:
    """One run from end to end, and one that is stopped after its first save and goes on."""
    tune.joined = lambda: nullcontext(processes)  # type: ignore[assignment]  # they are joined already
    given = (RECIPE, read_checkpoint(Path(start)), Path(data))
    tune.tune(*given, Path(output, "whole"), spread=True)
    save = loop._Loop._save

    def stop(self: loop._Loop) -> None:
        save(self)
        raise Stopped

    loop._Loop._save = stop  # type: ignore[method-assign]
    try:
        tune.tune(*given, Path(output, "stopped"), spread=True)
    except Stopped:
        loop._Loop._save = save  # type: ignore[method-assign]
    tune.tune(*given, Path(output, "stopped"), spread=True)
    return []


def lines_of(folder: Path) -> list[dict[str, float]]:
    lines = (folder / "tuning" / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [{name: value for name, value in json.loads(line).items() if name != "seconds"} for line in lines]


def test_spread_weights_give_the_model_of_one_process(tmp_path: Path) -> None:
    start, data = write_start(tmp_path / "start"), write_dataset(tmp_path / "data").parent
    (tmp_path / "found").mkdir()
    on_two("test_spread_runs", "runs", tmp_path / "found", str(start.folder), str(data), str(tmp_path))
    tune.tune(RECIPE, start, data, tmp_path / "one")
    one, whole, stopped = (read_checkpoint(tmp_path / name / "model") for name in ("one", "whole", "stopped"))
    assert one.weights.keys() == whole.weights.keys()
    for name, weight in one.weights.items():
        assert np.allclose(weight, whole.weights[name], atol=3e-4), name
        assert np.array_equal(whole.weights[name], stopped.weights[name]), name
    assert whole.config == stopped.config
    assert whole.config.temperature == pytest.approx(one.config.temperature, abs=1e-5)
    assert lines_of(tmp_path / "whole") == lines_of(tmp_path / "stopped")
    for two, alone in zip(lines_of(tmp_path / "whole"), lines_of(tmp_path / "one"), strict=True):
        assert two.keys() == alone.keys()
        if "gradient" in alone:
            assert two["gradient"] == pytest.approx(alone["gradient"], rel=1e-3)
    model = seesay.load(tmp_path / "whole" / "model", precision="fp32", threads=1)
    assert model.match(data / "images" / "0.png", "a red boat").probability is not None


def test_one_process_has_nobody_to_spread_to(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="several processes") as raised:
        tune.tune(RECIPE, write_start(tmp_path / "start"), tmp_path, tmp_path / "run", spread=True)
    assert "torchrun" in raised.value.remedy
