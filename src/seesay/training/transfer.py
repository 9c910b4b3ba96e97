"""A model for a task from a checkpoint that may have been made for another, and what of it is trained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Literal

import torch
from torch.utils.checkpoint import checkpoint as recomputed

from seesay.blip.checkpoint import Checkpoint
from seesay.blip.config import Task
from seesay.blip.model import Blip, TextLayer, VisionLayer, from_checkpoint
from seesay.errors import UsageError
from seesay.training.lora import add_lora

Frozen = Literal["nothing", "backbone", "image"]

TOWERS = ("text_encoder.", "text_decoder.bert.")
"""Both are one text transformer in two roles: where a checkpoint lacks one, it starts as the other."""


def for_task(checkpoint: Checkpoint, task: Task, dropout: float) -> tuple[Blip, tuple[str, ...]]:
    """A model with the heads of `task`, and the names of its weights that the checkpoint has nothing for.

    Those are drawn, so seed torch first; all others are the checkpoint's, or its other text tower's.
    """
    if checkpoint.config.task == task:
        return from_checkpoint(checkpoint, dropout), ()
    model = Blip(replace(checkpoint.config, task=task), dropout)
    fresh = []
    with torch.no_grad():
        for name, weight in model.state_dict().items():
            sources = (source for source in _sources(name) if source in checkpoint.weights)
            for source in sources:
                value = torch.tensor(checkpoint.weights[source])
                if value.shape == weight.shape:
                    weight.copy_(value)
                    break
            else:
                fresh.append(name)
    return model, tuple(fresh)


def _sources(name: str) -> Iterator[str]:
    yield name
    for own, other in (TOWERS, TOWERS[::-1]):
        if name.startswith(own):
            yield other + name.removeprefix(own)


def prepare_training(model: Blip, freeze: Frozen | None, rank: int, fresh: tuple[str, ...]) -> Frozen:
    """Let the model learn in the parts that it shall: what of the image side is frozen in the end.

    freeze: None freezes the hybrid's network, and nothing of another model. rank: LoRA's, or 0 to train the weights
    themselves. What is fresh is always trained. Raises UsageError for a plain ViT's backbone, which it has not.
    """
    hybrid = model.config.vision.embedding == "efficientnet_lite2"
    frozen: Frozen = freeze or ("backbone" if hybrid else "nothing")
    if frozen == "backbone" and not hybrid:
        raise UsageError("A plain ViT has no network before it to freeze", "Freeze the image side, or nothing.")
    if rank:
        if hybrid and frozen == "nothing":
            raise UsageError("LoRA leaves the hybrid's network as it is", "Freeze the backbone or the image side.")
        add_lora(model, rank)
        for name, parameter in model.named_parameters():
            if name in fresh:
                parameter.requires_grad_(True)
    if hybrid and frozen != "nothing":
        model.vision_model.embeddings.backbone.requires_grad_(False)
    if model.config.vision.concept_words:
        model.vision_model.concepts.classifier.requires_grad_(False)  # what it names is fixed in words
    if frozen == "image":
        model.vision_model.requires_grad_(False)
    return frozen


def recompute_layers(model: Blip) -> None:
    """Let each layer's activations be computed again on the way back, instead of kept (arXiv 1604.06174)."""
    for module in model.modules():
        if isinstance(module, (VisionLayer, TextLayer)):
            module.forward = partial(recomputed, module.forward, use_reentrant=False)  # type: ignore[method-assign]
