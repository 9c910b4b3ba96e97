"""Checkpoints: every public form is read, strictly; what is written is read by transformers; bad files are refused."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hub_models import CLASSES, TEXT, TOKENS, VISION, Make
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from transformers import BlipForConditionalGeneration, BlipProcessor

from seesay.blip.checkpoint import Checkpoint, interpolate_positions, read_checkpoint, write_checkpoint
from seesay.blip.config import BlipConfig
from seesay.blip.layout import shapes, shared
from seesay.blip.model import Blip, from_checkpoint, to_arrays
from seesay.blip.tensors import packed
from seesay.errors import CheckpointError, MissingExtra

TASKS = ["caption", "match", "answer"]
ALL_TOKENS = [*TOKENS, "[DEC]", "[ENC]"]
SMALL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"word{i}" for i in range(9994)), "[DEC]", "[ENC]"]


def same(one: Checkpoint, other: Checkpoint) -> bool:
    return one.config == other.config and all(np.array_equal(one.weights[n], other.weights[n]) for n in one.weights)


# Reading.


@pytest.mark.parametrize("task", TASKS)
def test_a_folder_of_transformers(hub_model: Make, task: str) -> None:
    theirs, folder = hub_model(task)
    checkpoint = read_checkpoint(folder)
    assert checkpoint.config.task == task
    assert checkpoint.config.text.eos_token_id == TEXT["sep_token_id"]
    assert checkpoint.config.vision.grid_side == 3
    assert checkpoint.config.temperature == 0.07
    state = theirs.state_dict()
    for name, weight in checkpoint.weights.items():
        assert np.array_equal(weight, state[name].numpy()), name
    left = {name for name in state if name not in checkpoint.weights}
    assert all("predictions.decoder" in name for name in left)
    assert checkpoint.vocabulary == tuple(ALL_TOKENS)


def test_sections_that_say_nothing_have_the_defaults_of_transformers(hub_model: Make) -> None:
    from transformers import BlipConfig as HubConfig

    from seesay.blip.huggingface import config_from_json

    theirs = HubConfig()
    ours = config_from_json({"model_type": "blip", "architectures": ["BlipForConditionalGeneration"]}, {})
    for name in ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "layer_norm_eps"):
        assert getattr(ours.text, name) == getattr(theirs.text_config, name)
        assert getattr(ours.vision, name) == getattr(theirs.vision_config, name)
    assert ours.text.num_attention_heads == 8
    assert ours.vision.image_size == theirs.vision_config.image_size
    assert ours.text.vocab_size == theirs.text_config.vocab_size
    assert ours.text.eos_token_id == theirs.text_config.sep_token_id
    assert ours.projection_dim == theirs.image_text_hidden_size


def test_sharded_safetensors(hub_model: Make) -> None:
    _, whole = hub_model("caption")
    _, sharded = hub_model("caption", max_shard_size="20KB")
    assert len(list(sharded.glob("model-*.safetensors"))) > 2
    assert same(read_checkpoint(sharded), read_checkpoint(whole))


def test_pickled_weights(hub_model: Make) -> None:
    theirs, folder = hub_model("caption")
    expected = read_checkpoint(folder)
    (folder / "model.safetensors").unlink()
    torch.save(theirs.state_dict(), folder / "pytorch_model.bin")  # with the tied decoder, as the public ones
    assert same(read_checkpoint(folder), expected)


def test_pickled_weights_need_torch(hub_model: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    _, folder = hub_model("caption")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtra) as caught:
        read_checkpoint(folder)
    assert "seesay[torch]" in caught.value.remedy


def test_older_files_carry_position_ids(hub_model: Make) -> None:
    _, folder = hub_model("caption")
    expected = read_checkpoint(folder)
    weights = load_file(folder / "model.safetensors")
    weights["text_decoder.bert.embeddings.position_ids"] = torch.arange(24)[None]
    words = weights.pop("text_decoder.bert.embeddings.word_embeddings.weight")
    weights["text_decoder.cls.predictions.decoder.weight"] = words  # the name that some converters kept
    save_file(weights, folder / "model.safetensors")
    assert same(read_checkpoint(folder), expected)


def test_an_untied_head_is_refused(hub_model: Make) -> None:
    _, folder = hub_model("caption")
    weights = load_file(folder / "model.safetensors")
    words = weights["text_decoder.bert.embeddings.word_embeddings.weight"]
    weights["text_decoder.cls.predictions.decoder.weight"] = words + 1
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"decoder\.weight differs"):
        read_checkpoint(folder)


def test_the_preprocessor_decides_size_and_normalisation(hub_model: Make) -> None:
    _, folder = hub_model("caption")
    preprocessor = {"size": {"height": 64, "width": 64}, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.2, 0.1]}
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    checkpoint = read_checkpoint(folder)
    assert checkpoint.config.vision.image_size == 64
    assert checkpoint.config.image_mean == (0.5, 0.4, 0.3)
    assert checkpoint.weights["vision_model.embeddings.position_embedding"].shape == (1, 17, 32)
    assert from_checkpoint(checkpoint).encode(torch.zeros(1, 3, 64, 64)).shape == (1, 17, 32)


def test_generation_defaults(hub_model: Make) -> None:
    _, folder = hub_model("caption")
    (folder / "generation_config.json").write_text('{"num_beams": 5, "max_new_tokens": 30, "use_cache": true}')
    assert read_checkpoint(folder).generation == {"num_beams": 5, "max_new_tokens": 30}


def test_vocabulary_of_a_fast_tokenizer(hub_model: Make) -> None:
    _, folder = hub_model("caption")
    (folder / "vocab.txt").unlink()
    tokenizer = {"model": {"vocab": {token: index for index, token in reversed(list(enumerate(TOKENS)))}}}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert read_checkpoint(folder).vocabulary == tuple(ALL_TOKENS)


def test_no_torch_is_loaded_for_safetensors(hub_model: Make) -> None:
    _, folder = hub_model("caption")
    program = (
        "import sys; from seesay.blip.checkpoint import read_checkpoint; c = read_checkpoint(sys.argv[1]);"
        "sum(w.size for w in c.weights.values()); c.vocabulary; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program, str(folder)], check=True)


# Salesforce's own files.

SALESFORCE = {  # ours -> theirs, written down apart from the reader's patterns
    r"vision_model\.embeddings\.class_embedding": "visual_encoder.cls_token",
    r"vision_model\.embeddings\.position_embedding": "visual_encoder.pos_embed",
    r"vision_model\.embeddings\.patch_embedding": "visual_encoder.patch_embed.proj",
    r"vision_model\.post_layernorm": "visual_encoder.norm",
    r"vision_model\.encoder\.layers": "visual_encoder.blocks",
    r"layer_norm(\d)": r"norm\1",
    r"self_attn\.projection": "attn.proj",
    r"self_attn\.qkv": "attn.qkv",
}


def salesforce_file(path: Path, model: Blip, **changes: torch.Tensor) -> Path:
    """A file as github.com/salesforce/BLIP writes it: its names, tied twins, momentum copies and queues."""
    state: dict[str, torch.Tensor] = {}
    for name, weight in model.state_dict().items():
        for ours, theirs in SALESFORCE.items():
            name = re.sub(ours, theirs, name)
        state[name] = weight
    if hasattr(model, "text_decoder"):
        state["text_decoder.cls.predictions.decoder.weight"] = model.text_decoder.bert.embeddings.word_embeddings.weight
        state["text_decoder.cls.predictions.decoder.bias"] = model.text_decoder.cls.predictions.bias
        state["text_decoder.bert.embeddings.position_ids"] = torch.arange(512)[None]
    if hasattr(model, "itm_head"):
        state["visual_encoder_m.cls_token"] = state["visual_encoder.cls_token"]
        state["text_encoder_m.embeddings.position_ids"] = torch.arange(512)[None]
        state["vision_proj_m.weight"] = state["vision_proj.weight"]
        state |= {"image_queue": torch.zeros(256, 9), "text_queue": torch.zeros(256, 9), "temp": torch.tensor(0.0123)}
        state |= {"idx_queue": torch.zeros(1, 9), "ptr_queue": torch.zeros(1), "queue_ptr": torch.zeros(1)}
    torch.save({"model": {**state, **changes}, "epoch": 5, "config": {"lr": 1e-5}}, path)
    return path


def salesforce_model(task: str) -> Blip:
    config = BlipConfig.base(task, image_size=32)  # type: ignore[arg-type]
    vision = replace(
        config.vision,
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=96,
        layer_norm_eps=1e-6,
    )
    text = replace(
        config.text,
        hidden_size=64,
        encoder_hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=1,
        intermediate_size=80,
    )
    torch.manual_seed(2)
    return Blip(replace(config, vision=vision, text=text)).eval()


@pytest.mark.parametrize("task", [*TASKS, "pretrain"])
def test_salesforce_files(tmp_path: Path, task: str) -> None:
    model = salesforce_model(task)
    (tmp_path / "vocab.txt").write_text("".join(f"{i}\n" for i in range(30522)))
    checkpoint = read_checkpoint(salesforce_file(tmp_path / "model.pth", model))
    assert checkpoint.config == replace(model.config, temperature=0.0123 if task in ("match", "pretrain") else 0.07)
    expected = to_arrays(model)
    assert all(np.array_equal(checkpoint.weights[name], expected[name]) for name in shapes(model.config))
    assert checkpoint.vocabulary[-2:] == ("[DEC]", "[ENC]")


def test_a_pretraining_file_serves_one_task(tmp_path: Path) -> None:
    model = salesforce_model("pretrain")
    path = salesforce_file(tmp_path / "model.pth", model)
    captioner, matcher = (from_checkpoint(read_checkpoint(path, task)).eval() for task in ("caption", "match"))
    ids, features = torch.tensor([[30522, 7, 8]]), torch.randn(1, 5, 128)
    with torch.no_grad():
        assert torch.equal(captioner.decode(ids, None, features), model.decode(ids, None, features))
        assert torch.equal(matcher.match(ids, None, features), model.match(ids, None, features))
    with pytest.raises(CheckpointError, match="answer"):
        read_checkpoint(path, "answer")


def test_a_pretraining_file_with_its_own_head_is_a_captioner(tmp_path: Path) -> None:
    model = salesforce_model("pretrain")
    words = torch.randn(30524, 64)
    short_bias = torch.zeros(30522)  # resizing the vocabulary forgot it; the head's own bias has the new size
    path = salesforce_file(
        tmp_path / "model.pth",
        model,
        **{
            "text_decoder.cls.predictions.decoder.weight": words,
            "text_decoder.cls.predictions.bias": short_bias,
        },
    )
    checkpoint = read_checkpoint(path)
    assert checkpoint.config.task == "caption"
    assert np.array_equal(checkpoint.weights["text_decoder.bert.embeddings.word_embeddings.weight"], words.numpy())
    assert read_checkpoint(path, "match").config.task == "match"


def test_code_in_a_pickle_is_never_run(tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "harmed"),)

    torch.save({"model": Harm()}, tmp_path / "model.pth")
    with pytest.raises(CheckpointError, match="running code"):
        read_checkpoint(tmp_path / "model.pth")
    assert not (tmp_path / "harmed").exists()


def test_a_file_that_is_no_blip(tmp_path: Path) -> None:
    torch.save({"encoder.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"encoder\.weight"):
        read_checkpoint(tmp_path / "other.pth")
    (tmp_path / "noise.pth").write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError, match="noise"):
        read_checkpoint(tmp_path / "noise.pth")


# Writing.


@pytest.mark.parametrize("task", TASKS)
@torch.no_grad()
def test_transformers_loads_what_we_write(hub_model: Make, tmp_path: Path, task: str) -> None:
    theirs, folder = hub_model(task)
    original = read_checkpoint(folder)
    model = from_checkpoint(original).eval()
    write_checkpoint(tmp_path / "ours", model.config, to_arrays(model), original.vocabulary)
    assert same(read_checkpoint(tmp_path / "ours"), original)

    loaded, report = CLASSES[task].from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not any(report.values()), report
    for name, weight in loaded.state_dict().items():
        assert torch.equal(weight, theirs.state_dict()[name]), name
    pixels, ids = torch.randn(1, 3, 48, 48), torch.tensor([[58, 9, 21]])
    inputs = {"decoder_input_ids": ids} if task == "answer" else {}
    one, other = (m.eval()(pixel_values=pixels, input_ids=ids, **inputs) for m in (loaded, theirs))
    assert torch.equal(one.last_hidden_state, other.last_hidden_state)


def test_transformers_processor_reads_our_folder(hub_model: Make, tmp_path: Path) -> None:
    original = read_checkpoint(hub_model("caption")[1])
    write_checkpoint(tmp_path / "ours", original.config, original.weights, original.vocabulary)
    processor = BlipProcessor.from_pretrained(tmp_path / "ours", use_fast=False)
    assert processor.tokenizer("word7 word2").input_ids == [2, 11, 6, 3]
    assert processor.image_processor.size["height"] == 48
    model = BlipForConditionalGeneration.from_pretrained(tmp_path / "ours")
    assert model.config.text_config.sep_token_id == 3


def random_weights(config: BlipConfig) -> dict[str, np.ndarray]:
    """Weights for every name; those with two names get one array, and the table of words is of zeros and ones."""
    random = np.random.default_rng(7)
    weights = {name: random.uniform(-1, 1, shape).astype(np.float32) for name, shape in shapes(config).items()}
    weights |= {name: weights[twin] for name, twin in shared(config).items()}
    words = "vision_model.concepts.words"
    return {**weights, words: (weights[words] > 0.99).astype(np.float32)} if words in weights else weights


@pytest.mark.parametrize("task", ["caption", "pretrain"])
def test_the_small_model_comes_back(tmp_path: Path, task: str) -> None:
    config = BlipConfig.small(
        ALL_TOKENS,
        task,  # type: ignore[arg-type]
        image_layers=1,
        concept_words=("cat", "grey cat"),
        concept_tokens=2,
    )
    config = replace(config, temperature=0.0212)
    weights = random_weights(config)
    write_checkpoint(tmp_path / "small", config, weights, ALL_TOKENS)
    checkpoint = read_checkpoint(tmp_path / "small")
    assert checkpoint.config == config
    assert checkpoint.vocabulary == tuple(ALL_TOKENS)
    assert all(np.array_equal(checkpoint.weights[name], weights[name]) for name in weights)
    if task == "pretrain":
        assert read_checkpoint(tmp_path / "small", "match").config.task == "match"
        assert_arrays_survive_the_model(checkpoint)


def assert_arrays_survive_the_model(checkpoint: Checkpoint) -> None:
    arrays = to_arrays(from_checkpoint(checkpoint))
    assert all(np.array_equal(arrays[name], weight) for name, weight in checkpoint.weights.items())


def test_compressed_small_model_is_small_and_close(tmp_path: Path) -> None:
    words = [f"concept{i}" for i in range(1500)]
    config = BlipConfig.small(SMALL_TOKENS, image_layers=4, concept_words=words, concept_tokens=5)
    weights = random_weights(config)
    write_checkpoint(tmp_path / "small", config, weights, SMALL_TOKENS, compress=True)
    assert sum(file.stat().st_size for file in (tmp_path / "small").iterdir()) < 40e6
    checkpoint = read_checkpoint(tmp_path / "small")
    for name, exact in weights.items():
        stored = checkpoint.weights[name]
        assert stored.dtype == np.float32
        largest = np.abs(exact).reshape(len(exact), -1).max(axis=1)
        error = np.abs(stored - exact).reshape(len(exact), -1).max(axis=1)
        assert (error <= largest / 127 * 0.501).all(), name
    table = "vision_model.concepts.words"
    assert np.array_equal(checkpoint.weights[table], weights[table])


def test_a_matrix_that_eight_bits_would_change_much_keeps_sixteen(tmp_path: Path) -> None:
    """As the layer before the vocabulary, a few of whose weights are many times their row's others."""
    ordinary = np.random.default_rng(0).normal(size=(64, 384)).astype(np.float32)
    uneven = ordinary.copy()
    uneven[:, 0] = 100.0
    assert packed("w", ordinary)["w"].dtype == np.int8
    assert packed("w", uneven).keys() == {"w"}
    assert packed("w", uneven)["w"].dtype == np.float16


def test_compressing_twice_changes_nothing(hub_model: Make, tmp_path: Path) -> None:
    original = read_checkpoint(hub_model("caption")[1])
    for source, target in ((original, "once"), (None, "twice")):
        source = source or read_checkpoint(tmp_path / "once")
        write_checkpoint(tmp_path / target, source.config, source.weights, source.vocabulary, compress=True)
    once, twice = read_checkpoint(tmp_path / "once"), read_checkpoint(tmp_path / "twice")
    for name in once.weights:
        assert np.allclose(once.weights[name], twice.weights[name], rtol=1e-6, atol=0), name


def test_writing_replaces_the_files_and_leaves_the_rest(hub_model: Make, tmp_path: Path) -> None:
    original = read_checkpoint(hub_model("caption")[1])
    folder = tmp_path / "deep" / "ours"
    write_checkpoint(folder, original.config, original.weights, original.vocabulary)
    before = read_checkpoint(folder)
    (folder / "README.md").write_text("a model card")
    changed = {name: np.asarray(weight) + 1 for name, weight in original.weights.items()}
    write_checkpoint(folder, original.config, changed, original.vocabulary)
    after = read_checkpoint(folder)
    assert np.array_equal(
        after.weights["text_decoder.cls.predictions.bias"], changed["text_decoder.cls.predictions.bias"]
    )
    assert (folder / "README.md").read_text() == "a model card"
    assert after.key != before.key
    assert [path.name for path in folder.parent.iterdir()] == ["ours"]


def test_unfit_weights_are_not_written(hub_model: Make, tmp_path: Path) -> None:
    original = read_checkpoint(hub_model("caption")[1])
    weights = dict(original.weights)
    weights.pop("vision_model.post_layernorm.bias")
    with pytest.raises(CheckpointError, match=r"post_layernorm\.bias is missing"):
        write_checkpoint(tmp_path / "ours", original.config, weights, original.vocabulary)
    with pytest.raises(CheckpointError, match="tokens"):
        write_checkpoint(tmp_path / "ours", original.config, original.weights, ["[PAD]"])
    assert not list(tmp_path.iterdir())


# Strictness and hostile files.


def rewrite(folder: Path, **sections: dict[str, Any]) -> None:
    config = json.loads((folder / "config.json").read_text())
    for section, changes in sections.items():
        (config if section == "top" else config[section]).update(changes)
    (folder / "config.json").write_text(json.dumps(config))


def test_missing_unknown_and_misshapen_weights_are_named(hub_model: Make) -> None:
    _, folder = hub_model("match")
    weights = load_file(folder / "model.safetensors")
    del weights["itm_head.bias"]
    weights["surprise.weight"] = torch.zeros(2)
    weights["vision_proj.bias"] = torch.zeros(7)
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(folder)
    for part in ("itm_head.bias is missing", "surprise.weight is not known", "vision_proj.bias (7,) for (256,)"):
        assert part in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize(
    "changes",
    [
        {"text_config": {"hidden_size": -8}},
        {"text_config": {"hidden_size": "wide"}},
        {"text_config": {"num_attention_heads": 7}},
        {"text_config": {"num_attention_heads": 0}},
        {"text_config": {"vocab_size": 10**12}},
        {"text_config": {"sep_token_id": 1000}},
        {"text_config": {"bos_token_id": None}},
        {"text_config": {"layer_norm_eps": "small"}},
        {"text_config": {"hidden_act": "relu"}},
        {"text_config": {"num_hidden_layers": 10**9}},
        {"vision_config": {"image_size": 10**7}},
        {"vision_config": {"image_size": [48, 64]}},
        {"vision_config": {"patch_size": 0}},
        {"vision_config": {"embedding": "resnet"}},
        {"vision_config": {"num_hidden_layers": 3}},
        {"top": {"vision_config": [1, 2]}},
        {"top": {"image_text_hidden_size": 2.5}},
        {"top": {"logit_scale_init_value": -1e9}},
        {"top": {"logit_scale_init_value": 1e9}},
        {"top": {"model_type": "clip"}},
        {"top": {"architectures": 5}},
    ],
    ids=str,
)
def test_absurd_configurations_are_refused(hub_model: Make, changes: dict[str, Any]) -> None:
    _, folder = hub_model("caption")
    rewrite(folder, **changes)
    with pytest.raises(CheckpointError):
        read_checkpoint(folder)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", "{not json"),
        ("config.json", "[]"),
        ("preprocessor_config.json", '{"size": {"height": 48, "width": 64}}'),
        ("preprocessor_config.json", '{"size": 0}'),
        ("preprocessor_config.json", '{"image_std": [0, 1, 1]}'),
        ("preprocessor_config.json", '{"image_mean": "grey"}'),
        ("model.safetensors", ""),
        ("model.safetensors", "text"),
    ],
)
def test_broken_files_are_refused(hub_model: Make, name: str, content: str) -> None:
    _, folder = hub_model("caption")
    (folder / name).write_text(content)
    with pytest.raises(CheckpointError):
        read_checkpoint(folder)


def test_missing_files_are_named(hub_model: Make, tmp_path: Path) -> None:
    _, folder = hub_model("caption")
    with pytest.raises(CheckpointError, match="nowhere"):
        read_checkpoint(tmp_path / "nowhere")
    (folder / "vocab.txt").write_text("a\nb\n")
    with pytest.raises(CheckpointError, match="2 tokens"):
        _ = read_checkpoint(folder).vocabulary
    (folder / "vocab.txt").unlink()
    with pytest.raises(CheckpointError, match="no vocabulary"):
        _ = read_checkpoint(folder).vocabulary
    (folder / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"config\.json"):
        read_checkpoint(folder)


def test_an_index_stays_in_its_folder(hub_model: Make) -> None:
    _, folder = hub_model("caption")
    (folder / "model.safetensors").rename(folder.parent / "elsewhere.safetensors")
    index = {"weight_map": {"itm_head.bias": "../elsewhere.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match="outside"):
        read_checkpoint(folder)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    place=st.floats(0, 1), kind=st.sampled_from(["cut", "flip"]), header_only=st.booleans(), byte=st.integers(1, 255)
)
def test_damaged_safetensors_never_crash(
    hub_model: Make, place: float, kind: str, header_only: bool, byte: int
) -> None:
    """A file cut short is always refused; flipped bits may only change values."""
    folder = _one_folder(hub_model)
    whole = (folder / "whole").read_bytes()
    length = 8 + int.from_bytes(whole[:8], "little") if header_only else len(whole)
    position = min(int(place * length), length - 1)
    damaged = bytearray(whole)
    if kind == "cut":
        del damaged[position:]
    else:
        damaged[position] ^= byte
    (folder / "model.safetensors").write_bytes(damaged)
    try:
        checkpoint = read_checkpoint(folder)
    except CheckpointError:
        return
    assert kind == "flip"
    assert all(weight.shape == shapes(checkpoint.config)[name] for name, weight in checkpoint.weights.items())


def _one_folder(hub_model: Make, made: list[Path] = []) -> Path:  # noqa: B006 (kept between examples on purpose)
    if not made:
        made.append(hub_model("caption")[1])
        (made[0] / "whole").write_bytes((made[0] / "model.safetensors").read_bytes())
    return made[0]


def test_the_key_follows_the_files(hub_model: Make) -> None:
    _, folder = hub_model("caption")
    key = read_checkpoint(folder).key
    assert read_checkpoint(folder).key == key
    assert read_checkpoint(folder).at_size(96).key != key
    rewrite(folder, vision_config={"layer_norm_eps": 1e-6})
    changed = read_checkpoint(folder).key
    assert changed != key
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "model.safetensors").write_bytes(data)
    assert read_checkpoint(folder).key not in (key, changed)


# Positions.


@pytest.mark.parametrize("side", [1, 2, 5, 7, 12, 24])
def test_positions_are_interpolated_as_torch_does(side: int) -> None:
    positions = torch.randn(1, 1 + 49, 6)
    grid = positions[:, 1:].reshape(1, 7, 7, 6).permute(0, 3, 1, 2)
    grid = F.interpolate(grid, size=(side, side), mode="bicubic", align_corners=False)
    expected = torch.cat([positions[:, :1], grid.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)
    ours = interpolate_positions(positions.numpy(), side)
    assert ours.dtype == np.float32
    assert np.abs(ours - expected.numpy()).max() < 1e-5


# Layout.


@pytest.mark.parametrize("task", [*TASKS, "pretrain"])
@pytest.mark.parametrize("make", [BlipConfig.base, BlipConfig.large, lambda task: BlipConfig.small(ALL_TOKENS, task)])
def test_shapes_are_the_models(task: str, make: Any) -> None:
    config = make(task=task)
    with torch.device("meta"):
        state = Blip(config).state_dict()
    assert shapes(config) == {name: tuple(weight.shape) for name, weight in state.items()}


def test_presets_have_the_papers_sizes() -> None:
    base, large = BlipConfig.base().vision, BlipConfig.large().vision
    assert (base.hidden_size, base.num_hidden_layers, base.num_attention_heads, base.tokens) == (768, 12, 12, 577)
    assert (large.hidden_size, large.num_hidden_layers, large.num_attention_heads) == (1024, 24, 16)
    assert VISION["patch_size"] == base.patch_size
