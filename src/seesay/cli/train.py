"""`seesay train`: a model learns from your pictures."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seesay.cli.formats import printable
from seesay.cli.options import model_names
from seesay.cli.status import duration
from seesay.errors import MissingExtra, UsageError

if TYPE_CHECKING:
    from seesay.training.check import Checked
    from seesay.training.diagnostics import Alarm
    from seesay.training.loop import Status
    from seesay.training.recipe import Recipe
    from seesay.training.tuning_recipe import Tuning

TASKS = ("caption", "retrieval", "vqa", "pretrain")
EVERY = 60.0
"""Seconds between two lines of progress where nobody watches."""
FIRST = os.environ.get("RANK", "0") == "0"  # torchrun numbers the processes that it starts


@click.command(
    epilog="""Examples:

\b
  seesay train --recipe captioning-flickr8k --data DIR
  seesay train --task caption --from blip-base --data captions.jsonl --images photos --output runs/mine
  seesay train --task caption --from blip-large --lora 8 --precision fp16 --data "shards/{000..099}.tar" --check
  seesay train --task retrieval --from blip-itm-base-coco --data pairs.csv --layer-decay 0.9
  seesay train --task vqa --from blip-vqa-base --freeze image --data vqa.jsonl
  torchrun --nproc-per-node 2 -m seesay train --recipe captioning-flickr8k --data DIR

A run that was stopped goes on when the command is given again.
Exit status: 0 the model is there, 1 it is not, 2 the command cannot be meant, 130 interrupted.
"""
)
@click.option("--recipe", metavar="NAME|FILE", help="A whole run, from a YAML file. [default: the task's]")
@click.option("--task", type=click.Choice(TASKS), help="What to learn.")
@click.option("--from", "model", metavar="NAME|HF-ID|FOLDER", shell_complete=model_names, help="Where to start.")
@click.option("--data", metavar="DATASET", required=True, help="The data set, or the folder that the recipe's is in.")
@click.option("--images", type=click.Path(path_type=Path), help="The folder of its pictures.")
@click.option("--split", help="The split to train on, several as train+restval.")
@click.option("--validation-split", help="The split to validate on. [default: val, or a twentieth that is held out]")
@click.option("--validation-data", metavar="DATASET", help="Another data set to validate on.")
@click.option("--output", "-o", type=click.Path(path_type=Path, file_okay=False), help="[default: runs/RECIPE]")
@click.option("--check", is_flag=True, help="First learn a handful of samples by heart, to see whether that can work.")
@click.option("--freeze", type=click.Choice(["nothing", "backbone", "image"]), help="What of the image side stays.")
@click.option("--lora", type=click.IntRange(min=0), metavar="RANK", help="Learn small matrices beside the weights.")
@click.option("--steps", type=click.IntRange(min=1), help="How many; warm-up and validations stretch with them.")
@click.option("--learning-rate", type=float, help="At its height.")
@click.option("--layer-decay", type=float, help="Factor on it from each layer to the one below.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Images for each step.")
@click.option("--accumulate", type=click.IntRange(min=1), help="Parts that a batch is taken in, to save memory.")
@click.option("--checkpointing", is_flag=True, default=None, help="Compute layers twice, to save memory.")
@click.option("--shard", is_flag=True, help="Divide the weights among the processes too, for a large model (FSDP).")
@click.option("--precision", type=click.Choice(["bf16", "fp16", "fp32"]), help="Arithmetic of the forward pass.")
@click.option("--image-size", type=click.IntRange(min=16), help="Side of the pictures in pixels.")
@click.option("--prompt", help="Words that every caption begins with.")
@click.option("--augment/--no-augment", default=None, help="Random crops, mirror images, RandAugment.")
@click.option("--self-critical", type=click.IntRange(min=1), metavar="STEPS", help="Then train captions on CIDEr.")
@click.option("--seed", type=click.IntRange(min=0), help="The same seed gives the same run.")
@click.option("--offline", is_flag=True, default=None, help="Never touch the network.")
def train(data: str, output: Path | None, check: bool, shard: bool, offline: bool | None, **given: Any) -> None:
    """Fine-tune a model, or train one by a recipe.

    DATASET is what `seesay.data.read_dataset` knows: a folder or file of Flickr or COCO captions, a table, WebDataset
    shards. The output folder gets logs, a plot of the losses, and model/, which every other command takes as --model.
    """
    from seesay.training.recipe import Recipe
    from seesay.training.tuning_recipe import find_recipe, read_any

    if not given["recipe"] and not given["task"]:
        raise UsageError("What is to be learnt?", "Name a --task or a --recipe.")
    recipe = read_any(find_recipe(given["recipe"] or given["task"]))
    if find_spec("torch") is None:
        raise MissingExtra("Training", "train")
    output = output or Path("runs") / recipe.name
    progress = _Progress()
    if isinstance(recipe, Recipe):
        given["shard"] = shard or None
        folder = _by_recipe(recipe, Path(data), output, check, given, progress)
    else:
        folder = _tune(_changed(recipe, given), data, output, check, shard, offline, progress)
    progress.end()
    if FIRST:
        click.echo(printable(str(folder)))


def _by_recipe(
    recipe: Recipe, data: Path, output: Path, check: bool, given: dict[str, Any], progress: _Progress
) -> Path:
    """The built-in model's own road, which has nothing to choose."""
    if chosen := [name for name, value in given.items() if value is not None and name != "recipe"]:
        raise UsageError(f"The recipe {recipe.name} decides on {', '.join(chosen)}", "Change a copy of its file.")
    if check:
        raise UsageError(f"The recipe {recipe.name} cannot be checked first", "Leave --check out.")
    from seesay.training.run import run

    return run(recipe, data, output, progress.show)


def _tune(
    recipe: Tuning, data: str, output: Path, check: bool, shard: bool, offline: bool | None, progress: _Progress
) -> Path:
    from seesay.blip.checkpoint import read_checkpoint
    from seesay.models import resolve
    from seesay.settings import load_settings

    settings = load_settings(model=recipe.model, offline=offline)
    checkpoint = read_checkpoint(resolve(settings.model, settings).path)
    from seesay.training.tune import tune  # torch takes seconds; what is wrong with the rest is told at once

    return tune(
        recipe, checkpoint, Path(data), output, first_check=check, spread=shard, show=progress.show, tell=progress.tell
    )


def _changed(recipe: Tuning, given: dict[str, Any]) -> Tuning:
    """The recipe with what the command line says."""
    from seesay.training.tuning_recipe import Reinforcement, with_steps

    if given["task"] and given["task"] != recipe.task:
        raise UsageError(f"The recipe {recipe.name} is for {recipe.task}", "Leave --task out, or the recipe.")

    def chosen(**names: str) -> dict[str, Any]:
        return {field: given[name] for field, name in names.items() if given[name] is not None}

    plan = with_steps(recipe.optimisation, given["steps"]) if given["steps"] else recipe.optimisation
    plan = replace(
        plan,
        **chosen(
            learning_rate="learning_rate", layer_decay="layer_decay", accumulate="accumulate", precision="precision"
        ),
    )
    data = replace(recipe.data, **chosen(train="split", validation="validation_split"))
    if given["validation_data"]:
        data = replace(data, validation_dataset=str(Path(given["validation_data"]).absolute()))
    if given["images"]:
        data = replace(data, images=str(given["images"].absolute()))
    critical = recipe.self_critical
    if given["self_critical"]:
        rewarded = critical.optimisation if critical else replace(plan, learning_rate=plan.learning_rate / 5)
        critical = replace(
            critical or Reinforcement(optimisation=rewarded), optimisation=with_steps(rewarded, given["self_critical"])
        )
    same = ("model", "freeze", "lora", "checkpointing", "image_size", "prompt", "augment", "seed")
    return replace(
        recipe,
        optimisation=plan,
        data=data,
        self_critical=critical,
        **chosen(batch="batch_size", **{name: name for name in same}),
    )


class _Progress:
    """How far it is and how long yet: a line at the bottom of a terminal, elsewhere a line a minute."""

    def __init__(self) -> None:
        self._shown = FIRST
        self._terminal = sys.stderr.isatty()
        self._next = time.monotonic() + EVERY
        self._open = False

    def show(self, status: Status) -> None:
        if not self._shown or not (self._terminal or time.monotonic() >= self._next):
            return
        self._next = time.monotonic() + EVERY
        figures = "".join(f"  {name} {value:.3f}" for name, value in status.figures.items())
        line = f"{status.stage} {status.step}/{status.steps}  {duration(status.seconds_left)} left{figures}"[:99]
        click.echo(f"\r\x1b[K{line}" if self._terminal else line, nl=not self._terminal, err=True)
        self._open = self._terminal
        if status.step == status.steps:
            self.end()

    def tell(self, told: Alarm | Checked) -> None:
        from seesay.training.check import Checked

        self.end()
        click.echo(printable(str(told) if isinstance(told, Checked) else f"alarm: {told}"), err=True)

    def end(self) -> None:
        """Leave the line as it is, and begin another."""
        if self._open:
            click.echo(err=True)
        self._open = False
