"""LoRA (arXiv 2106.09685): the weights stay as they are, and small matrices beside the attention's learn.

Names of the weights do not change, so that a model with LoRA loads and saves as any other; the small matrices go into
the weights at the end (`merged`), and inference knows nothing of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from math import sqrt

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from seesay.blip.model import Blip

ATTENTION = ("qkv", "query", "key", "value", "projection")
"""Linears that get small matrices beside them: the attention's, in both towers and between them."""
DOWN, UP = "lora_down", "lora_up"


class LoraLinear(nn.Linear):
    """A frozen linear and what is learnt beside it: weight + up @ down, which begins as nothing."""

    def __init__(self, linear: nn.Linear, rank: int) -> None:
        super().__init__(linear.in_features, linear.out_features, linear.bias is not None, device="meta")
        self.weight, self.bias = linear.weight, linear.bias
        like = linear.weight
        self.lora_down = nn.Parameter(like.new_empty(rank, linear.in_features).normal_(0, 1 / sqrt(rank)))
        self.lora_up = nn.Parameter(like.new_zeros(linear.out_features, rank))

    def forward(self, states: Tensor) -> Tensor:  # (..., in) -> (..., out)
        return super().forward(states) + F.linear(F.linear(states, self.lora_down), self.lora_up)

    def whole(self) -> Tensor:
        """The weight with what was learnt in it, (out, in)."""
        return self.weight + self.lora_up @ self.lora_down


def add_lora(model: Blip, rank: int) -> None:
    """Freeze the model and put small matrices of this rank beside its attention's linears; only they are trained."""
    model.requires_grad_(False)
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if name in ATTENTION and type(child) is nn.Linear and not isinstance(parent, Blip):
                setattr(parent, name, LoraLinear(child, rank))


def merged(model: Blip) -> Mapping[str, Tensor]:
    """The model's weights under a checkpoint's names, LoRA's small matrices within them."""
    # Not `state_dict`, at which weights that are spread over processes and gathered for now would go apart again.
    state = {
        f"{prefix}.{name}" if prefix else name: value.detach()
        for prefix, module in model.named_modules(remove_duplicate=False)
        for name, value in chain(module.named_parameters(recurse=False), module.named_buffers(recurse=False))
    }
    with torch.no_grad():
        for name, module in model.named_modules(remove_duplicate=False):
            if isinstance(module, LoraLinear):
                state[f"{name}.weight"] = module.whole()
                del state[f"{name}.{DOWN}"], state[f"{name}.{UP}"]
    return state


def arrays(model: Blip) -> dict[str, NDArray[np.float32]]:
    """The same as arrays. Copies: memory that an array shares cannot be let go, as that of spread weights is."""
    return {name: value.to("cpu", torch.float32, copy=True).numpy() for name, value in merged(model).items()}
