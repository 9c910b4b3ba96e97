"""Two processes that share pairs have, together, the losses and gradients of one; also with the weights spread."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_pairs import objective, pair_model, pairs
from torch import Tensor
from two_processes import on_two

from seesay.blip.config import Task
from seesay.training.holding import whole_state
from seesay.training.pretraining import Pairs
from seesay.training.processes import Processes
from seesay.training.sharding import Sharded

EACH = 2
STARTS = (0, 3, 20)
"""Of three batches of four images; image 3 comes again in the second."""
TASKS: tuple[Task, ...] = ("pretrain", "match")

Records = list[dict[str, Tensor]]


def part(batch: Pairs, processes: Processes) -> Pairs:
    """What a process has of a batch."""
    size = len(batch.ids) // processes.count
    images, first = slice(processes.rank * size, (processes.rank + 1) * size), processes.rank * size * EACH
    return Pairs(batch.images[images], batch.ids[images], batch.captions[first : first + size * EACH])


def losses_and_gradients(processes: Processes, task: Task) -> Records:
    """Also the queues, over three steps of plain descent."""
    model = pair_model(task)
    aim = objective(model, processes, queue=11)
    parameters = {**dict(model.named_parameters()), "temperature": aim.contrast.temperature}
    found = []
    for step, start in enumerate(STARTS):
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


def spread(processes: Processes) -> dict[str, Any]:
    """Losses of three steps with spread weights, all weights afterwards, and how many of them are here."""
    model = pair_model()
    aim = objective(model, processes, queue=11)
    sharded = Sharded(model, aim.contrast)
    adam = torch.optim.Adam([p for p in sharded.parameters() if p.requires_grad], 1e-3, eps=1e-3)
    losses = []
    for step, start in enumerate(STARTS):
        loss, _ = sharded(lambda start=start, step=step: aim(part(pairs(4, EACH, start), processes), step))
        loss.backward()
        adam.step()
        adam.zero_grad()
        aim.follow()
        losses.append(processes.total(loss.item()))
    here = sum(parameter.to_local().numel() for parameter in sharded.parameters())
    return {"losses": torch.tensor(losses), "weights": whole_state(sharded.state_dict()), "here": here}


def at_one_place() -> dict[str, Any]:
    """The same on one process that has everything."""
    model = pair_model()
    aim = objective(model, queue=11)
    adam = torch.optim.Adam([*model.parameters(), aim.contrast.temperature], 1e-3, eps=1e-3)
    losses = []
    for step, start in enumerate(STARTS):
        made = aim(pairs(4, EACH, start), step)
        made.loss.backward()
        adam.step()
        adam.zero_grad()
        aim.follow()
        losses.append(made.loss.item())
    weights = {f"model.{name}": value.clone() for name, value in model.state_dict().items()}
    weights |= {f"beside.0.{name}": value.clone() for name, value in aim.contrast.state_dict().items()}
    here = sum(parameter.numel() for parameter in (*model.parameters(), *aim.contrast.parameters()))
    return {"losses": torch.tensor(losses), "weights": weights, "here": here}


def everything(processes: Processes) -> list[Any]:
    """In one start of the processes, which takes longer than what they do."""
    return [*(losses_and_gradients(processes, task) for task in TASKS), spread(processes)]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[list[Any]]:
    return on_two("test_pair_processes", "everything", tmp_path_factory.mktemp("two"))


@pytest.mark.parametrize("number", range(len(TASKS)))
def test_losses_and_gradients_of_two_are_those_of_one(number: int, both: list[list[Any]]) -> None:
    alone = losses_and_gradients(Processes(), TASKS[number])
    for step, record in enumerate(alone):
        for name, value in record.items():
            for half in both:
                assert torch.allclose(half[number][step][name], value, atol=1e-5), (step, name)
    assert alone[1]["text_encoder.embeddings.word_embeddings.weight"].abs().max() > 1e-3
    assert (alone[2]["queue"] - alone[1]["queue"]).abs().max() > 1e-3


def test_spread_weights_take_the_same_steps(both: list[list[Any]]) -> None:
    expected = at_one_place()
    for found in (half[-1] for half in both):
        assert torch.allclose(found["losses"], expected["losses"], atol=1e-4)
        assert found["weights"].keys() == expected["weights"].keys()
        for name, value in expected["weights"].items():
            assert torch.allclose(found["weights"][name], value, atol=1e-5), name
        assert found["here"] < 0.55 * expected["here"]
