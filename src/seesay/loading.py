"""A model by its name, ready to describe: where the parts of the road are put together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from seesay.describe import Blip, Describer
from seesay.errors import MissingExtra, ModelNotFound, UsageError
from seesay.images.limits import DEFAULT_LIMITS, Limits
from seesay.models import ModelFolder, Service, is_blip, resolve
from seesay.settings import load_settings

if TYPE_CHECKING:
    from seesay.backends.api import ApiModel
    from seesay.engine.base import Engine, Precision
    from seesay.settings import Settings


def load(
    model: str | Path | None = None,
    *,
    precision: Precision | None = None,
    threads: int | None = None,
    offline: bool | None = None,
    cache: str | Path | None = None,
    engine: Literal["onnx", "torch"] = "onnx",
    device: str | None = None,
    limits: Limits = DEFAULT_LIMITS,
    max_cost: float | None = None,
) -> Describer:
    """A model that describes pictures: the one inside the package, or another by name, hub id or folder, or one behind
    an API, such as "openai:gpt-4o-mini", "ollama:llava:13b" or "openai:MODEL@http://localhost:8000/v1".

    A hub id or folder is a BLIP, for our own engines, or any other checkpoint that transformers runs from an image and
    a text to a text, such as "Salesforce/blip2-opt-2.7b" (`TransformersModel`).
    What is not given is taken from `SEESAY_*` variables, the user's configuration file, and defaults, in that order.
    The first use of a BLIP converts it (seconds to a minute) and keeps the result in the cache. `engine="torch"` with
    `device="cuda"` is for graphics cards; models of transformers need the device alone. `max_cost`: dollars that a
    model behind an API may cost (`ApiModel`).

    Raises ModelNotFound, DownloadError, CheckpointError, ServiceError, MissingExtra, UsageError.
    """
    settings = load_settings(
        model=None if model is None else str(model),
        precision=precision,
        threads=threads,
        device=device,
        offline=offline,
        cache=cache,
    )
    if service := Service.named(settings.model):
        if engine != "onnx" or device not in (None, "cpu"):
            raise UsageError(f"{service.name} computes elsewhere", "Leave engine and device out.")
        return _behind_api(service, settings, limits, max_cost)
    found = resolve(settings.model, settings)
    if is_blip(found):
        if engine == "onnx" and device not in (None, "cpu"):
            raise UsageError(f"The ONNX engine does not run on {device}", 'Add engine="torch", or leave device out.')
        return _blip(found, settings, engine, limits)
    from seesay.backends.transformers import TransformersModel

    return TransformersModel(
        found.name,
        found.path,
        device=settings.device,
        precision=settings.precision,
        threads=settings.threads,
        limits=limits,
        revision=found.revision,
    )


def _behind_api(service: Service, settings: Settings, limits: Limits, max_cost: float | None) -> ApiModel:
    from seesay.backends.api import ApiModel, is_near

    if settings.offline and not is_near(service):
        raise ModelNotFound(
            f"{service.name} is on the network, and offline nothing is asked",
            "Leave offline out, or use another model.",
        )
    return ApiModel(service, max_cost=max_cost, limits=limits)


def _blip(found: ModelFolder, settings: Settings, engine: Literal["onnx", "torch"], limits: Limits) -> Blip:
    from seesay.blip.checkpoint import read_checkpoint

    checkpoint = read_checkpoint(found.path)
    arithmetic: Engine
    if engine == "onnx":
        from seesay.engine.onnx import OnnxEngine

        arithmetic = OnnxEngine(checkpoint, settings.precision, settings.threads, settings.cache)
    else:
        try:
            from seesay.engine.torch import TorchEngine
        except ImportError as error:
            raise MissingExtra("The torch engine", "torch") from error
        arithmetic = TorchEngine(checkpoint, settings.precision, settings.threads, settings.device)
    return Blip(checkpoint, arithmetic, found.name, limits, found.revision)
