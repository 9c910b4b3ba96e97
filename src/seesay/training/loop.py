"""The training loop that all stages share: schedule, averaged weights, validation, and a state to go on from.

Everything random in a step is drawn from the run's seed and the step's number (batches by their index, dropout and
samples by reseeding torch). So the state that a stopped run goes on from is the weights, the optimiser's moments and a
step number, and what follows is bit for bit what would have followed.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seesay.blip.model import Blip
from seesay.errors import ModelError
from seesay.training.processes import Processes
from seesay.training.recipe import Optimisation

STATE, BEST, RESULT = "state.pt", "best.pt", "weights.pt"


@dataclass(frozen=True, slots=True)
class Step:
    """One step's loss, and what the log says of it."""

    loss: Tensor
    """Scalar, to be minimised; the losses of several processes add up to that of the whole batch."""
    figures: Mapping[str, float]


Steps = Callable[[int], Iterator[Step]]
"""A stage's steps from the given one on, each computed when it is asked for."""
Validate = Callable[[], Mapping[str, float]]
"""Scores of the model as it is, among them "cider"."""


@dataclass(frozen=True, slots=True)
class Status:
    """Where a stage stands, for a person who waits."""

    stage: str
    step: int
    steps: int
    seconds_left: float
    figures: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Setting:
    """What all stages of a run share."""

    output: Path
    """Each stage has a folder in it."""
    seed: int
    processes: Processes
    show: Callable[[Status], None] = lambda status: None
    """Told after every step."""


@dataclass(slots=True)
class Progress:
    """How far a stage has come, beside the weights."""

    step: int = 0
    best: float = -math.inf
    """CIDEr of the best validation so far."""
    stale: int = 0
    """Validations since."""
    figures: dict[str, list[float]] = field(default_factory=dict)
    """Since the last line of the log."""


class Average:
    """A running mean of the trained weights, which is what validation sees and what a stage results in."""

    def __init__(self, model: Blip, decay: float) -> None:
        self.weights = {name: parameter.detach().clone() for name, parameter in trained(model).items()}
        self.decay, self.count = decay, 0

    @torch.no_grad()
    def update(self, model: Blip) -> None:
        """Take in the weights after a step. The first steps count more: the mean must forget where it began."""
        self.count += 1
        decay = min(self.decay, (1 + self.count) / (10 + self.count))
        for name, parameter in trained(model).items():
            self.weights[name].lerp_(parameter, 1 - decay)

    @contextmanager
    def applied(self, model: Blip) -> Iterator[None]:
        """The model with the averaged weights, in evaluation mode; afterwards with its own again."""
        self._swap(model)
        model.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            model.train()
            self._swap(model)

    def _swap(self, model: Blip) -> None:
        for name, parameter in trained(model).items():
            parameter.data, self.weights[name] = self.weights[name], parameter.data


def fit(setting: Setting, stage: str, model: Blip, plan: Optimisation, steps: Steps, validate: Validate) -> None:
    """Train the model and leave it with the averaged weights of the best validation, also in `weights.pt`.

    In the stage's folder: goes on from `state.pt` where a run was stopped, and loads the result where it had ended;
    `log.jsonl` has a line of mean figures every `log_every` steps and one for each validation. `validate` sees the
    averaged weights. Raises ModelError where numbers are no longer finite, naming the step and the weights.
    """
    folder = setting.output / stage
    if not (folder / RESULT).exists():
        folder.mkdir(parents=True, exist_ok=True)
        _Loop(setting, stage, model, plan).train(steps, validate)
    setting.processes.agree(0.0)  # the first may still be writing
    load_weights(model, folder / RESULT)


class _Loop:
    def __init__(self, setting: Setting, stage: str, model: Blip, plan: Optimisation) -> None:
        self.setting, self.stage, self.folder, self.model, self.plan = (
            setting,
            stage,
            setting.output / stage,
            model,
            plan,
        )
        self.parameters = list(trained(model).values())
        self.optimizer = torch.optim.AdamW(parameter_groups(model, plan), betas=(0.9, 0.98), foreach=True)
        self.average = Average(model, plan.averaging)
        self.progress = Progress()
        if (self.folder / STATE).exists():
            self._resume()
        self.log = _Log(self.folder / "log.jsonl", self.progress.step) if setting.processes.first else None

    def train(self, steps: Steps, validate: Validate) -> None:
        """All the steps that are left, then the result."""
        plan, progress = self.plan, self.progress
        self.model.train()
        stream = steps(progress.step)
        began, first = time.monotonic(), progress.step
        while progress.step < plan.steps and progress.stale < plan.patience:
            figures = self._take(stream)
            seconds = time.monotonic() - began
            if progress.step % plan.log_every == 0:
                self._write_log(seconds)
            if progress.step % plan.validate_every == 0 or progress.step == plan.steps:
                self._validate(validate)
            if progress.step % plan.save_every == 0 and self.setting.processes.first:
                self._save()
            left = (plan.steps - progress.step) * seconds / (progress.step - first)
            if self.setting.processes.first:
                self.setting.show(Status(self.stage, progress.step, plan.steps, left, figures))
        if self.setting.processes.first:
            os.replace(self.folder / BEST, self.folder / RESULT)
            (self.folder / STATE).unlink(missing_ok=True)

    def _take(self, stream: Iterator[Step]) -> Mapping[str, float]:
        """One step; its figures."""
        progress = self.progress
        rate = learning_rate(self.plan, progress.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        torch.manual_seed(_mixed(self.setting.seed, progress.step, self.setting.processes.rank))
        with torch.autocast("cpu", torch.bfloat16):
            step = next(stream)
        step.loss.backward()  # type: ignore[no-untyped-call]
        self.setting.processes.sum_gradients(self.parameters)
        self._clip()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.average.update(self.model)
        progress.step += 1
        for name, value in step.figures.items():
            progress.figures.setdefault(name, []).append(value)
        return step.figures

    def _clip(self) -> None:
        """Shorten the gradient to its largest norm. Raises ModelError where it has none."""
        norm = torch.nn.utils.get_total_norm([p.grad for p in self.parameters if p.grad is not None])
        if not torch.isfinite(norm):  # asked before it is clipped, which would spread the damage to every weight
            raise _not_finite(self.model, self.progress.step)
        torch.nn.utils.clip_grads_with_norm_(self.parameters, self.plan.clip, norm)

    def _validate(self, validate: Validate) -> None:
        """Score the averaged weights, and keep them if they are the best so far."""
        progress = self.progress
        cider = 0.0
        if self.log:
            with self.average.applied(self.model):
                scores = validate()
            cider = scores["cider"]
            self.log.write({"step": progress.step, **scores})
            if cider > progress.best:
                _write(self.folder / BEST, self.average.weights)
        cider = self.setting.processes.agree(cider)
        progress.stale = 0 if cider > progress.best else progress.stale + 1
        progress.best = max(progress.best, cider)

    def _write_log(self, seconds: float) -> None:
        means = {name: float(np.mean(values)) for name, values in self.progress.figures.items()}
        self.progress.figures = {}
        if self.log:
            rate = learning_rate(self.plan, self.progress.step - 1)
            times = {"learning_rate": rate, "seconds": round(seconds, 1)}
            self.log.write({"step": self.progress.step, **times, **means})

    def _save(self) -> None:
        state = {
            "weights": {name: parameter.detach() for name, parameter in trained(self.model).items()},
            "average": self.average.weights,
            "count": self.average.count,
            "optimizer": self.optimizer.state_dict(),
            "progress": asdict(self.progress),
        }
        _write(self.folder / STATE, state)

    def _resume(self) -> None:
        state = _read(self.folder / STATE)
        load(self.model, state["weights"], self.folder / STATE)
        self.average.weights, self.average.count = state["average"], state["count"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.progress = Progress(**state["progress"])


def trained(model: Blip) -> dict[str, torch.nn.Parameter]:
    """The parameters that are not frozen, by name."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def learning_rate(plan: Optimisation, step: int) -> float:
    """The learning rate of a step, counted from 0, before the groups' factors."""
    done = step / plan.steps
    left = (1 + math.cos(math.pi * done)) / 2 if plan.decay == "cosine" else 1 - done
    warm = min(1.0, (step + 1) / plan.warm_up) if plan.warm_up else 1.0
    return plan.learning_rate * warm * (plan.floor + (1 - plan.floor) * left)


def parameter_groups(model: Blip, plan: Optimisation) -> list[dict[str, Any]]:
    """AdamW's groups: new matrices at the full rate; what came with the text tower, vectors and embeddings slower."""
    fresh, brought, undecayed = [], [], []
    for name, parameter in trained(model).items():
        if parameter.ndim < 2 or "embedding" in name:
            undecayed.append(parameter)
        elif name.startswith(("text_decoder.bert.", "text_encoder.")) and "crossattention" not in name:
            brought.append(parameter)
        else:
            fresh.append(parameter)
    return [
        {"params": fresh, "scale": 1.0, "weight_decay": plan.weight_decay},
        {"params": brought, "scale": plan.pretrained, "weight_decay": plan.weight_decay},
        {"params": undecayed, "scale": plan.pretrained, "weight_decay": 0.0},
    ]


def load_weights(model: Blip, path: Path) -> None:
    """Put a stage's result into the model."""
    load(model, _read(path), path)


def load(model: Blip, weights: Mapping[str, Tensor], path: Path) -> None:
    """Put trained weights into the model. Raises ModelError unless they are those of this model."""
    own = trained(model)
    if own.keys() != weights.keys() or any(own[name].shape != weight.shape for name, weight in weights.items()):
        raise ModelError(f"{path} belongs to another model", "Remove it, or name another output folder.")
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(weights[name])


def _mixed(*numbers: int) -> int:
    """One seed from several numbers, so that neighbours share nothing."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])


def _not_finite(model: Blip, step: int) -> ModelError:
    names = [
        name
        for name, parameter in trained(model).items()
        if parameter.grad is not None and not torch.isfinite(parameter.grad).all()
    ]
    some = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return ModelError(
        f"Step {step + 1}: the gradients of {some or 'no single weight, but their norm,'} are not finite",
        "Lower the learning rate, or lengthen the warm-up, and start again: the last state is from before this step.",
    )


def _write(path: Path, content: object) -> None:
    """A file that nobody sees half of, whatever is killed when."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever the unpickler raises over a damaged file
        raise ModelError(f"{path} cannot be read ({error})", "Remove it: the stage then starts again.") from error
    return content


class _Log:
    """A line of JSON for each record. Lines of steps that a resumed run takes again are dropped."""

    def __init__(self, path: Path, step: int) -> None:
        self._path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= step]  # a kill may cut one
        path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")

    def write(self, record: Mapping[str, float]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
