"""Small checkpoints of the public format, made and saved by transformers itself, with weights that do something."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import BlipConfig as HubConfig
from transformers import (
    BlipForConditionalGeneration,
    BlipForImageTextRetrieval,
    BlipForQuestionAnswering,
    PreTrainedModel,
)

CLASSES: dict[str, type[PreTrainedModel]] = {
    "caption": BlipForConditionalGeneration,
    "match": BlipForImageTextRetrieval,
    "answer": BlipForQuestionAnswering,
}
VISION = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "image_size": 48,
    "patch_size": 16,
}
TEXT = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 40,
    "vocab_size": 60,
    "bos_token_id": 58,
    "sep_token_id": 3,
    "pad_token_id": 0,
    "max_position_embeddings": 24,
}
TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"word{i}" for i in range(54))]
"""BERT's part of the vocabulary: [DEC] and [ENC] are missing, as in the public folders."""

Make = Callable[..., tuple[PreTrainedModel, Path]]
"""What the fixture `hub_model` is: task and the arguments of `make_model` in, the model and its folder out."""


def make_model(
    folder: Path,
    task: str,
    vision: dict[str, Any] | None = None,
    text: dict[str, Any] | None = None,
    dtype: torch.dtype = torch.float32,
    talkative: bool = False,
    **saving: Any,
) -> PreTrainedModel:
    """A random model of transformers, saved in `folder`; `vision` and `text` change its configuration.

    `talkative` makes a decoder say different words at different places, and end after some, as a trained one does.
    """
    torch.manual_seed(len(task))
    config = HubConfig(vision_config={**VISION, **(vision or {})}, text_config={**TEXT, **(text or {})})
    model = CLASSES[task](config).eval()
    # transformers starts the image side at a deviation of 1e-10: equal outputs would prove nothing. Wider layers sum
    # more terms, so theirs are smaller.
    deviation = 0.85 / config.text_config.hidden_size**0.5
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * deviation)
        if talkative:
            model.text_decoder.bert.embeddings.position_embeddings.weight.mul_(4)
            model.text_decoder.cls.predictions.bias[config.text_config.sep_token_id] += 1.5
    model.to(dtype)
    model.save_pretrained(folder, **saving)
    (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in TOKENS))
    return model
