"""Grad-CAM in NumPy against PyTorch's autograd, on every layer of the way back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_blip import HYBRID, PLAIN, TEXT, random_checkpoint
from torch import Tensor

from seesay.blip import model as blip_model
from seesay.blip.checkpoint import Checkpoint
from seesay.blip.config import Task, VisionConfig
from seesay.blip.model import Blip, from_checkpoint
from seesay.engine import gradcam
from seesay.errors import CapabilityError, UsageError

LAYERS = 5  # the map is of layer 2, so that two whole layers lie above it


def deep_checkpoint(task: Task, vision: VisionConfig, monkeypatch: pytest.MonkeyPatch) -> Checkpoint:
    import tiny_blip

    monkeypatch.setattr(tiny_blip, "TEXT", replace(TEXT, num_hidden_layers=LAYERS))
    return random_checkpoint(vision, task, seed=3)


class Watched:
    """PyTorch's own attention of one layer, kept with its gradient."""

    def __init__(self, model: Blip, tower: str, monkeypatch: pytest.MonkeyPatch) -> None:
        layers = model.get_submodule(tower).encoder.layer
        layer = layers[gradcam.middle_layer(len(layers))].crossattention.self
        self.attention: Tensor
        inside = False

        def attend(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None, *rest: object) -> Tensor:
            scores = queries @ keys.transpose(-1, -2) * queries.shape[-1] ** -0.5
            if rest[-1]:
                scores = scores + torch.full(scores.shape[-2:], -torch.inf).triu(1)
            attention = scores.softmax(dim=-1)
            if inside:
                self.attention = attention
                attention.retain_grad()
            return attention @ values

        forward = layer.forward

        def watched(*arguments: object) -> Tensor:
            nonlocal inside
            inside = True
            try:
                return forward(*arguments)
            finally:
                inside = False

        monkeypatch.setattr(blip_model, "attend", attend)
        monkeypatch.setattr(layer, "forward", watched)

    def maps(self) -> np.ndarray:
        assert self.attention.grad is not None
        found: np.ndarray = (self.attention * self.attention.grad.clamp(min=0)).mean(dim=1)[0].detach().numpy()
        return found


@pytest.fixture
def ids() -> np.ndarray:
    return np.array([96, 17, 4, 4, 81, 33, 2])


def features(vision: VisionConfig) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(vision.tokens, vision.hidden_size)).astype(np.float32)


@pytest.mark.parametrize("task", ["match", "pretrain"])
@pytest.mark.parametrize("vision", [PLAIN, HYBRID], ids=["plain", "hybrid"])
def test_matching_equals_autograd(
    task: Task, vision: VisionConfig, ids: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = deep_checkpoint(task, vision, monkeypatch)
    seen = features(vision)
    model = from_checkpoint(checkpoint).eval()
    watched = Watched(model, "text_encoder", monkeypatch)
    logits = model.match(torch.tensor(ids)[None], None, torch.tensor(seen)[None])
    logits[:, 1].sum().backward()
    found = gradcam.matching(checkpoint.config, checkpoint.weights, ids, seen)
    assert found.layer == 2
    np.testing.assert_allclose(found.logits, logits[0].detach().numpy(), rtol=1e-4, atol=1e-5)
    assert found.maps.max() > 0
    assert found.maps.shape == (len(ids), vision.tokens)
    np.testing.assert_allclose(found.maps, watched.maps(), rtol=1e-4, atol=1e-4 * watched.maps().max())


@pytest.mark.parametrize("task", ["caption", "pretrain"])
def test_captioning_equals_autograd(task: Task, ids: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = deep_checkpoint(task, PLAIN, monkeypatch)
    seen = features(PLAIN)
    model = from_checkpoint(checkpoint).eval()
    watched = Watched(model, "text_decoder.bert", monkeypatch)
    logits = model.decode(torch.tensor(ids)[None], None, torch.tensor(seen)[None])
    logits[0, :-1].gather(1, torch.tensor(ids)[1:, None]).sum().backward()
    found = gradcam.captioning(checkpoint.config, checkpoint.weights, ids, seen)
    np.testing.assert_allclose(found.logits, logits[0].detach().numpy(), rtol=1e-4, atol=1e-4)
    assert found.maps[:-1].max() > 0
    np.testing.assert_allclose(found.maps, watched.maps(), rtol=1e-4, atol=1e-4 * watched.maps().max())


def test_the_explained_layer_is_the_papers() -> None:
    assert [gradcam.middle_layer(layers) for layers in (1, 6, 12)] == [0, 3, 7]


def test_what_has_no_head_says_so(ids: np.ndarray) -> None:
    caption, match = (random_checkpoint(PLAIN, task) for task in ("caption", "match"))
    with pytest.raises(CapabilityError, match="match pictures"):
        gradcam.matching(caption.config, caption.weights, ids, features(PLAIN))
    with pytest.raises(CapabilityError, match="caption"):
        gradcam.captioning(match.config, match.weights, ids, features(PLAIN))


def test_a_text_beyond_the_models_positions_is_refused() -> None:
    checkpoint = random_checkpoint(PLAIN, "match")
    with pytest.raises(UsageError, match="outgrows"):
        gradcam.matching(checkpoint.config, checkpoint.weights, np.arange(41), features(PLAIN))
