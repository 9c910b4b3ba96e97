"""A model card's beginning: the facts of a run, in the file that hubs show. What the model is for, its authors add."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

import seesay
from seesay.training.prepare import write_atomically
from seesay.training.samples import Samples
from seesay.training.tuning_recipe import Tuning

PIPELINES = {"retrieval": "zero-shot-image-classification", "vqa": "visual-question-answering"}
"""What hubs call a task; the others are "image-to-text"."""


def write_card(
    folder: Path,
    recipe: Tuning,
    samples: Samples,
    scores: Mapping[str, float],
    alarms: Sequence[str],
    fresh: Sequence[str],
    trained: int,
) -> None:
    """Write README.md beside the weights. fresh: weights that the run began with drawn at random."""
    versions = {"seesay": seesay.__version__, "torch": torch.__version__, "numpy": np.__version__}
    versions["python"] = platform.python_version()
    lines = [
        "---",
        "library_name: seesay",
        f"pipeline_tag: {PIPELINES.get(recipe.task, 'image-to-text')}",
        f"base_model: {json.dumps(recipe.model)}",
        "---",
        "",
        f"# {recipe.name}",
        "",
        f"Trained for {recipe.task} by `seesay train`, from {recipe.model}. The trainer wrote this page: facts of",
        "the run. What the model is for, what it cannot do and its licence are for whoever publishes it to add.",
        "",
        "## Scores",
        "",
        f"On {len(samples.validation)} held-out images, by which the best weights of the run were also chosen.",
        "",
        *(f"- {name}: {value}" for name, value in scores.items()),
        "",
        "## Data",
        "",
        f"- trained on {len(samples.train)} images with "
        f"{sum(len(one.captions) for one in samples.train)} captions and "
        f"{sum(len(one.questions) for one in samples.train)} questions",
        f"- fingerprint of names, texts and file sizes: `{samples.fingerprint}`",
        "",
        "## Run",
        "",
        f"- {trained:,} weights trained" + (f", {len(fresh)} tensors drawn at random" if fresh else ""),
        *(f"- {name} {version}" for name, version in versions.items()),
        *(f"- alarm: {alarm}" for alarm in alarms),
        "",
        "```yaml",
        *_yaml(asdict(recipe)),
        "```",
        "",
    ]
    write_atomically(folder / "README.md", "\n".join(lines))


def _yaml(values: Mapping[str, Any], indent: str = "") -> list[str]:
    """The recipe as a file has it; JSON's scalars are YAML's."""
    lines = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            lines += [f"{indent}{name}:", *_yaml(value, indent + "  ")]
        else:
            lines.append(f"{indent}{name}: {json.dumps(value)}")
    return lines
