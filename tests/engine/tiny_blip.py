"""Tiny random BLIPs as checkpoints in memory, with the plain or the hybrid image encoder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from seesay.blip.checkpoint import Checkpoint
from seesay.blip.config import BlipConfig, Task, TextConfig, VisionConfig
from seesay.blip.model import Blip

TEXT = TextConfig(
    vocab_size=97,
    hidden_size=48,
    encoder_hidden_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=96,
    max_position_embeddings=40,
    bos_token_id=95,
    eos_token_id=2,
    enc_token_id=96,
)
TOWER = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96}
PLAIN = VisionConfig(**TOWER, image_size=50, patch_size=4)  # 50 is no multiple of 4: the rest is not looked at
# Of its 145 tokens attention in int8 is in int8 altogether; of the hybrid's 13 it is in float32.
HYBRID = VisionConfig(
    **TOWER, image_size=70, embedding="efficientnet_lite2", concept_tokens=3, concept_words=tuple("abcdefg")
)
ADAPTED = replace(HYBRID, adapted_blocks=3)


def random_checkpoint(vision: VisionConfig = PLAIN, task: Task = "caption", seed: int = 0) -> Checkpoint:
    """Weights with some life in them: fresh ones give near-uniform logits that any bug would pass."""
    torch.manual_seed(seed)
    config = BlipConfig(task=task, vision=vision, text=TEXT, projection_dim=16)
    model = Blip(config)
    for name, weight in model.state_dict().items():
        if name.endswith("concepts.words"):
            weight.copy_((torch.rand(weight.shape) < 0.1).float())
        elif "norm" in name.lower() and name.endswith("weight"):
            weight.normal_(1, 0.3)
        elif weight.dim() == 2 or (weight.dim() == 3 and "position" in name):
            weight.normal_(0, weight.shape[-1] ** -0.5)
        elif weight.dim() != 4:  # convolutions keep the deviation they were made with
            weight.normal_(0, 0.1)
    weights = {name: weight.numpy() for name, weight in model.state_dict().items()}
    return Checkpoint(config, weights, Path("nowhere"), f"{vision.embedding}-{vision.adapted_blocks}-{task}-{seed}")
