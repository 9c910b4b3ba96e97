"""The queue, the slow towers and the soft targets of contrastive learning; the whole loss is in test_pretraining."""

from __future__ import annotations

import pytest
import torch
from tiny_pairs import objective, pair_model, pairs

from seesay.training.contrastive import Contrast, Queue, Towers, ramped, soft_targets


def vectors(first: int, count: int) -> torch.Tensor:
    return torch.arange(first, first + count).float().unsqueeze(1).expand(-1, 4)


@pytest.mark.parametrize("sizes", [[3, 3, 3, 3], [5, 1, 7, 2], [20], [4, 20, 3]])
def test_a_queue_holds_the_latest_whatever_the_sizes(sizes: list[int]) -> None:
    queue, pushed = Queue(7, 4), 0
    for size in sizes:
        queue.push(vectors(pushed, size), torch.arange(pushed, pushed + size) * 10)
        pushed += size
        held, images = queue.held()
        latest = list(range(max(0, pushed - 7), pushed))
        assert sorted(held[:, 0].tolist()) == latest
        assert (held[:, 0] * 10).tolist() == images.tolist()


def test_a_queue_of_none_holds_nothing() -> None:
    queue = Queue(0, 4)
    queue.push(vectors(0, 3), torch.arange(3))
    assert queue.held()[0].shape == (0, 4)
    assert objective(pair_model(), queue=0)(pairs(3), 0).figures["itc"] > 0


def test_targets_are_what_belongs_together_and_what_the_slow_towers_think() -> None:
    similarity = torch.tensor([[2.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    right = torch.tensor([[True, False, True], [False, True, False]])
    assert soft_targets(similarity, right, 0.0).tolist() == [[0.5, 0.0, 0.5], [0.0, 1.0, 0.0]]
    targets = soft_targets(similarity, right, 0.4)
    assert targets[1].tolist() == pytest.approx([0.4 / 3, 0.6 + 0.4 / 3, 0.4 / 3])
    assert targets.sum(dim=1).tolist() == pytest.approx([1, 1])


def test_alpha_rises_over_its_ramp() -> None:
    assert [ramped(0.4, step, 4) for step in (0, 1, 4, 9)] == [0, pytest.approx(0.1), 0.4, 0.4]
    assert ramped(0.4, 0, 0) == 0.4


def test_slow_towers_follow() -> None:
    model = pair_model()
    aim = objective(model, momentum=0.9)
    contrast = aim.contrast
    before = {name: value.clone() for name, value in contrast.towers.named_parameters()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 1
        contrast.temperature.fill_(0.7)
    aim.follow()
    trained = dict(Towers(model).named_parameters())
    for name, slow in contrast.towers.named_parameters():
        assert torch.allclose(slow, 0.9 * before[name] + 0.1 * trained[name], atol=1e-6), name
    assert contrast.temperature.item() == pytest.approx(0.5)  # its upper bound
    assert not any("crossattention" in name for name in before)
    contrast.train()
    assert not contrast.towers.training


def test_what_is_frozen_is_not_copied() -> None:
    model = pair_model()
    model.vision_model.requires_grad_(False)
    contrast = Contrast(model, 5)
    assert contrast.towers.vision_model.post_layernorm.weight is model.vision_model.post_layernorm.weight
    assert contrast.towers.text_proj.weight is not model.text_proj.weight
    with torch.no_grad():
        model.vision_model.post_layernorm.weight += 1
    contrast.follow(model)
    assert contrast.towers.vision_model.post_layernorm.weight is model.vision_model.post_layernorm.weight


@pytest.mark.parametrize("autocast", [False, True])
def test_similarities_are_in_full_precision(autocast: bool) -> None:
    model = pair_model()
    towers = Towers(model)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        image = towers.image(towers.features(pairs(4).images))
    assert image.dtype == torch.float32
    assert image.norm(dim=1).tolist() == pytest.approx([1] * 4, abs=1e-6)
