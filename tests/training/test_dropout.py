"""Locked dropout: one mask for all positions of a row."""

from __future__ import annotations

import torch
from torch import nn

from seesay.training.dropout import LockedDropout, lock_dropout, set_dropout


def test_a_row_loses_the_same_channels_at_every_position() -> None:
    torch.manual_seed(0)
    out = LockedDropout(0.3)(torch.ones(200, 5, 16))
    assert torch.equal(out, out[:, :1].expand_as(out))
    assert not torch.equal(out[0], out[1])
    assert abs((out == 0).float().mean() - 0.3) < 0.03
    assert abs(out.mean() - 1) < 0.05  # what is left is scaled up


def test_nothing_is_dropped_in_evaluation_or_at_zero() -> None:
    states = torch.ones(4, 3, 8)
    assert torch.equal(LockedDropout(0.5).eval()(states), states)
    assert torch.equal(LockedDropout(0.0)(states), states)


def test_every_plain_dropout_is_replaced_and_can_be_set() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.1), nn.Sequential(nn.Dropout(0.2)))
    lock_dropout(model)
    assert [module.p for module in model.modules() if isinstance(module, LockedDropout)] == [0.1, 0.2]
    assert not any(isinstance(module, nn.Dropout) for module in model.modules())
    set_dropout(model, 0.0)
    states = torch.randn(2, 3, 8)
    assert torch.equal(model(states), model[0](states))
