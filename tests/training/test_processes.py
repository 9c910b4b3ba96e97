"""Two processes that share a batch have, together, the gradient of one that takes it whole."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch
from tiny_training import NAMES, PHOTO_CAPTIONS, RECIPE, small_model

from seesay.training.batches import Captions, Photos
from seesay.training.loop import trained
from seesay.training.objectives import language_steps
from seesay.training.processes import Processes, joined

SCRIPT = """
import sys, torch
from pathlib import Path
from tiny_training import small_model
from test_processes import gradients
from seesay.training.processes import joined

torch.set_num_threads(1)
with joined() as processes:
    assert processes.agree(float(processes.rank + 5)) == 5.0
    torch.save(gradients(processes, Path(sys.argv[1])), f"{sys.argv[2]}/{processes.rank}.pt")
"""


def gradients(processes: Processes, maps: Path) -> list[dict[str, torch.Tensor]]:
    """Of four steps of the language stage, with nothing random but the batches."""
    photos, objects = (Photos(NAMES, PHOTO_CAPTIONS, maps, seed) for seed in (1, 2))
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
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    environment = {
        **os.environ,
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        "PYTHONPATH": str(Path(__file__).parent),
    }
    command = [sys.executable, str(tmp_path / "script.py"), str(maps), str(tmp_path)]
    running = [
        subprocess.Popen(command, env=environment | {"RANK": str(rank)}, stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    for process in running:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    alone = gradients(Processes(), maps)
    together = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
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
