"""Fine-tuning from end to end: a checkpoint and a data set in, a folder out that `seesay.load` opens."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from math import lcm
from pathlib import Path

import torch

from seesay.blip.checkpoint import Checkpoint, write_checkpoint
from seesay.errors import ModelError, UsageError
from seesay.training.captioning import Captioning, SelfCritical
from seesay.training.card import write_card
from seesay.training.check import Checked, check, handful
from seesay.training.diagnostics import Alarm, Monitor, check_captions, detectors
from seesay.training.dropout import lock_dropout, set_dropout
from seesay.training.journal import alarms_in
from seesay.training.loop import Setting, Status, fit
from seesay.training.lora import arrays
from seesay.training.optimiser import trained
from seesay.training.pairing import Pairing
from seesay.training.pictures import Kept, Pictures, Pixels, keep
from seesay.training.prepare import write_atomically
from seesay.training.processes import Processes, joined
from seesay.training.questions import Answering
from seesay.training.samples import Samples, read_samples
from seesay.training.setup import Setup, Task, steps_of
from seesay.training.transfer import for_task, prepare_training, recompute_layers
from seesay.training.tuning_recipe import HEADS, SCORES, Tuning

log = logging.getLogger("seesay.training")


def tune(
    recipe: Tuning,
    checkpoint: Checkpoint,
    data: Path,
    output: Path,
    *,
    first_check: bool = False,
    spread: bool = False,
    show: Callable[[Status], None] = lambda status: None,
    tell: Callable[[Alarm | Checked], None] = lambda alarm: None,
) -> Path:
    """Train as the recipe says; the folder of the finished model.

    output: gets a folder for each stage with its log, TensorBoard's events and a plot; `model/` with the checkpoint and
    its card; `scores.json`; and `data/` with what was computed once. What is there already is not done again: a run
    that was stopped goes on. Under torchrun all processes call this and share the work. `first_check` learns a handful
    of samples by heart before it starts.
    `spread` divides weights, moments and slow copies among the processes, for models too large for each (`sharding`).
    `tell` hears of alarms. Raises UsageError where `output` belongs to another run, DataError, and ModelError where
    numbers are no longer finite or the check fails.
    """
    with joined() as processes:
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        if spread and (processes.count == 1 or recipe.optimisation.precision == "fp16"):
            raise UsageError(
                "Weights are spread over several processes, in bf16 or fp32",
                "Start them with torchrun --nproc-per-node N -m seesay train ..., or leave --shard out.",
            )
        run = _Run(recipe, checkpoint, data, output, processes, show, tell)
        if first_check:
            run.check()
        run.train(spread)
        run.export()
    return output / "model"


class _Run:
    def __init__(
        self,
        recipe: Tuning,
        checkpoint: Checkpoint,
        data: Path,
        output: Path,
        processes: Processes,
        show: Callable[[Status], None],
        tell: Callable[[Alarm | Checked], None],
    ) -> None:
        self.recipe, self.output, self.processes = recipe, output, processes
        self.show, self.tell = show, tell
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        if recipe.image_size:
            checkpoint = checkpoint.at_size(recipe.image_size)
        torch.manual_seed(recipe.seed)
        model, self.fresh = for_task(checkpoint, HEADS[recipe.task], recipe.dropout)
        if self.fresh:
            log.info("drawn at random, since %s has no such weights: %s", recipe.model, ", ".join(self.fresh))
        frozen = prepare_training(model, recipe.freeze, recipe.lora, self.fresh)
        lock_dropout(model)
        model.to(self.device)
        self.setup = Setup(recipe, model, checkpoint, (), Pixels((), checkpoint.config), (), (), processes, self.device)
        self.samples = self._read(data)
        self.setup = self._with_pictures(frozen)
        if recipe.checkpointing:
            recompute_layers(model)
        self.setting = Setting(output, recipe.seed, processes, show, tell, self.device, pictures=True)

    def _read(self, data: Path) -> Samples:
        """The samples; the first process reads them first, and writes what is no file."""
        kept = self.output / "data" / "pictures"
        for turn in range(2):
            if self.processes.first is (turn == 0):
                positions = self.setup.checkpoint.config.text.max_position_embeddings
                source = replace(self.recipe.data, longest=min(self.recipe.data.longest, positions - 2))
                samples = read_samples(source, data, kept, self.recipe.task, self.setup.tokenizer)
            self.processes.agree(0.0)
        self._belong(samples)
        return samples

    def _belong(self, samples: Samples) -> None:
        """Raise UsageError where the output folder belongs to another run; else mark it as this one's."""
        mark, mine = self.output / "run.json", {"recipe": asdict(self.recipe), "data": samples.fingerprint}
        mine = json.loads(json.dumps(mine))
        if mark.exists() and json.loads(mark.read_text(encoding="utf-8")) != mine:
            raise UsageError(
                f"{self.output} holds a run with another recipe or other data",
                "Name another output folder, or remove this one.",
            )
        if self.processes.first and not mark.exists():
            self.output.mkdir(parents=True, exist_ok=True)
            write_atomically(mark, json.dumps(mine, indent=2))

    def _with_pictures(self, frozen: str) -> Setup:
        """The setup with its pictures: kept where the image side is frozen, else made anew each time."""
        recipe, model = self.recipe, self.setup.model
        everything = [*self.samples.train, *self.samples.validation]
        pixels = Pixels(everything, model.config, recipe.augment)
        pictures: Pictures = pixels
        lost: set[int] = set()
        if frozen != "nothing":
            folder = self.output / "data"
            if self.processes.first:
                keep(folder, model, pixels, recipe.views if recipe.augment else 1, self._told_pictures())
            self.processes.agree(0.0)
            lost = set(keep(folder, model, pixels, 0))
            pictures = Kept(folder)
        count = len(self.samples.train)
        usable = [i for i in range(count) if i not in lost]
        held_out = [i for i in range(count, len(everything)) if i not in lost]
        batch = _batch(recipe, len(usable), self.processes.count)
        if batch < recipe.batch:
            log.warning("a batch has %d images: there are %d in all", batch, len(usable))
        recipe = replace(recipe, batch=batch)
        return replace(
            self.setup, recipe=recipe, samples=everything, pictures=pictures, usable=usable, held_out=held_out
        )

    def _told_pictures(self) -> Callable[[int, int], None]:
        """What shows how many pictures are computed."""
        began = time.monotonic()

        def told(done: int, total: int) -> None:
            left = (total - done) * (time.monotonic() - began) / done
            self.show(Status("pictures", done, total, left, {}))

        return told

    def check(self) -> None:
        """Learn a handful by heart, alone. Raises ModelError where that fails."""
        set_dropout(self.setup.model, 0.0)
        setup = replace(self.setup, recipe=handful(self.setup.recipe), processes=Processes())
        found = check(setup, _task(setup))
        set_dropout(self.setup.model, self.recipe.dropout)
        if self.processes.first:
            self.tell(found)
        if not found.learns:
            raise ModelError(
                str(found),
                "Look at the learning rate (too low, or far too high), at what is frozen, and at the captions: equal "
                "ones for different images cannot be told apart.",
            )

    def train(self, spread: bool) -> None:
        """The task's own stage and, where it is wanted, self-critical training."""
        recipe, setup = self.recipe, self.setup
        if self.processes.first:
            for alarm in check_captions([one.captions for one in self.samples.train]):
                self.tell(alarm)
        self.task = _task(setup)
        if spread:
            from seesay.training.sharding import Sharded  # needs a torch that has distributed tensors

            self.setting = replace(self.setting, held=Sharded(setup.model, self.task.beside.module))
        self._fit("tuning", self.task, recipe.optimisation.accumulate, recipe.seed)
        if recipe.self_critical:
            set_dropout(setup.model, 0.0)  # what is rewarded is what the model would say
            task = SelfCritical(setup, recipe.self_critical)
            self._fit("self_critical", task, recipe.self_critical.optimisation.accumulate, recipe.seed + 1)

    def _fit(self, stage: str, task: Task, accumulate: int, seed: int) -> None:
        plan = self.recipe.optimisation
        if stage == "self_critical":
            assert self.recipe.self_critical
            plan = self.recipe.self_critical.optimisation
        fit(
            self.setting,
            stage,
            self.setup.model,
            plan,
            steps_of(task, self.setup, seed, accumulate),
            lambda: task.validate(plan.validate_images),
            SCORES[self.recipe.task],
            task.beside,
            Monitor(detectors(plan.warm_up, plan.steps)),
        )

    def export(self) -> None:
        """The checkpoint, its scores on all that was held out, and its card."""
        with self.setting.held.gathered():
            if self.processes.first and not (self.output / "scores.json").exists():
                self._export()
        self.processes.agree(0.0)

    def _export(self) -> None:
        setup, task, folder = self.setup, self.task, self.output / "model"
        config = task.config if isinstance(task, Pairing) else setup.model.config
        write_checkpoint(folder, config, arrays(setup.model), setup.checkpoint.vocabulary)
        setup.model.eval()
        scores = task.validate(None)
        count = sum(parameter.numel() for parameter in trained(setup.model).values())
        alarms = [alarm.what for alarm in check_captions([one.captions for one in self.samples.train])]
        alarms += [alarm for stage in ("tuning", "self_critical") for alarm in alarms_in(self.output / stage)]
        write_card(folder, self.recipe, self.samples, scores, alarms, self.fresh, count)
        write_atomically(self.output / "scores.json", json.dumps(scores, indent=2))


def _batch(recipe: Tuning, usable: int, processes: int) -> int:
    """Images of a step: those of the recipe, or as many as there are and all can take equal parts of."""
    plans = [recipe.optimisation, *([recipe.self_critical.optimisation] if recipe.self_critical else [])]
    parts = processes * lcm(*(plan.accumulate for plan in plans))
    if usable < parts:
        raise UsageError(
            f"{usable} images cannot be taken in {parts} parts",
            "Accumulate fewer (--accumulate), or use fewer processes.",
        )
    return recipe.batch if recipe.batch <= usable else usable // parts * parts


def _task(setup: Setup) -> Task:
    """What the recipe's task learns by."""
    match setup.recipe.task:
        case "caption":
            return Captioning(setup)
        case "vqa":
            return Answering(setup)
        case _:
            return Pairing(setup)
