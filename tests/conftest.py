"""What the command and the library are tried on: a small random checkpoint, a few drawn pictures, a clean machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seesay.blip import layout
from seesay.blip.checkpoint import write_checkpoint
from seesay.blip.config import BlipConfig, TextConfig, VisionConfig

WORDS = [
    *("a", "the", "cat", "dog", "horse", "boat", "tree", "on", "in", "with", "red", "blue", "green"),
    *("small", "large", "sits", "runs", "sleeps", "water", "grass", "sky", "man"),
]
TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS, "[DEC]", "[ENC]"]
COLOURS = ["red", "green", "blue", "yellow", "white", "black"]


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing that a test converts lands in the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the public layout: the real class, random weights large enough that captions of pictures differ."""
    config = BlipConfig(
        vision=VisionConfig(
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            image_size=32,
            patch_size=16,
        ),
        text=TextConfig(
            vocab_size=len(TOKENS),
            hidden_size=32,
            encoder_hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=64,
            bos_token_id=TOKENS.index("[DEC]"),
            eos_token_id=TOKENS.index("[SEP]"),
            enc_token_id=TOKENS.index("[ENC]"),
        ),
    )
    random = np.random.default_rng(0)

    def drawn(name: str, shape: tuple[int, ...]) -> np.ndarray:
        if "norm" in name.lower():
            return np.full(shape, name.endswith("weight"), np.float32)
        # What is seen weighs more than what was said, so that captions of pictures differ.
        deviation = 4.0 if "crossattention.output.dense.weight" in name else 1.0 if len(shape) > 1 else 0.1
        return random.normal(0, deviation, shape).astype(np.float32)

    weights = {name: drawn(name, shape) for name, shape in layout.shapes(config).items()}
    folder = tmp_path_factory.mktemp("models") / "tiny"
    write_checkpoint(folder, config, weights, TOKENS)
    return folder


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment variables of a machine with folders of its own and no network."""
    home = tmp_path_factory.mktemp("home")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SEESAY_", "HF_", "XDG_"))}
    return kept | {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_CACHE_HOME": str(home / "cache"),
        "HF_HOME": str(home / "hub"),
        "SEESAY_OFFLINE": "1",
        "SEESAY_PRECISION": "fp32",
        "SEESAY_THREADS": "1",
    }


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of six pictures that differ."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, colour in enumerate(COLOURS):
        Image.new("RGB", (40 + number, 40), colour).save(folder / f"{number}-{colour}.png")
    return folder
