"""How fast a model is on this machine, stage by stage: what `seesay bench` prints."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from seesay.describe import Blip, CaptionOptions, as_blip
from seesay.errors import MissingExtra, UsageError
from seesay.images import open_image, to_pixels
from seesay.loading import load

if TYPE_CHECKING:
    from seesay.engine.base import Precision

PHOTO = Path(__file__).parent / "builtin" / "cat.jpg"
STEPS = 12  # decoding steps that are timed, about a caption's length


@dataclass(frozen=True, slots=True)
class Measurement:
    """One stage's time: the median of several runs."""

    precision: str
    stage: str
    milliseconds: float
    """Of one picture."""


def measure(
    model: str | None = None,
    *,
    precisions: tuple[Precision, ...] = ("fp32", "int8"),
    threads: int | None = None,
    offline: bool | None = None,
    batches: tuple[int, ...] = (1, 8),
    repeats: int = 5,
) -> Iterator[Measurement]:
    """Milliseconds of each stage and of whole captions, per precision and batch size, as they are measured.

    Other programs on the machine slow all of it: compare figures of one run only.
    """
    for precision in precisions:
        blip = as_blip(load(model, precision=precision, threads=threads, offline=offline), "be measured")
        blip.caption(PHOTO)  # opens the graphs
        for stage, action in _stages(blip):
            yield Measurement(precision, stage, _median(action, repeats))
        for size in batches:
            pictures = [PHOTO] * size
            time_taken = _median(lambda pictures=pictures, blip=blip: blip.captions(pictures), repeats)  # type: ignore[misc]
            yield Measurement(precision, f"caption, beam 3, batch {size}", time_taken / size)
        greedy = CaptionOptions(beams=1)
        yield Measurement(precision, "caption, greedy", _median(lambda: blip.caption(PHOTO, greedy), repeats))  # noqa: B023


def against_transformers(
    model: str, *, threads: int | None = None, offline: bool | None = None, repeats: int = 5
) -> Iterator[Measurement]:
    """The same captions by transformers' `generate`, measured as they are asked for.

    Raises at once MissingExtra without it, UsageError for a checkpoint that it cannot load.
    """
    try:
        import torch
        from transformers import BlipForConditionalGeneration
    except ImportError as error:
        raise MissingExtra("A comparison with transformers", "compare") from error

    blip = as_blip(load(model, offline=offline), "be measured")
    if blip.checkpoint.config.vision.embedding != "patch":
        raise UsageError(
            "transformers cannot load the hybrid image encoder", "Compare blip-base or another public model."
        )
    if threads:
        torch.set_num_threads(threads)
    theirs = BlipForConditionalGeneration.from_pretrained(blip.checkpoint.folder)
    pixels = torch.from_numpy(blip.pixels(PHOTO))

    def generate(beams: int) -> None:
        with torch.inference_mode():
            theirs.generate(pixel_values=pixels, num_beams=beams, max_new_tokens=20)

    return (
        Measurement("transformers", name, _median(partial(generate, beams), repeats))
        for name, beams in (("caption, beam 3, batch 1", 3), ("caption, greedy", 1))
    )


def _stages(blip: Blip) -> Iterator[tuple[str, Callable[[], object]]]:
    config, engine = blip.checkpoint.config, blip.engine
    side = config.vision.image_size
    image = open_image(PHOTO, side=side)
    pixels = blip.pixels(PHOTO)
    features = engine.encode(pixels).features
    prompt = np.array([blip.tokenizer.bos])

    def steps(count: int) -> None:
        with engine.session(features, prompt, 3) as session:
            for _ in range(count):
                session.logits(np.argmax(session.first, axis=1).repeat(3))

    yield "decode the photo", lambda: open_image(PHOTO, side=side)
    yield "pixels", lambda: to_pixels(image, side, config.image_mean, config.image_std)
    yield "encode", lambda: engine.encode(pixels)
    yield "cross-attention and prompt", lambda: steps(0)
    yield f"the same and {STEPS} steps of 3 beams", lambda: steps(STEPS)


def _median(action: Callable[[], object], repeats: int) -> float:
    """Milliseconds of an action: the median of `repeats` runs after one that is not counted."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        action()
        times.append((time.perf_counter() - start) * 1000)
    return median(times[1:])
