"""From a folder that transformers saved to the ids that its `generate` finds, without torch on our side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BlipConfig, BlipForConditionalGeneration, logging

from seesay.blip.checkpoint import read_checkpoint
from seesay.decoding import SearchOptions, search
from seesay.engine.onnx import OnnxEngine

TOWER = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96}
TEXT = {**TOWER, "encoder_hidden_size": 48, "vocab_size": 60, "bos_token_id": 58, "sep_token_id": 3, "eos_token_id": 3}


@pytest.fixture(scope="module")
def model() -> BlipForConditionalGeneration:
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.manual_seed(2)
    config = BlipConfig(
        text_config={**TEXT, "max_position_embeddings": 30},
        vision_config={**TOWER, "image_size": 48, "patch_size": 16},
    )
    blip = BlipForConditionalGeneration(config).eval()
    with torch.no_grad():
        for weight in blip.parameters():
            if weight.dim() > 1:
                weight.normal_(0, 1.5 / weight.shape[-1] ** 0.5)
        blip.text_decoder.cls.predictions.bias[3] += 2  # sentences end, some sooner than others
    return blip


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("prompt", [[58], [58, 7, 9]])
def test_captions(
    model: BlipForConditionalGeneration, beams: int, prompt: list[int], tmp_path: Path, cache: Path
) -> None:
    model.save_pretrained(tmp_path)
    pixels = np.random.default_rng(beams).normal(size=(4, 3, 48, 48)).astype(np.float32)
    with torch.inference_mode():
        given = torch.tensor([[*prompt, 0]] * 4)  # transformers drops the last
        out = model.generate(
            pixel_values=torch.from_numpy(pixels), input_ids=given, num_beams=beams, do_sample=False, max_new_tokens=12
        )
    expected = [[token for token in row if token not in (0, 3)] for row in out[:, len(prompt) :].tolist()]

    engine = OnnxEngine(read_checkpoint(tmp_path), "fp32", 1, cache)
    with engine.session(engine.encode(pixels).features, np.array(prompt), beams) as session:
        found = search(session, prompt, SearchOptions(beams=beams, max_new_tokens=12), eos=3)
    assert [[token for token in best[0].tokens if token not in (0, 3)] for best in found] == expected
    assert len({tuple(ids) for ids in expected}) > 1, "captions that are all alike would prove little"
