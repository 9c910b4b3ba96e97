"""What the optimiser is given: the weights that learn, in groups, the rate of each at each step, and the arithmetic."""

from __future__ import annotations

import math
import platform
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import nn

from seesay.blip.config import BlipConfig
from seesay.blip.model import Blip
from seesay.training.recipe import Optimisation


@contextmanager
def denormals_flushed() -> Iterator[None]:
    """Denormal numbers count as zero within, in this thread: AdamW's moments of embeddings that are not used sink to
    them, which a CPU adds ten times slower."""
    before = sys.float_info.min / 2 == 0.0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def trained(module: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that are not frozen, by name."""
    return {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}


def learning_rate(plan: Optimisation, step: int) -> float:
    """The learning rate of a step, counted from 0, before the groups' factors."""
    done = step / plan.steps
    left = (1 + math.cos(math.pi * done)) / 2 if plan.decay == "cosine" else 1 - done
    warm = min(1.0, (step + 1) / plan.warm_up) if plan.warm_up else 1.0
    return plan.learning_rate * warm * (plan.floor + (1 - plan.floor) * left)


def parameter_groups(model: Blip, plan: Optimisation) -> list[dict[str, Any]]:
    """AdamW's groups: new matrices at the full rate; what came with the text tower, vectors and embeddings slower.

    With a layer decay each group falls into several, one for each depth.
    """
    kinds = (
        (1.0, plan.weight_decay),
        (plan.pretrained, plan.weight_decay),
        (plan.pretrained, 0.0),
        (plan.adapted, plan.weight_decay),
    )
    found: dict[tuple[int, int], list[nn.Parameter]] = {}
    for name, parameter in trained(model).items():
        if ".embeddings.adapted." in name:
            kind = 3
        elif parameter.ndim < 2 or "embedding" in name:
            kind = 2
        elif name.startswith(("text_decoder.bert.", "text_encoder.")) and "crossattention" not in name:
            kind = 1
        else:
            kind = 0
        depth = layers_above(name, model.config) if plan.layer_decay < 1 else 0
        found.setdefault((kind, depth), []).append(parameter)
    return [
        {"params": found[kind, depth], "scale": scale * plan.layer_decay**depth, "weight_decay": decay}
        for kind, depth in sorted(found)
        for scale, decay in (kinds[kind],)
    ]


def layers_above(name: str, config: BlipConfig) -> int:
    """How deep in its tower a weight lies: 0 above the layers, 1 in the uppermost, most in the embeddings."""
    layers = (config.vision if name.startswith("vision_model.") else config.text).num_hidden_layers
    if layer := re.search(r"\.encoder\.layers?\.(\d+)\.", name):
        return layers - int(layer[1])
    return layers + 1 if ".embeddings." in name else 0


def autocast(device: str, plan: Optimisation) -> torch.autocast:
    """The arithmetic that a plan asks for; fp32 where a processor only imitates bf16, ten times as slowly."""
    dtype = torch.float16 if plan.precision == "fp16" else torch.bfloat16
    imitated = plan.precision == "bf16" and device == "cpu" and not has_bf16()
    return torch.autocast(device, dtype, enabled=plan.precision != "fp32" and not imitated)


@cache
def has_bf16() -> bool:
    """Whether this processor multiplies in bf16 by instructions of its own (AVX-512 BF16, AMX, Arm's BF16)."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    found: bool = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    if platform.machine().lower() in ("x86_64", "amd64"):  # there oneDNN also says so of AVX-512 without BF16
        return found and getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)()
    return found
