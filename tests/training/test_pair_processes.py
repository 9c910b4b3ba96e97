"""Two processes that share pairs have, together, the losses and gradients of one that has all."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_pairs import objective, pair_model, pairs
from torch import Tensor

from seesay.training.pretraining import Pairs
from seesay.training.processes import Processes

SCRIPT = """
import sys, torch
from test_pair_processes import taken
from seesay.training.processes import joined

torch.set_num_threads(1)
with joined() as processes:
    torch.save(taken(processes, sys.argv[2]), f"{sys.argv[1]}/{processes.rank}.pt")
"""
EACH = 2


def part(batch: Pairs, processes: Processes) -> Pairs:
    """What a process has of a batch."""
    size = len(batch.ids) // processes.count
    images, first = slice(processes.rank * size, (processes.rank + 1) * size), processes.rank * size * EACH
    return Pairs(batch.images[images], batch.ids[images], batch.captions[first : first + size * EACH])


def taken(processes: Processes, task: str) -> list[dict[str, Tensor]]:
    """Loss, gradients and queues of three steps of plain descent; image 3 comes again in the second."""
    model = pair_model(task)  # type: ignore[arg-type]  # a task
    aim = objective(model, processes, queue=11)
    parameters = {**dict(model.named_parameters()), "temperature": aim.contrast.temperature}
    found = []
    for step, start in enumerate((0, 3, 20)):
        made = aim(part(pairs(4, EACH, start), processes), step)
        made.loss.backward()
        processes.sum_gradients(list(parameters.values()))
        record = {name: torch.zeros_like(p) if p.grad is None else p.grad.clone() for name, p in parameters.items()}
        record["loss"] = torch.tensor(processes.total(made.loss.item()))
        record["queue"] = torch.cat([aim.contrast.texts.vectors, aim.contrast.images.vectors]).clone()
        found.append(record)
        with torch.no_grad():
            for parameter in parameters.values():
                if parameter.grad is not None:
                    parameter -= 0.1 * parameter.grad
                    parameter.grad = None
        aim.follow()
    return found


@pytest.mark.parametrize("task", ["pretrain", "match"])
def test_losses_and_gradients_of_two_are_those_of_one(task: str, tmp_path: Path) -> None:
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
    command = [sys.executable, str(tmp_path / "script.py"), str(tmp_path), task]
    running = [
        subprocess.Popen(command, env=environment | {"RANK": str(rank)}, stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    alone = taken(Processes(), task)
    for process in running:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    together = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    for step, whole in enumerate(alone):
        for name, value in whole.items():
            for half in together:
                assert torch.allclose(half[step][name], value, atol=1e-5), (step, name)
    assert alone[1]["text_encoder.embeddings.word_embeddings.weight"].abs().max() > 1e-3
    assert (alone[2]["queue"] - alone[1]["queue"]).abs().max() > 1e-3
