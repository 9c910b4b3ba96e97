"""What fine-tuning's tests train on: coloured pictures with a white mark somewhere, and captions that say both."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image

from seesay.blip.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from seesay.blip.config import BlipConfig, Task, TextConfig, VisionConfig
from seesay.blip.model import Blip, to_arrays
from seesay.training.recipe import Optimisation
from seesay.training.tuning_recipe import Dataset, Tuning

COLOURS = ("red", "green", "blue")
MARKS = {"boat": (4, 4, 20, 20), "tree": (28, 4, 44, 20), "cat": (4, 24, 20, 38), "dog": (28, 24, 44, 38)}
"""Where the mark is, and what captions call it."""
KINDS = [(colour, thing) for thing in MARKS for colour in COLOURS]


WORDS = "a the small sits in water red green blue boat tree cat dog yes no what colour is it where".split()
TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS, "[DEC]", "[ENC]"]


def write_start(folder: Path, task: Task = "caption", embedding: str = "patch") -> Checkpoint:
    """A checkpoint with fresh weights, plain ViT or hybrid, written to `folder`."""
    tower = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    vision = VisionConfig(**tower, image_size=32, patch_size=8, embedding=embedding)  # type: ignore[arg-type]
    text = TextConfig(
        **tower,
        vocab_size=len(TOKENS),
        encoder_hidden_size=32,
        max_position_embeddings=24,
        bos_token_id=TOKENS.index("[DEC]"),
        eos_token_id=TOKENS.index("[SEP]"),
        enc_token_id=TOKENS.index("[ENC]"),
    )
    config = BlipConfig(task=task, vision=vision, text=text, projection_dim=16)
    torch.manual_seed(0)
    write_checkpoint(folder, config, to_arrays(Blip(config)), TOKENS)
    return read_checkpoint(folder)


def captions_of(colour: str, thing: str) -> list[str]:
    return [f"a {colour} {thing}", f"the small {thing} sits in the {colour} water"]


def write_pictures(folder: Path, count: int) -> list[dict[str, object]]:
    """Pictures of all kinds in turn, and a row for each."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, object]] = []
    for number in range(count):
        colour, thing = KINDS[number % len(KINDS)]
        picture = Image.new("RGB", (48, 40), colour)
        picture.paste("white", MARKS[thing])
        picture.save(folder / "images" / f"{number}.png")
        questions = [
            {"question": "what is in the water", "answers": {thing: 1.0}},
            {"question": "what colour is the water", "answers": {colour: 0.7, "no": 0.3}},
        ]
        rows.append({"image": f"{number}.png", "captions": captions_of(colour, thing), "questions": questions})
    return rows


def write_dataset(
    folder: Path, count: int = 24, change: Callable[[list[dict[str, object]]], None] = lambda rows: None
) -> Path:
    """A JSON Lines data set in `folder`, its rows changed before they are written; its file."""
    rows = write_pictures(folder, count)
    change(rows)
    file = folder / "data.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


PLAN = Optimisation(
    steps=6,
    learning_rate=3e-3,
    warm_up=2,
    floor=0.1,
    pretrained=1.0,
    averaging=0.5,
    validate_every=6,
    save_every=2,
    log_every=1,
    precision="fp32",
    patience=9,
)
TUNING = Tuning(  # `data` is the folder of the data set
    name="tiny",
    task="caption",
    optimisation=PLAN,
    data=Dataset(dataset="data.jsonl", images="images"),
    batch=8,
    texts_per_image=2,
    dropout=0.1,
)


def lasting(steps: int, recipe: Tuning = TUNING, **changes: object) -> Tuning:
    """The recipe with so many steps, validated at the end only."""
    return replace(recipe, optimisation=replace(recipe.optimisation, steps=steps, validate_every=steps), **changes)  # type: ignore[arg-type]
