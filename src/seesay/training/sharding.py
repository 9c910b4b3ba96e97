"""Weights, moments and slow copies spread over processes, for models that are too large for each to have them whole.

torch's `fully_shard` does it: each image layer is gathered when it is computed and let go afterwards, everything else
is gathered once a step; gradients are summed where a weight lives. What is frozen stays whole everywhere.

`Sharded(model, contrast)` comes before the optimiser and the running mean, and is what the loop's setting is `held` by:
each step is taken within it, gradients are then summed already, and weights, gradients and their norm are DTensors, of
which `holding` makes tensors for a file. While the first process validates, all weights are gathered.
With torch 2.13 and gloo two processes take the steps of one. Pre-training BLIP-base, 448 million weights with the slow
copies, leaves 5.5 GB resident on one process that has everything, and 2.3 GB on each of two (at the highest 6.6
and 4.6; each begins with the whole model).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard

from seesay.blip.model import Blip, VisionLayer
from seesay.training.loop import Step
from seesay.training.processes import Processes


class Sharded(nn.Module):
    """A model, and what an objective keeps beside it, of which each process has its part."""

    def __init__(self, model: Blip, *beside: nn.Module) -> None:
        """All processes call this with equal weights."""
        super().__init__()
        self.model, self.beside = model, nn.ModuleList(beside)
        mesh = init_device_mesh(next(model.parameters()).device.type, (dist.get_world_size(),))
        whole = {parameter for parameter in model.parameters() if not parameter.requires_grad}
        for layer in [module for module in self.modules() if isinstance(module, VisionLayer)]:
            fully_shard(layer, mesh=mesh, ignored_params=whole)
        fully_shard(self, mesh=mesh, ignored_params=whole)
        for module in self.modules():
            if isinstance(module, FSDPModule):
                module.set_gradient_divide_factor(1.0)  # losses of processes add up to that of the whole batch
                module.set_force_sum_reduction_for_comms(True)

    def forward(self, compute: Callable[[], Step]) -> tuple[Tensor, Step]:
        """A step, computed while the weights are there; its loss stands apart, where torch looks for it."""
        step = compute()
        return step.loss, step

    def take(self, compute: Callable[[], Step]) -> Step:
        """A step, computed while the weights are there."""
        step: Step = self(compute)[1]
        return step

    def sum_gradients(self, processes: Processes, parameters: Sequence[nn.Parameter]) -> None:
        """They are summed already."""

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """All weights whole on each process; what reads them may do so alone."""
        parts = [module for module in self.modules() if isinstance(module, FSDPModule)]
        for part in parts:
            part.set_reshard_after_forward(False, recurse=False)
            part.unshard()
        try:
            yield
        finally:
            for part in parts:
                part.reshard()
                part.set_reshard_after_forward(isinstance(part, VisionLayer), recurse=False)  # as it was
