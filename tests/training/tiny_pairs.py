"""Pairs for the tests of training's objectives: a small model with all heads, images that are noise, and captions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from tiny_training import CONFIG

from seesay.blip.config import BlipConfig, Task, VisionConfig
from seesay.blip.model import Blip
from seesay.training.pretraining import PairObjective, Pairs
from seesay.training.processes import Processes

CLS = 2
VIT = VisionConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64, image_size=32)


def pair_config(task: Task = "pretrain") -> BlipConfig:
    """The small model's text side under a plain ViT of 2 x 2 patches."""
    return replace(CONFIG, task=task, vision=VIT, projection_dim=16)


def pair_model(task: Task = "pretrain") -> Blip:
    """Fresh weights, the same each time, larger than usual: equal outputs would prove nothing."""
    torch.manual_seed(0)
    model = Blip(pair_config(task))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return model


def pairs(images: int, each: int = 1, start: int = 0) -> Pairs:
    """Images from `start` on with `each` captions, whose lengths differ."""
    pixels, captions = [], []
    for image in range(start, start + images):
        draw = torch.Generator().manual_seed(image)
        pixels.append(torch.randn(3, 32, 32, generator=draw))
        for k in range(each):
            length = 1 + (3 * image + k) % 5
            captions.append(torch.randint(4, 38, (length,), generator=draw).tolist())
    return Pairs(torch.stack(pixels), torch.arange(start, start + images), captions)


def objective(model: Blip, processes: Processes = Processes(), **changes: Any) -> PairObjective:  # noqa: B008  # frozen
    """With the paper's numbers, but a small queue and alpha at its height from the start."""
    return PairObjective(model, CLS, processes, **{"seed": 5, "ramp": 0, "queue": 12, **changes})
