"""Two processes that share a batch have, together, the gradient of one that takes it whole."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch
from tiny_training import NAMES, PHOTO_CAPTIONS, RECIPE, small_model
from two_processes import on_two

from seesay.training.batches import Captions, Photos
from seesay.training.objectives import language_steps
from seesay.training.optimiser import trained
from seesay.training.processes import Processes, joined


def gradients(processes: Processes, maps: str) -> list[dict[str, torch.Tensor]]:
    """Of four steps of the language stage, with nothing random but the batches."""
    assert processes.agree(float(processes.rank + 5)) == 5.0
    photos, objects = (Photos(NAMES, PHOTO_CAPTIONS, Path(maps), seed) for seed in (1, 2))
    ids = [[5, 6, 7], [8, 9], [10, 11, 12, 13], [14, 15]]
    texts = Captions(ids, [[0], [1], [], [2]], small_model().vision_model.concepts.words.numpy(), 2, seed=1)
    model, found = small_model(), []
    parameters = trained(model)
    stage = replace(RECIPE.language, hide=0.0)
    steps = language_steps(model, stage, photos, objects, texts, 3, processes.part)(0)
    for step in islice(steps, 4):
        step.loss.backward()
        processes.sum_gradients(list(parameters.values()))
        found.append({name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in parameters.items()})
        model.zero_grad(set_to_none=True)
    return found


def test_the_gradients_of_two_are_those_of_one(maps: Path, tmp_path: Path) -> None:
    alone = gradients(Processes(), str(maps))
    together = on_two("test_processes", "gradients", tmp_path, str(maps))
    for step, whole in enumerate(alone):
        for name, gradient in whole.items():
            for half in together:
                assert torch.allclose(half[step][name], gradient, atol=1e-6), (step, name)
    assert any(gradient.abs().max() > 1e-3 for gradient in alone[0].values())


def test_one_process_needs_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined() as processes:
        assert (processes.part, processes.first) == ((0, 1), True)
        assert processes.agree(2.5) == 2.5
