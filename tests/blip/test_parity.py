"""The same numbers as transformers, for each of its three classes, from folders that transformers saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hub_models import Make
from torch import Tensor
from transformers import PreTrainedModel

from seesay.blip.checkpoint import read_checkpoint
from seesay.blip.config import TextConfig
from seesay.blip.model import Blip, from_checkpoint
from seesay.decoding import SearchOptions, search
from seesay.engine.base import Engine
from seesay.engine.onnx import OnnxEngine
from seesay.engine.torch import TorchEngine

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


SEARCHES = {"greedy": 1, "beam 3": 3}
PHOTOS = 12


@pytest.fixture
def photos() -> Tensor:
    return torch.randn(PHOTOS, 3, 48, 48, generator=torch.Generator().manual_seed(6))


def found_by(engine: Engine, context: Tensor, config: TextConfig, beams: int) -> list[list[int]]:
    """Token ids of the best sentence over each row of the context, end token included where there is one."""
    options = SearchOptions(beams=beams, max_new_tokens=12)
    prompt = [config.bos_token_id]
    open_session = engine.answer_session if engine.config.task == "answer" else engine.session
    with open_session(context.numpy(), np.array(prompt), beams) as session:
        best = [hypotheses[0] for hypotheses in search(session, prompt, options, config.eos_token_id)]
    return [[*one.tokens, *([config.eos_token_id] if one.ended else [])] for one in best]


def unpadded(ids: Tensor, config: TextConfig) -> list[list[int]]:
    """What transformers generated, without start token and padding."""
    rows = ids[:, 1:].tolist()
    return [row[: row.index(config.eos_token_id) + 1] if config.eos_token_id in row else row for row in rows]


def assert_worth_comparing(sentences: list[list[int]], eos: int) -> None:
    """Equal ids prove little where every photo has one sentence, one token is repeated, or none ends."""
    assert len({tuple(sentence) for sentence in sentences}) > PHOTOS // 2
    assert sum(len(set(sentence)) > 2 for sentence in sentences) > PHOTOS // 2
    assert {eos in sentence for sentence in sentences} == {True, False}


@torch.no_grad()
@pytest.mark.parametrize("kind", [OnnxEngine, TorchEngine])
@pytest.mark.parametrize("search_name", SEARCHES)
def test_caption_ids(hub_model: Make, photos: Tensor, kind: type[OnnxEngine | TorchEngine], search_name: str) -> None:
    theirs, folder = hub_model("caption", talkative=True)
    beams = SEARCHES[search_name]
    checkpoint = read_checkpoint(folder)
    engine = kind(checkpoint, precision="fp32")
    text = checkpoint.config.text
    ours = found_by(engine, torch.from_numpy(engine.encode(photos.numpy()).features), text, beams)
    expected = unpadded(theirs.generate(pixel_values=photos, num_beams=beams, max_new_tokens=12), text)
    assert ours == expected
    assert_worth_comparing(expected, text.eos_token_id)


@torch.no_grad()
@pytest.mark.parametrize("search_name", SEARCHES)
def test_answer_ids(hub_model: Make, photos: Tensor, search_name: str) -> None:
    theirs, folder = hub_model("answer", talkative=True)
    beams = SEARCHES[search_name]
    questions = torch.randint(4, 57, (PHOTOS, 5), generator=torch.Generator().manual_seed(7))
    checkpoint = read_checkpoint(folder)
    reader, text = from_checkpoint(checkpoint).eval(), checkpoint.config.text
    states = reader.read(questions, None, reader.encode(photos))
    ours = found_by(TorchEngine(checkpoint, precision="fp32"), states, text, beams)
    generated = theirs.generate(input_ids=questions, pixel_values=photos, num_beams=beams, max_new_tokens=12)
    expected = unpadded(generated, text)
    assert ours == expected
    assert_worth_comparing(expected, text.eos_token_id)
