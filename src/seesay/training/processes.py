"""Several processes that train one model, on one machine or several (`torchrun` starts them), or one alone."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from seesay.training.batches import Part

LONGEST_WAIT = timedelta(days=1)  # the others wait while the first prepares the data or validates


@dataclass(frozen=True, slots=True)
class Processes:
    """This process among those of the run."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that validates, logs and writes files."""
        return self.rank == 0

    @property
    def part(self) -> Part:
        """This process's part of a batch."""
        return self.rank, self.count

    def sum_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Each process gets the sum over all: the gradient of the whole batch, where losses add up over its parts.

        One flat tensor travels instead of one for each parameter; a parameter that this step did not use counts as 0.
        """
        if self.count == 1:
            return
        flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in parameters])
        dist.all_reduce(flat)
        parts = torch.split(flat, [p.numel() for p in parameters])
        for parameter, gradient in zip(parameters, parts, strict=True):
            parameter.grad = gradient.view_as(parameter)

    def agree(self, value: float) -> float:
        """What the first process says; the others' values are ignored. All wait for it here."""
        if self.count == 1:
            return value
        said: Tensor = torch.tensor(value, dtype=torch.float64)
        dist.broadcast(said, src=0)
        return said.item()

    def total(self, value: float) -> float:
        """The sum over all processes."""
        if self.count == 1:
            return value
        summed: Tensor = torch.tensor(value, dtype=torch.float64)
        dist.all_reduce(summed)
        return summed.item()

    def gather(self, rows: Tensor) -> Tensor:
        """Rows of all processes, the first's in front; each has as many. Gradients go back to where a row came from."""
        if self.count == 1:
            return rows
        gathered: Tensor = _Gather.apply(rows, self)  # type: ignore[no-untyped-call]
        return gathered

    def gather_texts(self, texts: Sequence[Sequence[int]]) -> list[Sequence[int]]:
        """Texts as tokens, of all processes in their order."""
        if self.count == 1:
            return list(texts)
        parts: list[list[Sequence[int]]] = [[] for _ in range(self.count)]
        dist.all_gather_object(parts, list(texts))
        return [text for part in parts for text in part]


class _Gather(torch.autograd.Function):
    """All rows for all; on the way back, each process gets what all others have to say to its own rows."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, processes: Processes) -> Tensor:
        ctx.processes = processes
        parts = [torch.empty_like(rows, memory_format=torch.contiguous_format) for _ in range(processes.count)]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        summed = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(summed)
        return summed.chunk(ctx.processes.count)[ctx.processes.rank], None


@contextmanager
def joined() -> Iterator[Processes]:
    """The processes that torchrun started with this one, told by its environment; without torchrun, this one alone."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Processes()
        return
    # Gloo cannot gather what lies on a GPU; NCCL can, but not what lies on the CPU.
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=LONGEST_WAIT)
    try:
        yield Processes(dist.get_rank(), count)
    finally:
        dist.destroy_process_group()
