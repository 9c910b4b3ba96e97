"""The training loop that all stages share: schedule, averaged weights, validation, and a state to go on from.

Everything random in a step is drawn from the run's seed and the step's number (batches by their index, dropout and
samples by reseeding torch). So the state that a stopped run goes on from is the weights, the optimiser's moments and a
step number, and what follows is bit for bit what would have followed.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor, nn

from seesay.blip.model import Blip
from seesay.errors import ModelError
from seesay.training.diagnostics import Alarm, Monitor, no_gain
from seesay.training.holding import Everywhere, Held, as_held, load_moments, local, whole, whole_state
from seesay.training.journal import Journal, plot
from seesay.training.optimiser import autocast, denormals_flushed, learning_rate, parameter_groups, trained
from seesay.training.processes import Processes
from seesay.training.recipe import Optimisation

STATE, BEST, RESULT, BESIDE = "state.pt", "best.pt", "weights.pt", "beside.pt"


@dataclass(frozen=True, slots=True)
class Step:
    """One step's loss, and what the log says of it."""

    loss: Tensor
    """Scalar, to be minimised; the losses of several processes add up to that of the whole batch."""
    figures: Mapping[str, float]
    blame: Callable[[], Sequence[str]] = lambda: ()
    """Names of the samples whose own loss is not finite; asked only where the step's is not."""


Steps = Callable[[int], Iterator[Step]]
"""A stage's steps from the given one on, each computed when it is asked for; where a plan accumulates gradients, that
many parts of each step, one after another."""
Validate = Callable[[], Mapping[str, float]]
"""Scores of the model as it is, among them the one that the stage is judged by."""


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
    tell: Callable[[Alarm], None] = lambda alarm: None
    """Told of each alarm."""
    device: str = "cpu"
    """Where the model is, "cpu" or "cuda"."""
    pictures: bool = False
    """Draw `loss.png` at each validation, and write for TensorBoard."""
    held: Held = field(default_factory=Everywhere)


@dataclass(frozen=True, slots=True)
class Beside:
    """What an objective has beside the model."""

    module: nn.Module = field(default_factory=nn.Module)
    """Kept with the run's state, such as queues; its parameters that require gradients are trained with the model's."""
    follow: Callable[[], None] = lambda: None
    """What it does after each step of the optimiser."""


@dataclass(slots=True)
class Progress:
    """How far a stage has come, beside the weights."""

    step: int = 0
    best: float = -math.inf
    """Score of the best validation so far."""
    best_step: int = 0
    """The step that it came after."""
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
            local(self.weights[name]).lerp_(local(parameter), 1 - decay)

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

    @torch.no_grad()
    def _swap(self, model: Blip) -> None:
        for name, parameter in trained(model).items():
            mine, theirs = local(self.weights[name]), local(parameter)
            kept = theirs.clone()
            theirs.copy_(mine)
            mine.copy_(kept)


def fit(
    setting: Setting,
    stage: str,
    model: Blip,
    plan: Optimisation,
    steps: Steps,
    validate: Validate,
    score: str = "cider",
    beside: Beside | None = None,
    monitor: Monitor | None = None,
) -> None:
    """Train the model and leave it with the averaged weights of the best validation, also in `weights.pt`.

    In the stage's folder: goes on from `state.pt` where a run was stopped, and loads the result where it had ended;
    `log.jsonl` has a line of mean figures every `log_every` steps and one for each validation and alarm. `validate`
    sees the averaged weights; of what it says, `score` is what counts. `monitor` hears all figures. Raises ModelError
    where numbers are no longer finite, naming the step, the weights and the samples.
    """
    folder = setting.output / stage
    if not (folder / RESULT).exists():
        folder.mkdir(parents=True, exist_ok=True)
        loop = _Loop(setting, stage, model, plan, score, beside or Beside(), monitor or Monitor(()))
        with denormals_flushed():
            loop.train(steps, validate)
    setting.processes.agree(0.0)  # the first may still be writing
    load_weights(model, folder / RESULT)
    if beside and (folder / BESIDE).exists():
        with torch.no_grad():
            for name, value in _read(folder / BESIDE).items():
                parameter = beside.module.get_parameter(name)
                parameter.copy_(as_held(value, parameter))


class _Loop:
    def __init__(
        self,
        setting: Setting,
        stage: str,
        model: Blip,
        plan: Optimisation,
        score: str,
        beside: Beside,
        monitor: Monitor,
    ) -> None:
        self.setting, self.stage, self.folder = setting, stage, setting.output / stage
        self.model, self.plan, self.score, self.beside, self.monitor = model, plan, score, beside, monitor
        more = [*trained(beside.module).values()]
        groups = parameter_groups(model, plan)
        if more:
            groups.append({"params": more, "scale": 1.0, "weight_decay": 0.0})
        self.parameters = [*trained(model).values(), *more]
        self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), foreach=True)
        self.scaler = torch.amp.GradScaler(setting.device, enabled=plan.precision == "fp16")
        self.average = Average(model, plan.averaging)
        self.progress = Progress()
        if (self.folder / STATE).exists():
            self._resume()
        first = setting.processes.first
        self.log = Journal(self.folder, self.progress.step, setting.pictures) if first else None

    def train(self, steps: Steps, validate: Validate) -> None:
        """All the steps that are left, then the result."""
        plan, progress = self.plan, self.progress
        self.model.train()
        if plan.validate_first and not progress.step:
            self._validate(validate)
        stream = steps(progress.step)
        began, first = time.monotonic(), progress.step
        while progress.step < plan.steps and progress.stale < plan.patience:
            figures = self._take(stream)
            self._watch(figures)
            seconds = time.monotonic() - began
            if progress.step % plan.log_every == 0:
                self._write_log(seconds)
            if progress.step % plan.validate_every == 0 or progress.step == plan.steps:
                self._validate(validate)
            if progress.step % plan.save_every == 0:
                self._save()
            left = (plan.steps - progress.step) * seconds / (progress.step - first)
            if self.setting.processes.first:
                self.setting.show(Status(self.stage, progress.step, plan.steps, left, figures))
        if plan.validate_first and not progress.best_step:
            self._alarm(no_gain(self.score, progress.best))
        learnt = whole_state({name: parameter.detach() for name, parameter in trained(self.beside.module).items()})
        if self.log:
            self.log.close()
            if learnt:
                _write(self.folder / BESIDE, learnt)
            os.replace(self.folder / BEST, self.folder / RESULT)
            (self.folder / STATE).unlink(missing_ok=True)

    def _take(self, stream: Iterator[Step]) -> Mapping[str, float]:
        """One step; its figures."""
        progress = self.progress
        rate = learning_rate(self.plan, progress.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        torch.manual_seed(mixed(self.setting.seed, progress.step, self.setting.processes.rank))
        parts = []
        for _ in range(self.plan.accumulate):
            with autocast(self.setting.device, self.plan):
                part = self.setting.held.take(lambda: next(stream))
            self.scaler.scale(part.loss).backward()  # type: ignore[no-untyped-call]
            parts.append(part)
        self.setting.held.sum_gradients(self.setting.processes, self.parameters)
        self.scaler.unscale_(self.optimizer)
        gradient = self._clip(parts)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        self.average.update(self.model)
        self.beside.follow()
        progress.step += 1
        figures = {name: float(np.mean([part.figures[name] for part in parts])) for name in parts[0].figures}
        for name, value in (figures | gradient).items():
            progress.figures.setdefault(name, []).append(value)
        return figures

    def _clip(self, parts: Sequence[Step]) -> dict[str, float]:
        """Shorten the gradient to its largest norm; the figure of what it was. Raises ModelError where it has none.

        In half precision a gradient may overflow: the scaler then leaves the step out and scales less.
        """
        own = [parameter for parameter in trained(self.model).values() if parameter.grad is not None]
        # Not those beside the model: a temperature's gradient grows with its inverse, and would shorten all others.
        norm = torch.nn.utils.get_total_norm([parameter.grad for parameter in own if parameter.grad is not None])
        if not torch.isfinite(whole(norm)):  # asked before it is clipped, which would spread the damage to every weight
            if self.scaler.is_enabled() and all(torch.isfinite(part.loss) for part in parts):
                return {}
            self._stop(parts)
        torch.nn.utils.clip_grads_with_norm_(own, self.plan.clip, norm)
        return {"gradient": whole(norm).item()}

    def _stop(self, parts: Sequence[Step]) -> NoReturn:
        """Tell what is not finite, and raise it."""
        with self.setting.held.gathered():
            samples = [name for part in parts for name in part.blame()]
        error = _not_finite(self.model, self.progress.step, samples)
        self._alarm(Alarm("numbers are not finite", self.progress.step + 1, str(error), error.remedy))
        raise error

    def _watch(self, figures: Mapping[str, float]) -> None:
        """Let the monitor hear of a step or a validation."""
        rate = learning_rate(self.plan, self.progress.step - 1)
        for alarm in self.monitor.observe(self.progress.step, {**figures, "learning_rate": rate}):
            self._alarm(alarm)

    def _alarm(self, alarm: Alarm) -> None:
        if self.log:
            self.log.write({"step": self.progress.step, "alarm": alarm.record()})
            self.setting.tell(alarm)

    def _validate(self, validate: Validate) -> None:
        """Score the averaged weights, and keep them if they are the best so far."""
        progress = self.progress
        scores: Mapping[str, float] = {}
        with self.average.applied(self.model), self.setting.held.gathered():
            if self.log:
                scores = validate()
        score = self.setting.processes.agree(scores.get(self.score, 0.0))
        best = whole_state(self.average.weights) if score > progress.best else None
        if self.log:
            self.log.write({"step": progress.step, **scores})
            if best is not None:
                _write(self.folder / BEST, best)
            self._watch(scores)
            if self.setting.pictures:
                plot(self.folder)
        progress.stale += 1
        if score > progress.best:
            progress.best, progress.best_step, progress.stale = score, progress.step, 0

    def _write_log(self, seconds: float) -> None:
        means = {name: float(np.mean(values)) for name, values in self.progress.figures.items()}
        self.progress.figures = {}
        if self.log:
            rate = learning_rate(self.plan, self.progress.step - 1)
            times = {"learning_rate": rate, "seconds": round(seconds, 1)}
            self.log.write({"step": self.progress.step, **times, **means})

    def _save(self) -> None:
        """Called by all processes; the first writes."""
        parts = {
            "weights": {name: parameter.detach() for name, parameter in trained(self.model).items()},
            "average": self.average.weights,
            "optimizer": self.optimizer.state_dict(),
            "beside": self.beside.module.state_dict(),
        }
        state = {name: whole_state(part) for name, part in parts.items()} | {
            "count": self.average.count,
            "progress": asdict(self.progress),
            "scaler": self.scaler.state_dict(),
        }
        if self.setting.processes.first:
            _write(self.folder / STATE, state)

    def _resume(self) -> None:
        state = _read(self.folder / STATE)
        load(self.model, state["weights"], self.folder / STATE)
        average = {name: weight.to(self.setting.device) for name, weight in state["average"].items()}
        self.average.weights = {name: as_held(average[name], own) for name, own in trained(self.model).items()}
        self.average.count = state["count"]
        load_moments(self.optimizer, state["optimizer"])
        self.progress = Progress(**state["progress"])
        if self.scaler.is_enabled():
            self.scaler.load_state_dict(state["scaler"])
        own = self.beside.module.state_dict()
        self.beside.module.load_state_dict(
            {name: as_held(value, own[name]) for name, value in state.get("beside", {}).items()}
        )


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
            parameter.copy_(as_held(weights[name], parameter))


def mixed(*numbers: int) -> int:
    """One seed from several numbers, so that neighbours share nothing."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])


def _not_finite(model: Blip, step: int, samples: Sequence[str]) -> ModelError:
    names = [
        name
        for name, parameter in trained(model).items()
        if parameter.grad is not None and not torch.isfinite(whole(parameter.grad)).all()
    ]
    some = _some(names) or "no single weight, but their norm,"
    by = f"; samples whose own loss is not: {_some(samples)}" if samples else ""
    first = "Look at these samples; if they are sound, lower" if samples else "Lower"
    return ModelError(
        f"Step {step + 1}: the gradients of {some} are not finite{by}",
        f"{first} the learning rate, or lengthen the warm-up, and start again: the last state is older than this step.",
    )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


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
