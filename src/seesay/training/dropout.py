"""Dropout with one mask for all positions of a row."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seesay.blip.model import TextSelfAttention


class LockedDropout(nn.Module):
    """Drops the same channels at every position of a row (variational dropout, arXiv 1512.05287).

    A caption of 19 tokens needs 19 times fewer random numbers, which on a CPU cost more than the layers they perturb.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, states: Tensor) -> Tensor:  # (R, T, D)
        if not self.training or not self.p:
            return states
        kept = torch.rand(states.shape[0], 1, states.shape[-1], device=states.device) >= self.p
        return states * (kept.to(states.dtype) / (1 - self.p))


def lock_dropout(model: nn.Module) -> None:
    """Put a locked dropout of the same strength in the place of each plain one."""
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.Dropout):
                setattr(parent, name, LockedDropout(child.p))


def set_dropout(model: nn.Module, p: float) -> None:
    """Change the strength of every locked dropout, and of the attention's own."""
    for module in model.modules():
        if isinstance(module, LockedDropout):
            module.p = p
        elif isinstance(module, TextSelfAttention):
            module.dropout = p
