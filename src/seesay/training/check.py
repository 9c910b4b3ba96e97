"""Can this set-up learn at all? A handful of samples are learnt by heart before the run begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np
import torch

from seesay.training.optimiser import autocast, parameter_groups, trained
from seesay.training.pictures import Draw
from seesay.training.setup import Setup, Task
from seesay.training.tuning_recipe import Tuning

HANDFUL, STEPS = 8, 100
ENOUGH = 0.5
"""What may be left of the loss at the end; as soon as this is reached the check ends."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of learning a handful by heart."""

    samples: int
    steps: int
    first: float
    last: float
    """The loss, in nats, at the beginning and at the end."""

    @property
    def learns(self) -> bool:
        """Whether the loss fell as it must where everything fits together."""
        return self.last <= ENOUGH * self.first

    def __str__(self) -> str:
        course = f"loss {self.first:.3f} -> {self.last:.3f} in {self.steps} steps over {self.samples} samples"
        return f"{course}: the set-up can learn" if self.learns else f"{course}: the set-up does not learn"


def handful(recipe: Tuning) -> Tuning:
    """The recipe for the check: nothing that hinders learning by heart, and the learning rate at its height."""
    plan = replace(recipe.optimisation, steps=STEPS, warm_up=0, floor=1.0, accumulate=1)
    contrastive = replace(recipe.contrastive, alpha=0.0, queue=0)
    return replace(
        recipe, optimisation=plan, contrastive=contrastive, dropout=0.0, smoothing=0.0, augment=False, views=1
    )


def check(setup: Setup, task: Task) -> Checked:
    """Train on a handful of samples, and put the weights back as they were.

    setup: its recipe is `handful`'s. task: one made for this check, on that setup.
    """
    places = list(setup.usable[:HANDFUL])
    before = {name: weight.detach().clone() for name, weight in trained(setup.model).items()}
    plan = setup.recipe.optimisation
    groups = parameter_groups(setup.model, plan)
    more = [parameter for parameter in task.beside.module.parameters() if parameter.requires_grad]
    groups += [{"params": more, "scale": 1.0, "weight_decay": 0.0}] if more else []
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), foreach=True)
    for group in optimizer.param_groups:
        group["lr"] = plan.learning_rate * group["scale"]
    setup.model.train()
    losses: list[float] = []
    try:
        for step in range(STEPS):
            losses.append(_step(setup, task, places, step, optimizer))
            task.beside.follow()
            if step >= 5 and fmean(losses[-3:]) <= ENOUGH * losses[0]:
                break
    finally:
        with torch.no_grad():
            for name, parameter in trained(setup.model).items():
                parameter.copy_(before[name])
    return Checked(len(places), len(losses), losses[0], fmean(losses[-3:]))


def _step(setup: Setup, task: Task, places: Sequence[int], step: int, optimizer: torch.optim.Optimizer) -> float:
    """One step on all of the handful; the loss before it."""
    torch.manual_seed(step)
    images = setup.pictures.load(places, None)
    draw = Draw(step, list(places), slice(0, len(places)), images, np.random.default_rng(step))
    with autocast(setup.device, setup.recipe.optimisation):
        taken = task.step(draw)
    taken.loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return taken.figures["loss"]
