"""LoRA: nothing at first, small matrices that alone learn, and one weight in the end."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_training import small_model
from tiny_tuning import write_start

from seesay.blip.model import from_checkpoint
from seesay.errors import UsageError
from seesay.training.lora import LoraLinear, add_lora, merged
from seesay.training.optimiser import trained
from seesay.training.transfer import for_task, prepare_training


def test_it_begins_as_nothing_and_ends_in_the_weight() -> None:
    torch.manual_seed(0)
    linear = torch.nn.Linear(6, 4)
    states = torch.randn(3, 6)
    lora = LoraLinear(linear, 2)
    assert torch.equal(lora(states), linear(states))
    with torch.no_grad():
        lora.lora_up.normal_()
    expected = torch.nn.functional.linear(states, lora.whole(), linear.bias)
    assert torch.allclose(lora(states), expected, atol=1e-6)
    assert not torch.allclose(lora(states), linear(states))


def test_only_small_matrices_learn_and_names_stay() -> None:
    model = small_model()
    names = list(model.state_dict())
    images = torch.rand(2, 4, 1280)
    before = model.encode_map(images)
    add_lora(model, 3)
    assert {name.rpartition(".")[2] for name in trained(model)} == {"lora_down", "lora_up"}
    assert torch.equal(model.encode_map(images), before)
    with torch.no_grad():
        for parameter in trained(model).values():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    after, state = model.encode_map(images), merged(model)
    assert list(state) == names
    plain = small_model()
    plain.load_state_dict(state)
    assert torch.allclose(plain.encode_map(images), after, atol=1e-5)
    assert not torch.allclose(after, before)


def test_shared_layers_are_merged_under_both_names(tmp_path: Path) -> None:
    start = write_start(tmp_path / "pretrain", "pretrain")
    model = from_checkpoint(start)
    add_lora(model, 2)
    with torch.no_grad():
        for parameter in trained(model).values():
            parameter.add_(1.0)
    state = merged(model)
    encoder = "text_encoder.encoder.layer.0.crossattention.self.query.weight"
    assert torch.equal(state[encoder], state["text_decoder.bert." + encoder.removeprefix("text_encoder.")])
    assert (state[encoder] != torch.tensor(start.weights[encoder])).any()


def test_what_is_frozen_and_what_learns(tmp_path: Path) -> None:
    plain = write_start(tmp_path / "plain")
    torch.manual_seed(0)
    model, fresh = for_task(plain, "match", 0.0)
    assert {name.partition(".")[0] for name in fresh} == {"vision_proj", "text_proj", "itm_head"}
    own = "text_encoder.encoder.layer.1.output.dense.weight"
    assert torch.equal(model.state_dict()[own], torch.tensor(plain.weights["text_decoder.bert." + own[13:]]))
    assert prepare_training(model, None, 0, fresh) == "nothing"
    with pytest.raises(UsageError, match="no network before it"):
        prepare_training(model, "backbone", 0, fresh)
    assert prepare_training(model, "image", 0, fresh) == "image"
    assert not any(name.startswith("vision_model") for name in trained(model))
    model, fresh = for_task(plain, "match", 0.0)
    prepare_training(model, None, 2, fresh)
    assert set(fresh) < set(trained(model))
    hybrid = small_model()
    hybrid.requires_grad_(True)
    assert prepare_training(hybrid, None, 0, ()) == "backbone"
    assert not any("backbone" in name or "classifier" in name for name in trained(hybrid))
    with pytest.raises(UsageError, match="LoRA leaves"):
        prepare_training(hybrid, "nothing", 2, ())
