"""Names and shapes of a BLIP's weights: Hugging Face's layout, what is harmless beside it, Salesforce's names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from seesay.blip.config import (
    ANSWERING,
    BACKBONE_WIDTH,
    IMAGENET_CLASSES,
    LITE2_BLOCKS,
    PAIRING,
    READING,
    SHARING,
    WRITING,
    BlipConfig,
    Task,
    TextConfig,
    VisionConfig,
)

Shapes = dict[str, tuple[int, ...]]

TWINS = {
    "text_decoder.bert.embeddings.word_embeddings.weight": "text_decoder.cls.predictions.decoder.weight",
    "text_decoder.cls.predictions.bias": "text_decoder.cls.predictions.decoder.bias",
}
"""Weights of the language-modelling head that are one with another: our name, and the one that may stand beside it."""

HARMLESS = (
    r".*\.position_ids",  # the numbers 0, 1, 2 ...: a buffer that older transformers saved
    *map(re.escape, TWINS.values()),
)
"""Keys that a checkpoint may have beyond the layout, and why they are of no use."""

SALESFORCE_TEMPERATURE = "temp"
SALESFORCE_HARMLESS = (
    r".*\.position_ids",
    r"(visual_encoder|text_encoder|vision_proj|text_proj)_m\..*",  # momentum copies: targets while training
    r"(image|text|idx)_queue|queue_ptr|ptr_queue",  # negatives of the contrastive loss
    SALESFORCE_TEMPERATURE,  # of that loss; it goes to the configuration
)

SALESFORCE_NAMES = (
    (r"visual_encoder\.cls_token", "vision_model.embeddings.class_embedding"),
    (r"visual_encoder\.pos_embed", "vision_model.embeddings.position_embedding"),
    (r"visual_encoder\.patch_embed\.proj\.", "vision_model.embeddings.patch_embedding."),
    (r"visual_encoder\.norm\.", "vision_model.post_layernorm."),
    (r"visual_encoder\.blocks\.(\d+)\.norm([12])\.", r"vision_model.encoder.layers.\1.layer_norm\2."),
    (r"visual_encoder\.blocks\.(\d+)\.attn\.qkv\.", r"vision_model.encoder.layers.\1.self_attn.qkv."),
    (r"visual_encoder\.blocks\.(\d+)\.attn\.proj\.", r"vision_model.encoder.layers.\1.self_attn.projection."),
    (r"visual_encoder\.blocks\.(\d+)\.mlp\.", r"vision_model.encoder.layers.\1.mlp."),
)
"""The image side's names in github.com/salesforce/BLIP, and ours; the text side's are the same."""


def shapes(config: BlipConfig) -> Shapes:
    """The shape of each weight that a model of this configuration has, in the order of its state dict's names."""
    text, vision = config.text, config.vision
    found: Shapes = dict(_vision(config))
    if config.task in READING:
        found |= _text("text_encoder", text)
    if config.task in WRITING | ANSWERING:
        # An answer decoder reads question states, as wide as text; the others read image features.
        reader = replace(text, encoder_hidden_size=text.hidden_size) if config.task == "answer" else text
        found |= _text("text_decoder.bert", reader)
        found |= {"text_decoder.cls.predictions.bias": (text.vocab_size,)}
        found |= _linear("text_decoder.cls.predictions.transform.dense", text.hidden_size, text.hidden_size)
        found |= _norm("text_decoder.cls.predictions.transform.LayerNorm", text.hidden_size)
    if config.task in PAIRING:
        found |= _linear("vision_proj", vision.hidden_size, config.projection_dim)
        found |= _linear("text_proj", text.hidden_size, config.projection_dim)
        found |= _linear("itm_head", text.hidden_size, 2)
    return found


def shared(config: BlipConfig) -> dict[str, str]:
    """Names that stand for another name's weight: in pre-training, all of the decoder but its self-attention."""
    if config.task not in SHARING:
        return {}
    decoder = _text("text_decoder.bert", config.text)
    return {name: name.replace("text_decoder.bert", "text_encoder") for name in decoder if ".attention." not in name}


def task_of(names: Iterable[str]) -> Task | None:
    """The task that weights with these names serve, or None where they serve none."""
    parts = {name.partition(".")[0] for name in names}
    if not {"vision_model"} < parts:
        return None
    if "itm_head" in parts:
        return "pretrain" if "text_decoder" in parts else "match"
    if "text_decoder" in parts:
        return "answer" if "text_encoder" in parts else "caption"
    return None


def harmless(name: str) -> bool:
    """Whether a weight of this name can be left aside."""
    return any(re.fullmatch(pattern, name) for pattern in HARMLESS)


def from_salesforce(name: str) -> str:
    """Our name of a weight in one of Salesforce's own files."""
    for pattern, ours in SALESFORCE_NAMES:
        renamed, count = re.subn(rf"^{pattern}", ours, name)
        if count:
            return renamed
    return name


def _vision(config: BlipConfig) -> Iterator[tuple[str, tuple[int, ...]]]:
    vision = config.vision
    width, embeddings = vision.hidden_size, "vision_model.embeddings"
    yield f"{embeddings}.class_embedding", (1, 1, width)
    yield f"{embeddings}.position_embedding", (1, 1 + vision.grid_side**2, width)
    if vision.embedding == "patch":
        yield from _conv(f"{embeddings}.patch_embedding", 3, width, vision.patch_size).items()
    else:
        yield from _lite2(f"{embeddings}.backbone")
        if vision.adapted_blocks:
            yield from _lite2_last(f"{embeddings}.adapted", vision.adapted_blocks)
        yield from _linear(f"{embeddings}.projection", BACKBONE_WIDTH, width).items()
    for i in range(vision.num_hidden_layers):
        layer = f"vision_model.encoder.layers.{i}"
        yield from _norm(f"{layer}.layer_norm1", width).items()
        yield from _linear(f"{layer}.self_attn.qkv", width, 3 * width).items()
        yield from _linear(f"{layer}.self_attn.projection", width, width).items()
        yield from _norm(f"{layer}.layer_norm2", width).items()
        yield from _linear(f"{layer}.mlp.fc1", width, vision.intermediate_size).items()
        yield from _linear(f"{layer}.mlp.fc2", vision.intermediate_size, width).items()
    yield from _norm("vision_model.post_layernorm", width).items()
    yield from _concepts(vision, config.text.hidden_size)


def _lite2(name: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """EfficientNet-Lite2, as `model.EfficientNetLite2` builds it."""
    yield from _conv(f"{name}.stem", 3, 32, 3).items()
    yield from _lite2_last(name, len(LITE2_BLOCKS))


def _lite2_last(name: str, count: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Its last blocks and its head, as `model.LastBlocks` has them."""
    for i, block in enumerate(LITE2_BLOCKS[-count:]):
        wide = block.channels * block.expansion
        if block.expansion > 1:
            yield from _conv(f"{name}.blocks.{i}.expand", block.channels, wide, 1).items()
        yield from _conv(f"{name}.blocks.{i}.depthwise", 1, wide, block.kernel).items()
        yield from _conv(f"{name}.blocks.{i}.project", wide, block.out, 1).items()
    yield from _conv(f"{name}.head", LITE2_BLOCKS[-1].out, BACKBONE_WIDTH, 1).items()


def _concepts(vision: VisionConfig, word_width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    words, name = len(vision.concept_words), "vision_model.concepts"
    if not words:
        return
    yield from _linear(f"{name}.classifier", BACKBONE_WIDTH, IMAGENET_CLASSES).items()
    yield f"{name}.words", (IMAGENET_CLASSES, words)
    if vision.concept_tokens:
        yield f"{name}.table", (words, word_width)
        yield from _linear(f"{name}.project", word_width, vision.hidden_size).items()
        yield f"{name}.probability", (vision.hidden_size,)
        yield from _norm(f"{name}.norm", vision.hidden_size).items()


def _text(name: str, text: TextConfig) -> Shapes:
    width = text.hidden_size
    found: Shapes = {
        f"{name}.embeddings.word_embeddings.weight": (text.vocab_size, width),
        f"{name}.embeddings.position_embeddings.weight": (text.max_position_embeddings, width),
        **_norm(f"{name}.embeddings.LayerNorm", width),
    }
    for i in range(text.num_hidden_layers):
        layer = f"{name}.encoder.layer.{i}"
        for attention, source in (("attention", width), ("crossattention", text.encoder_hidden_size)):
            found |= _linear(f"{layer}.{attention}.self.query", width, width)
            found |= _linear(f"{layer}.{attention}.self.key", source, width)
            found |= _linear(f"{layer}.{attention}.self.value", source, width)
            found |= _linear(f"{layer}.{attention}.output.dense", width, width)
            found |= _norm(f"{layer}.{attention}.output.LayerNorm", width)
        found |= _linear(f"{layer}.intermediate.dense", width, text.intermediate_size)
        found |= _linear(f"{layer}.output.dense", text.intermediate_size, width)
        found |= _norm(f"{layer}.output.LayerNorm", width)
    return found


def _linear(name: str, inputs: int, outputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _conv(name: str, inputs: int, outputs: int, kernel: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs, kernel, kernel), f"{name}.bias": (outputs,)}


def _norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}
