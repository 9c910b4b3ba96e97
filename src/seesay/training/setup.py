"""What every task of a fine-tuning run stands on: model, samples, pictures; and the model as its users will meet it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from seesay import describe
from seesay.blip.checkpoint import Checkpoint
from seesay.blip.model import Blip
from seesay.engine.base import Encoded
from seesay.engine.onnx import OnnxEngine
from seesay.tokenizer import Tokenizer
from seesay.training.loop import Beside, Step, Steps
from seesay.training.lora import arrays
from seesay.training.pictures import Draw, Pictures, ahead, draws, see
from seesay.training.processes import Processes
from seesay.training.samples import Sample
from seesay.training.tuning_recipe import Tuning

NAME = "in training"


@dataclass(frozen=True)
class Setup:
    """A run before its first step."""

    recipe: Tuning
    model: Blip
    checkpoint: Checkpoint
    """Where the model started; gives the vocabulary."""
    samples: Sequence[Sample]
    pictures: Pictures
    """Of the samples, in their order."""
    usable: Sequence[int]
    """Places of the samples that are trained on."""
    held_out: Sequence[int]
    """Places of those that are validated on."""
    processes: Processes
    device: str
    """"cpu" or "cuda"."""

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """That of the model's vocabulary."""
        text = self.checkpoint.config.text
        return Tokenizer(self.checkpoint.vocabulary, bos=text.bos_token_id, eos=text.eos_token_id)

    def features(self, images: Tensor) -> Tensor:
        """Features (B, N, D) of what `pictures` loaded."""
        return see(self.model, images.to(self.device))

    @torch.no_grad()
    def seen(self, places: Sequence[int]) -> list[describe.Seen]:
        """Samples' pictures as the model sees them, unchanged: what the describer takes."""
        images = self.pictures.load(places, None).to(self.device)
        features = see(self.model, images).float().cpu().numpy()
        vision = self.model.config.vision
        if not vision.concept_words:
            return [describe.Seen(Encoded(row[None]), NAME) for row in features]
        maps = self.model.backbone_features(images) if images.ndim == 4 else images
        concepts = self.model.concept_probabilities(maps).float().cpu().numpy()
        rows = zip(features, concepts, strict=True)
        return [describe.Seen(Encoded(row[None], chances[None]), NAME) for row, chances in rows]

    @contextmanager
    def describer(self) -> Iterator[describe.Blip]:
        """The verbs over the weights that the model has now."""
        checkpoint = replace(self.checkpoint, config=self.model.config, weights=arrays(self.model), key="training")
        if self.device != "cpu":
            from seesay.engine.torch import TorchEngine

            yield describe.Blip(checkpoint, TorchEngine(checkpoint, "fp32", device=self.device), NAME)
            return
        with closing(OnnxEngine(checkpoint, "fp32", torch.get_num_threads())) as engine:
            yield describe.Blip(checkpoint, engine, NAME)


class Task(Protocol):
    """What a run learns, and how well it does."""

    beside: Beside

    def step(self, draw: Draw) -> Step:
        """The loss on a batch, or on a part of it: losses of parts add up."""
        ...

    def validate(self, most: int | None) -> dict[str, float]:
        """Scores on held-out samples, `most` of them or all."""
        ...


def steps_of(task: Task, setup: Setup, seed: int, accumulate: int) -> Steps:
    """The task's steps on this process's parts of the batches."""
    rank, processes = setup.processes.part
    parts = [(rank * accumulate + turn, processes * accumulate) for turn in range(accumulate)]

    def steps(start: int) -> Iterator[Step]:
        batches = ahead(draws(setup.pictures, setup.usable, setup.recipe.batch, seed, start, parts))
        return (task.step(draw) for draw in batches)

    return steps
