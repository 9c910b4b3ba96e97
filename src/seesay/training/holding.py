"""Where a model's weights are while it is trained: whole on every process, or spread over all of them (`sharding`).

A spread weight is torch's DTensor: it has the shape of the whole, and a part of it lies here. Files hold whole tensors,
so a run may go on with another number of processes, and a finished model tells nothing of how it was held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from seesay.training.processes import Processes

if TYPE_CHECKING:
    from seesay.training.loop import Step


class Held(Protocol):
    """How the weights are held. All processes call these at once."""

    def take(self, compute: Callable[[], Step]) -> Step:
        """A step, computed while the weights are there."""
        ...

    def sum_gradients(self, processes: Processes, parameters: Sequence[nn.Parameter]) -> None:
        """Gradients of the whole batch, where each weight is."""
        ...

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """All weights whole on each process, for whoever reads or uses them alone; nothing is trained meanwhile."""
        ...


class Everywhere:
    """Each process has all weights."""

    def take(self, compute: Callable[[], Step]) -> Step:
        return compute()

    def sum_gradients(self, processes: Processes, parameters: Sequence[nn.Parameter]) -> None:
        processes.sum_gradients(parameters)

    @contextmanager
    def gathered(self) -> Iterator[None]:
        yield


def whole(value: Tensor) -> Tensor:
    """The tensor, whole on every process. All processes call this at once."""
    return value.full_tensor() if hasattr(value, "full_tensor") else value


def local(value: Tensor) -> Tensor:
    """What of the tensor lies here: all of it, or a part. Changed in place, the tensor changes."""
    part: Tensor = value.to_local() if hasattr(value, "to_local") else value
    return part


def whole_state(state: Any) -> Any:
    """The same of all tensors in a state; those that were spread come to the CPU one by one."""
    if isinstance(state, Tensor):
        return whole(state).cpu() if hasattr(state, "full_tensor") else state
    if isinstance(state, Mapping):
        return {name: whole_state(value) for name, value in state.items()}
    return state


def as_held(value: Tensor, like: Tensor) -> Tensor:
    """The whole `value`, spread as `like` is."""
    if not hasattr(like, "full_tensor"):
        return value
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(like, DTensor)
    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements)


def load_moments(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Put a whole state into an optimiser, each moment where its weight is."""
    optimizer.load_state_dict(state)
    for parameter, moments in optimizer.state.items():
        for name, value in moments.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                moments[name] = as_held(value, parameter)
