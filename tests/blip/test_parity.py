"""The same numbers as transformers, for each of its three classes, from folders that transformers saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hub_models import Make
from torch import Tensor
from transformers import PreTrainedModel

from seesay.blip.checkpoint import read_checkpoint
from seesay.blip.model import Blip, from_checkpoint

BASE = {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 256, "num_hidden_layers": 1}
LARGE = {"hidden_size": 1024, "num_attention_heads": 16, "intermediate_size": 256, "num_hidden_layers": 1}
SIZES: dict[str, dict[str, Any]] = {
    "tiny": {},
    "base": {"vision": BASE, "text": BASE},
    "large": {"vision": LARGE, "text": BASE},
    "narrow features": {"vision": {"hidden_size": 16}},
    "other epsilons": {"vision": {"layer_norm_eps": 1e-3}, "text": {"layer_norm_eps": 1e-2}},
}


@pytest.fixture
def pixels() -> Tensor:
    return torch.randn(2, 3, 48, 48, generator=torch.Generator().manual_seed(5))


@pytest.fixture
def ids() -> Tensor:
    return torch.tensor([[58, 9, 21, 4, 33, 12], [58, 30, 8, 3, 0, 0]])


def pair(make: Make, task: str, **changes: Any) -> tuple[PreTrainedModel, Blip]:
    theirs, folder = make(task, **changes)
    return theirs, ours_of(folder)


def ours_of(folder: Path) -> Blip:
    return from_checkpoint(read_checkpoint(folder)).eval()


def assert_same(ours: Tensor, theirs: Tensor) -> None:
    """Within 1e-4, of outputs that vary between images, tokens and words."""
    assert ours.shape == theirs.shape
    assert theirs.std(dim=0).mean() > 1e-2
    assert (ours - theirs).abs().max() < 1e-4


@torch.no_grad()
@pytest.mark.parametrize("size", SIZES)
def test_captioning(hub_model: Make, size: str, pixels: Tensor, ids: Tensor) -> None:
    theirs, ours = pair(hub_model, "caption", **SIZES[size])
    mask = (ids != 0).long()
    features = ours.encode(pixels)
    expected = theirs(pixel_values=pixels, input_ids=ids, attention_mask=mask)
    assert_same(features, expected.image_embeds)
    assert_same(ours.decode(ids, mask, features), expected.logits)


@torch.no_grad()
@pytest.mark.parametrize("size", SIZES)
def test_matching_and_embedding(hub_model: Make, size: str, pixels: Tensor, ids: Tensor) -> None:
    theirs, ours = pair(hub_model, "match", **SIZES[size])
    mask = (ids != 0).long()
    features = ours.encode(pixels)
    assert_same(
        ours.match(ids, mask, features), theirs(pixel_values=pixels, input_ids=ids, attention_mask=mask).itm_score
    )
    similarity = theirs(pixel_values=pixels, input_ids=ids, attention_mask=mask, use_itm_head=False).itm_score
    assert_same(ours.embed_image(features) @ ours.embed_text(ids, mask).T, similarity)


@torch.no_grad()
@pytest.mark.parametrize("size", ["tiny", "base", "other epsilons"])
def test_question_answering(hub_model: Make, size: str, pixels: Tensor, ids: Tensor) -> None:
    theirs, ours = pair(hub_model, "answer", **SIZES[size])
    mask = (ids != 0).long()
    answers = torch.tensor([[58, 7, 19, 3], [58, 41, 11, 25]])
    question = theirs.text_encoder(
        input_ids=ids, attention_mask=mask, encoder_hidden_states=theirs.vision_model(pixels).last_hidden_state
    ).last_hidden_state
    # transformers takes a mask of the question's padding here and does not use it; the paper's code has none either.
    expected = theirs.text_decoder(input_ids=answers, encoder_hidden_states=question).logits
    states = ours.read(ids, mask, ours.encode(pixels))
    assert_same(states, question)
    assert_same(ours.decode(answers, None, states), expected)


@torch.no_grad()
@pytest.mark.parametrize("image_size", [32, 80])
def test_interpolated_positions(hub_model: Make, image_size: int) -> None:
    theirs, folder = hub_model("caption")
    pixels = torch.randn(2, 3, image_size, image_size)
    expected = theirs.vision_model(pixels, interpolate_pos_encoding=True).last_hidden_state
    checkpoint = read_checkpoint(folder)
    assert_same(from_checkpoint(checkpoint).eval().encode(pixels), expected)
    assert_same(from_checkpoint(checkpoint.at_size(image_size)).eval().encode(pixels), expected)


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_files(hub_model: Make, dtype: torch.dtype, pixels: Tensor, ids: Tensor) -> None:
    theirs, ours = pair(hub_model, "caption", dtype=dtype)
    theirs.float()
    expected = theirs(pixel_values=pixels, input_ids=ids).logits
    assert_same(ours.decode(ids, None, ours.encode(pixels)), expected)
