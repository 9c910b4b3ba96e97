"""A fine-tuning run as a file: a task, a model to start from, data, and a schedule; `tune` runs it.

`seesay/recipes/` has one for each task, with the paper's numbers where it gives them, and the runs that were published.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from seesay.blip.config import Task
from seesay.errors import UsageError
from seesay.training.recipe import Optimisation, Recipe, positive, read_yaml, section, share

RECIPES = (Path(__file__).parents[1] / "recipes", Path(__file__).parents[3] / "recipes")
"""Those in the package, and in a clone those of the models that were published."""

Kind = Literal["caption", "retrieval", "vqa", "pretrain"]
HEADS: Mapping[Kind, Task] = {"caption": "caption", "retrieval": "match", "vqa": "answer", "pretrain": "pretrain"}
"""What a checkpoint is called that such a run makes."""
SCORES: Mapping[Kind, str] = {"caption": "cider", "retrieval": "recall", "vqa": "accuracy", "pretrain": "recall"}
"""The figure of a validation by which the best weights are chosen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Where the examples are. Without splits in the data set itself, a twentieth is held out, 1,000 images at most."""

    dataset: str | None = None
    """What `seesay.data.read_dataset` takes, within the data folder; left out, the data folder is the data set."""
    images: str | None = None
    """The folder of images, within the data folder, where the data set does not know."""
    train: str | None = None
    """The split to train on, several as "train+restval". Left out: these two, or all that is not held out."""
    validation: str | None = None
    """The split to validate on. Left out: "val", or what is held out."""
    validation_dataset: str | None = None
    """Another data set to validate on, all of it unless `validation` names a split."""
    longest: int = 40
    """Tokens of a text; what is longer is cut."""

    def __post_init__(self) -> None:
        positive(self, "longest")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrastive:
    """What image-text contrastive learning needs beside the batch (paper, section 3.2, and its appendix)."""

    queue: int = 57_600
    momentum: float = 0.995
    alpha: float = 0.4
    """The slow towers' share in the targets, reached after an epoch."""

    def __post_init__(self) -> None:
        share(self, "momentum", "alpha")
        if self.queue < 0:
            raise UsageError(f"queue is {self.queue}", "Give 0 for none, or a number of vectors.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reinforcement:
    """Self-critical training on CIDEr after the task's own, for captioning."""

    optimisation: Optimisation
    samples: int = 5
    longest: int = 20
    """Tokens of a sample, its end included."""

    def __post_init__(self) -> None:
        positive(self, "longest")
        if self.samples < 2:
            raise UsageError(f"samples is {self.samples}", "Give 2 or more: each is compared with the others.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """A whole run."""

    name: str
    task: Kind
    optimisation: Optimisation
    model: str = "seesay-small"
    """Where it starts: what `seesay.load` takes."""
    data: Dataset = field(default_factory=Dataset)
    image_size: int | None = None
    """Side of the images; left out, the model's own."""
    freeze: Literal["nothing", "backbone", "image"] | None = None
    """What of the image side stays as it is, computed once and kept: all of it, or the hybrid's network. Left out, the
    hybrid's network, where there is one."""
    lora: int = 0
    """Rank of the small matrices that learn in place of the weights; 0 trains the weights themselves."""
    dropout: float = 0.1
    batch: int = 32
    """Images for each step, over all processes and accumulated parts."""
    texts_per_image: int = 1
    """Captions or questions of each image that a step takes."""
    matched: int | None = None
    """Of these captions, how many are matched, which costs the most: each is read three times beside an image. Left
    out, all of them."""
    matching_weight: float = 1.0
    """Of matching's loss beside the others; its gradient is small, so a short run needs more than 1."""
    augment: bool = True
    """Random crops, mirror images and RandAugment."""
    views: int = 4
    """What is computed once is kept in so many views: the image as it is, and augmented ones."""
    prompt: str = ""
    """Words that every caption begins with, and that cost no loss."""
    smoothing: float = 0.1
    checkpointing: bool = False
    """Compute each layer twice to keep less in memory."""
    contrastive: Contrastive = field(default_factory=Contrastive)
    self_critical: Reinforcement | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        positive(self, "batch", "texts_per_image", "views", "matching_weight")
        if self.matched is not None:
            positive(self, "matched")
        share(self, "dropout", "smoothing")
        if self.lora < 0:
            raise UsageError(f"lora is {self.lora}", "Give a rank such as 8, or 0 for none.")
        if self.self_critical and self.task != "caption":
            raise UsageError(f"{self.task} cannot be trained self-critically", "Leave self_critical out.")
        if self.batch % self.optimisation.accumulate:
            raise UsageError(
                f"A batch of {self.batch} cannot be taken in {self.optimisation.accumulate} parts",
                "Choose a batch that is a multiple of accumulate.",
            )


def find_recipe(name: str) -> Path:
    """The file of a recipe: one that comes with Seesay, or one of that path. Raises UsageError where there is none."""
    known = {path.stem: path for folder in RECIPES for path in sorted(folder.glob("*.yaml"))}
    if name in known:  # whatever is called so where the command is given
        return known[name]
    if (given := Path(name)).suffix in (".yaml", ".yml") or given.is_file():
        return given
    close = get_close_matches(name, known, n=1)
    raise UsageError(
        f"No recipe is called {name!r}", f"Did you mean {close[0]}?" if close else f"There are: {', '.join(known)}."
    )


def read_any(path: Path) -> Recipe | Tuning:
    """A recipe of either kind: one with a `task` fine-tunes. Raises UsageError, which names the entry and the file."""
    content = read_yaml(path)
    tunes = isinstance(content, Mapping) and "task" in content
    recipe: Recipe | Tuning = section(Tuning if tunes else Recipe, content, path)
    return recipe


def with_steps(plan: Optimisation, steps: int) -> Optimisation:
    """The plan for another number of steps, all that is counted in steps stretched with it."""
    share = steps / plan.steps
    return replace(
        plan,
        steps=steps,
        warm_up=round(plan.warm_up * share),
        validate_every=max(1, round(plan.validate_every * share)),
        save_every=max(1, min(plan.save_every, round(plan.validate_every * share))),
        log_every=max(1, min(plan.log_every, steps // 10)),
    )
