"""A model by its name, ready to describe: where the parts of the road are put together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from seesay.describe import Blip
from seesay.errors import UsageError
from seesay.images.limits import DEFAULT_LIMITS, Limits
from seesay.models import resolve
from seesay.settings import load_settings

if TYPE_CHECKING:
    from seesay.engine.base import Engine, Precision


def load(
    model: str | Path | None = None,
    *,
    precision: Precision | None = None,
    threads: int | None = None,
    offline: bool | None = None,
    cache: str | Path | None = None,
    engine: Literal["onnx", "torch"] = "onnx",
    device: str = "cpu",
    limits: Limits = DEFAULT_LIMITS,
) -> Blip:
    """A model that describes pictures: the one inside the package, or another by name, hub id or folder.

    What is not given is taken from `SEESAY_*` variables, the user's configuration file, and defaults, in that order.
    The first use of a model converts it (seconds to a minute) and keeps the result in the cache. `engine="torch"`
    with `device="cuda"` is for graphics cards.

    Raises ModelNotFound, DownloadError, CheckpointError, MissingExtra, UsageError.
    """
    from seesay.blip.checkpoint import read_checkpoint

    settings = load_settings(
        model=None if model is None else str(model), precision=precision, threads=threads, offline=offline, cache=cache
    )
    found = resolve(settings.model, settings)
    checkpoint = read_checkpoint(found.path)
    arithmetic: Engine
    if engine == "onnx":
        if device != "cpu":
            raise UsageError(f"The ONNX engine does not run on {device}", 'Add engine="torch", or leave device out.')
        from seesay.engine.onnx import OnnxEngine

        arithmetic = OnnxEngine(checkpoint, settings.precision, settings.threads, settings.cache)
    else:
        from seesay.engine.torch import TorchEngine

        arithmetic = TorchEngine(checkpoint, settings.precision, settings.threads, device)
    return Blip(checkpoint, arithmetic, found.name, limits, found.revision)
