"""Small random checkpoints for any task, in folders, whose scores differ from picture to picture and text to text."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from seesay.blip import layout
from seesay.blip.checkpoint import write_checkpoint
from seesay.blip.config import BlipConfig, Task, TextConfig, VisionConfig

WORDS = [
    *("a", "the", "cat", "dog", "horse", "boat", "tree", "on", "in", "with", "red", "blue", "green"),
    *("small", "large", "sits", "runs", "sleeps", "water", "grass", "sky", "man"),
]
TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS, "[DEC]", "[ENC]"]


def tiny_model(folder: Path, task: Task, seed: int = 0, text_layers: int = 1) -> Path:
    """A checkpoint of the public layout in `folder`, which is returned."""
    tower = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = BlipConfig(
        task=task,
        vision=VisionConfig(**tower, image_size=32, patch_size=16),
        text=TextConfig(
            **tower | {"num_hidden_layers": text_layers},
            vocab_size=len(TOKENS),
            encoder_hidden_size=32,
            max_position_embeddings=64,
            bos_token_id=TOKENS.index("[DEC]"),
            eos_token_id=TOKENS.index("[SEP]"),
            enc_token_id=TOKENS.index("[ENC]"),
        ),
        projection_dim=16,
    )
    random = np.random.default_rng(seed)

    def drawn(name: str, shape: tuple[int, ...]) -> np.ndarray:
        if "norm" in name.lower():
            return np.full(shape, name.endswith("weight"), np.float32)
        # What is seen weighs more than what was said, so that captions of pictures differ.
        deviation = 4.0 if "crossattention.output.dense.weight" in name else 1.0 if len(shape) > 1 else 0.1
        if "itm_head" in name:
            deviation = 0.3  # probabilities that are not all 0 or 1
        return random.normal(0, deviation, shape).astype(np.float32)

    weights = {name: drawn(name, shape) for name, shape in layout.shapes(config).items()}
    write_checkpoint(folder, config, weights, TOKENS)
    return folder
