"""BLIP (arXiv 2201.12086) in PyTorch: one image encoder, one text transformer in several roles, and their heads.

Parameter names are those of Hugging Face's BLIP layout, so `state_dict()` has the keys of the public checkpoints.
Letters in shapes: B images, k captions an image, R = B * k rows of text, T text tokens, N feature tokens, D width,
H heads, d = D / H, V vocabulary, W concept words, K concept tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import isqrt

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from seesay.blip.checkpoint import Checkpoint
from seesay.blip.config import (
    BACKBONE_WIDTH,
    IMAGENET_CLASSES,
    LITE2_BLOCKS,
    PAIRING,
    READING,
    SHARING,
    WRITING,
    BlipConfig,
    Lite2Block,
    TextConfig,
    VisionConfig,
)
from seesay.errors import CapabilityError

KeyValues = tuple[Tensor, Tensor]
"""Keys and values of one attention layer, each (batch, H, N, d)."""


# ------------------------------------------------------------------------------------------------------- attention


def attend(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    mask: Tensor | None = None,
    dropout: float = 0.0,
    causal: bool = False,
) -> Tensor:
    """Scaled dot-product attention: queries (B, H, T, d) over keys and values (B, H, N, d), giving (B, H, T, d).

    mask: broadcastable to (B, H, T, N), True may be seen; what may see nothing gets zeros. Where a CPU trains, the
    products are written out: the backward pass of torch's fused kernel takes 5 to 8 times as long as theirs in bfloat16
    (torch 2.13, heads of 32), which was a third of a whole training step.
    """
    if queries.device.type != "cpu" or not queries.requires_grad:
        return F.scaled_dot_product_attention(queries, keys, values, mask, dropout, is_causal=causal)
    scores = (queries * queries.shape[-1] ** -0.5) @ keys.transpose(-1, -2)
    seen = torch.ones(scores.shape[-2:], dtype=torch.bool).tril() if causal else mask
    if seen is not None:
        scores = scores.masked_fill(~seen, -1e4)  # finite in half precision too
    weights = scores.softmax(dim=-1).to(values.dtype)
    mixed = (F.dropout(weights, dropout) if dropout else weights) @ values
    return mixed if mask is None else mixed * mask.any(dim=-1, keepdim=True)


# ---------------------------------------------------------------------------------------------- image encoder: ViT


class VisionAttention(nn.Module):
    """Multi-head self-attention with one fused projection."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.heads = config.num_attention_heads
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.projection = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, states: Tensor) -> Tensor:  # (B, N, D)
        batch, length, width = states.shape
        qkv = self.qkv(states).view(batch, length, 3, self.heads, width // self.heads)
        queries, keys, values = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # each (B, H, N, d)
        mixed = attend(queries, keys, values)
        out: Tensor = self.projection(mixed.transpose(1, 2).reshape(batch, length, width))
        return out


class VisionMLP(nn.Module):
    """Two linears with the exact GELU between."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, states: Tensor) -> Tensor:  # (B, N, D)
        out: Tensor = self.fc2(F.gelu(self.fc1(states)))
        return out


class VisionLayer(nn.Module):
    """Pre-LN transformer block."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.self_attn = VisionAttention(config)
        self.layer_norm2 = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.mlp = VisionMLP(config)

    def forward(self, states: Tensor) -> Tensor:  # (B, N, D)
        states = states + self.self_attn(self.layer_norm1(states))
        out: Tensor = states + self.mlp(self.layer_norm2(states))
        return out


class VisionEncoder(nn.Module):
    """The stack of blocks."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(VisionLayer(config) for _ in range(config.num_hidden_layers))

    def forward(self, states: Tensor) -> Tensor:  # (B, N, D)
        for layer in self.layers:
            states = layer(states)
        return states


class VisionEmbeddings(nn.Module):
    """Patches become tokens, a class token goes in front, positions are added."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.side = config.grid_side
        self.class_embedding = nn.Parameter(torch.zeros(1, 1, width))
        self.position_embedding = nn.Parameter(torch.zeros(1, 1 + config.grid_side**2, width))
        self.adapted_blocks = config.adapted_blocks
        if config.embedding == "efficientnet_lite2":
            self.backbone = EfficientNetLite2()
            if config.adapted_blocks:
                self.adapted = LastBlocks(config.adapted_blocks)
            self.projection = nn.Linear(BACKBONE_WIDTH, width)
        else:
            self.patch_embedding = nn.Conv2d(3, width, config.patch_size, config.patch_size)

    def positions(self, height: int, width: int) -> Tensor:
        """Positions of a grid of patches, (1, 1 + height * width, D); interpolated where it is not the trained one."""
        if height == width == self.side:
            return self.position_embedding
        first, grid = self.position_embedding[:, :1], self.position_embedding[:, 1:]
        grid = grid.view(1, self.side, self.side, -1).permute(0, 3, 1, 2)  # (1, D, side, side)
        grid = F.interpolate(grid, size=(height, width), mode="bicubic", align_corners=False)
        return torch.cat([first, grid.flatten(2).transpose(1, 2)], dim=1)

    def embed(self, patches: Tensor, height: int, width: int) -> Tensor:
        """patches: (B, height * width, D). Result (B, 1 + height * width, D)."""
        first = self.class_embedding.expand(patches.shape[0], -1, -1)
        return torch.cat([first, patches], dim=1) + self.positions(height, width)

    def forward(self, pixels: Tensor) -> Tensor:  # (B, 3, S, S) -> (B, 1 + P, D), plain ViT
        patches = self.patch_embedding(pixels)  # (B, D, S / patch, S / patch)
        return self.embed(patches.flatten(2).transpose(1, 2), patches.shape[2], patches.shape[3])

    def last_map(self, features: Tensor) -> Tensor:
        """The network's last map as it came, (B, P, 1280), of the map where training enters it, (B, P, channels)."""
        return self.backbone.last_map(features, self.adapted_blocks) if self.adapted_blocks else features

    def forward_map(self, features: Tensor) -> Tensor:  # (B, P, channels) -> (B, 1 + P, D), hybrid
        side = isqrt(features.shape[1])
        patches = self.adapted(features) if self.adapted_blocks else features
        return self.embed(self.projection(patches), side, side)


class VisionModel(nn.Module):
    """Image encoder. `concepts` speaks for the hybrid's own classifier, where the configuration has concept words."""

    def __init__(self, config: BlipConfig) -> None:
        super().__init__()
        vision = config.vision
        self.config = vision
        self.embeddings = VisionEmbeddings(vision)
        self.encoder = VisionEncoder(vision)
        self.post_layernorm = nn.LayerNorm(vision.hidden_size, vision.layer_norm_eps)
        if vision.concept_words:
            self.concepts = Concepts(vision, config.text.hidden_size)

    def forward(self, pixels: Tensor) -> Tensor:  # (B, 3, S, S) -> (B, N, D)
        if self.config.embedding == "efficientnet_lite2":
            return self.encode_map(self.embeddings.backbone(pixels, self.config.adapted_blocks))
        out: Tensor = self.post_layernorm(self.encoder(self.embeddings(pixels)))
        return out

    def encode_map(self, features: Tensor) -> Tensor:
        """The backbone's map (B, P, channels) becomes features [class, patches, concepts], (B, 1 + P + K, D)."""
        states: Tensor = self.post_layernorm(self.encoder(self.embeddings.forward_map(features)))
        if not self.config.concept_tokens:
            return states
        likeliest = self.concept_probabilities(features).topk(self.config.concept_tokens, dim=-1)
        return torch.cat([states, self.concepts(likeliest.indices, likeliest.values)], dim=1)

    def concept_probabilities(self, features: Tensor) -> Tensor:
        """Probability of each concept word, (B, W), by the classifier over the backbone's map (B, P, channels)."""
        return self.concepts.probabilities(self.embeddings.last_map(features))


# ------------------------------------------------------------- image encoder: the hybrid's network and its concepts


class SameConv2d(nn.Conv2d):
    """Convolution padded as TensorFlow's SAME: ceil(n / stride) outputs, the odd pixel of padding after the image."""

    def forward(self, images: Tensor) -> Tensor:  # (B, in, h, w) -> (B, out, ceil(h / stride), ceil(w / stride))
        kernel, stride = self.kernel_size[0], self.stride[0]
        pads = [max((-(-n // stride) - 1) * stride + kernel - n, 0) for n in images.shape[-2:]]
        if pads[0] == pads[1] and pads[0] % 2 == 0:
            return F.conv2d(images, self.weight, self.bias, self.stride, pads[0] // 2, 1, self.groups)
        above, before = pads[0] // 2, pads[1] // 2
        images = F.pad(images, (before, pads[1] - before, above, pads[0] - above))
        return F.conv2d(images, self.weight, self.bias, self.stride, 0, 1, self.groups)


class InvertedResidual(nn.Module):
    """MBConv without squeeze-and-excitation (arXiv 1801.04381, section 3.3)."""

    def __init__(self, block: Lite2Block) -> None:
        super().__init__()
        channels, out, kernel, stride, expansion = block
        wide = channels * expansion
        self.expand = SameConv2d(channels, wide, 1) if expansion > 1 else None
        self.depthwise = SameConv2d(wide, wide, kernel, stride, groups=wide)
        self.project = SameConv2d(wide, out, 1)
        self.residual = stride == 1 and channels == out

    def forward(self, images: Tensor) -> Tensor:  # (B, channels, h, w) -> (B, out, ceil(h / stride), ceil(w / stride))
        states = images if self.expand is None else F.relu6(self.expand(images))
        states = self.project(F.relu6(self.depthwise(states)))
        out: Tensor = images + states if self.residual else states
        return out


class EfficientNetLite2(nn.Module):
    """EfficientNet-Lite2 up to its last feature map; BatchNorms are folded into the convolutions before them.

    After the EfficientNet-Lite models of tensorflow/tpu (arXiv 1905.11946 without squeeze-and-excitation, ReLU6 for
    swish, stem and head not scaled). A frozen BatchNorm is a multiplication and an addition: folded, it costs nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv2d(3, LITE2_BLOCKS[0].channels, 3, 2)
        self.blocks = nn.ModuleList(InvertedResidual(block) for block in LITE2_BLOCKS)
        self.head = SameConv2d(LITE2_BLOCKS[-1].out, BACKBONE_WIDTH, 1)

    def forward(self, pixels: Tensor, before: int = 0) -> Tensor:
        """(B, 3, S, S) -> (B, ceil(S / 32) ** 2, 1280); or the map before so many of the last blocks."""
        states = F.relu6(self.stem(pixels))
        for block in self.blocks[: len(self.blocks) - before]:
            states = block(states)
        return as_tokens(states if before else F.relu6(self.head(states)))

    def last_map(self, features: Tensor, before: int) -> Tensor:
        """The rest of the way, from the map before so many of the last blocks: (B, P, channels) -> (B, P, 1280)."""
        return _through(self.blocks[len(self.blocks) - before :], self.head, features)


class LastBlocks(nn.Module):
    """The last blocks and the head of an EfficientNet-Lite2, which go another way than its own."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(InvertedResidual(block) for block in LITE2_BLOCKS[-count:])
        self.head = SameConv2d(LITE2_BLOCKS[-1].out, BACKBONE_WIDTH, 1)

    def forward(self, features: Tensor) -> Tensor:  # (B, P, channels) -> (B, P, 1280)
        return _through(self.blocks, self.head, features)


def _through(blocks: Iterable[nn.Module], head: nn.Module, features: Tensor) -> Tensor:
    """Blocks and the head, from tokens to tokens."""
    side = isqrt(features.shape[1])
    states = features.transpose(1, 2).reshape(features.shape[0], -1, side, side)
    for block in blocks:
        states = block(states)
    return as_tokens(F.relu6(head(states)))


def as_tokens(states: Tensor) -> Tensor:
    """A map (B, channels, h, w) as a row of tokens (B, h * w, channels)."""
    return states.flatten(2).transpose(1, 2)


class Concepts(nn.Module):
    """What the image network's own ImageNet classifier knows, as words: probabilities, and tokens for the likeliest.

    `words` (classes, W) is 1 where a class counts for a word; a word's probability is the sum over its classes. `table`
    holds a fixed embedding of each word, which training leaves alone.
    """

    words: Tensor
    table: Tensor

    def __init__(self, config: VisionConfig, word_width: int) -> None:
        super().__init__()
        self.classifier = nn.Linear(BACKBONE_WIDTH, IMAGENET_CLASSES)
        self.register_buffer("words", torch.zeros(IMAGENET_CLASSES, len(config.concept_words)))
        if config.concept_tokens:
            self.register_buffer("table", torch.zeros(len(config.concept_words), word_width))
            self.project = nn.Linear(word_width, config.hidden_size)
            self.probability = nn.Parameter(torch.zeros(config.hidden_size))
            self.norm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)

    def probabilities(self, features: Tensor) -> Tensor:
        """features: (B, P, 1280), the backbone's map. Result (B, W)."""
        classes: Tensor = self.classifier(features.mean(dim=1)).softmax(dim=-1)
        return classes @ self.words

    def forward(self, ids: Tensor, probabilities: Tensor) -> Tensor:  # both (B, K) -> (B, K, D)
        states = self.project(self.table[ids]) + probabilities.unsqueeze(-1) * self.probability
        out: Tensor = self.norm(states)
        return out


# ------------------------------------------------------------------------------------------------ text transformer


class Cache:
    """Keys and values of the tokens read so far, in every layer of a text transformer.

    Room for `capacity` tokens is allocated once. `length` tokens are in use; the transformer appends to them.
    """

    def __init__(self, config: TextConfig, rows: int, capacity: int, like: Tensor) -> None:
        """`like` gives dtype and device."""
        heads = config.num_attention_heads
        shape = (config.num_hidden_layers, 2, rows, heads, capacity, config.hidden_size // heads)
        self.stored = like.new_zeros(shape)
        self.length = 0

    def append(self, layer: int, keys: Tensor, values: Tensor) -> KeyValues:
        """Write those of T new tokens, (R, H, T, d), behind the rest; all so far, (R, H, length + T, d)."""
        end = self.length + keys.shape[2]
        self.stored[layer, 0, :, :, self.length : end] = keys
        self.stored[layer, 1, :, :, self.length : end] = values
        return self.stored[layer, 0, :, :, :end], self.stored[layer, 1, :, :, :end]

    def select(self, rows: Tensor) -> None:
        """Row r becomes what row rows[r] was, (new rows,); rows may be repeated, dropped and reordered."""
        self.stored = self.stored.index_select(2, rows)


class TextSelfAttention(nn.Module):
    """Multi-head attention from text states to keys and values that were computed apart."""

    def __init__(self, config: TextConfig, source_width: int, dropout: float) -> None:
        super().__init__()
        self.heads = config.num_attention_heads
        self.dropout = dropout
        self.query = nn.Linear(config.hidden_size, config.hidden_size)
        self.key = nn.Linear(source_width, config.hidden_size)
        self.value = nn.Linear(source_width, config.hidden_size)

    def keys_values(self, source: Tensor) -> KeyValues:
        """source: (B, N, source width). Keys and values, each (B, H, N, d)."""
        keys, values = (linear(source).unflatten(-1, (self.heads, -1)) for linear in (self.key, self.value))
        return keys.transpose(1, 2), values.transpose(1, 2)

    def forward(self, states: Tensor, source: KeyValues, mask: Tensor | None, causal: bool) -> Tensor:
        """states: (R, T, D); mask: broadcastable to (B, H, k * T, N), True may be seen.

        The R = B * k rows stand k behind one another on the query axis, so that keys and values are never repeated.
        """
        keys, values = source
        queries = self.query(states).view(keys.shape[0], -1, self.heads, keys.shape[-1]).transpose(1, 2)
        dropout = self.dropout if self.training else 0.0
        mixed = attend(queries, keys, values, mask, dropout, causal)
        return mixed.transpose(1, 2).reshape(states.shape)


class ResidualOutput(nn.Module):
    """Linear, dropout, residual, then LayerNorm: BERT's post-LN."""

    def __init__(self, config: TextConfig, source_width: int, dropout: float) -> None:
        super().__init__()
        self.dense = nn.Linear(source_width, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: Tensor, residual: Tensor) -> Tensor:  # (R, T, source width), (R, T, D) -> (R, T, D)
        out: Tensor = self.LayerNorm(self.dropout(self.dense(states)) + residual)
        return out


class TextAttention(nn.Module):
    """Attention and its residual output."""

    def __init__(self, config: TextConfig, source_width: int, dropout: float) -> None:
        super().__init__()
        self.self = TextSelfAttention(config, source_width, dropout)
        self.output = ResidualOutput(config, config.hidden_size, dropout)

    def forward(self, states: Tensor, source: KeyValues, mask: Tensor | None = None, causal: bool = False) -> Tensor:
        out: Tensor = self.output(self.self(states, source, mask, causal), states)
        return out


class TextIntermediate(nn.Module):
    """The widening half of the feed-forward network, with the exact GELU."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intermediate_size)

    def forward(self, states: Tensor) -> Tensor:  # (R, T, D) -> (R, T, intermediate)
        return F.gelu(self.dense(states))


class TextLayer(nn.Module):
    """Self-attention, cross-attention where there is a context, feed-forward; post-LN."""

    def __init__(self, config: TextConfig, dropout: float) -> None:
        super().__init__()
        self.attention = TextAttention(config, config.hidden_size, dropout)
        self.crossattention = TextAttention(config, config.encoder_hidden_size, dropout)
        self.intermediate = TextIntermediate(config)
        self.output = ResidualOutput(config, config.intermediate_size, dropout)

    def forward(
        self,
        states: Tensor,  # (R, T, D)
        own: KeyValues,
        mask: Tensor | None,
        causal: bool,
        context: KeyValues | None,
        context_mask: Tensor | None,
    ) -> Tensor:
        states = self.attention(states, own, mask, causal)
        if context is not None:
            states = self.crossattention(states, context, context_mask)
        out: Tensor = self.output(self.intermediate(states), states)
        return out


class TextEncoder(nn.Module):
    """The stack of layers."""

    def __init__(self, config: TextConfig, dropout: float) -> None:
        super().__init__()
        layers = [TextLayer(config, dropout) for _ in range(config.num_hidden_layers)]
        self.layer: Sequence[TextLayer] = nn.ModuleList(layers)  # type: ignore[assignment]  # torch's is not generic


class TextEmbeddings(nn.Module):
    """Word and position embeddings."""

    def __init__(self, config: TextConfig, dropout: float) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.dropout = nn.Dropout(dropout)

    def forward(self, ids: Tensor, start: int = 0, positions: Tensor | None = None) -> Tensor:  # (R, T) -> (R, T, D)
        """`positions` (R, T) of the tokens; otherwise they count from `start`."""
        if positions is None:
            placed = self.position_embeddings.weight[start : start + ids.shape[1]]
        else:
            placed = self.position_embeddings(positions)
        out: Tensor = self.dropout(self.LayerNorm(self.word_embeddings(ids) + placed))
        return out


class TextModel(nn.Module):
    """The text transformer. Its role is a matter of arguments (paper, figure 2):

    unimodal encoder         no context, not causal
    image-grounded encoder   context, not causal
    image-grounded decoder   context, causal, and a cache where one token follows another
    """

    def __init__(self, config: TextConfig, dropout: float = 0.0) -> None:
        super().__init__()
        self.config = config
        self.embeddings = TextEmbeddings(config, dropout)
        self.encoder = TextEncoder(config, dropout)

    def context(self, features: Tensor) -> list[KeyValues]:
        """Cross-attention keys and values of every layer over features (B, N, features' width): once per image."""
        return [layer.crossattention.self.keys_values(features) for layer in self.encoder.layer]

    def forward(
        self,
        ids: Tensor,
        mask: Tensor | None = None,
        *,
        causal: bool,
        context: Sequence[KeyValues] | None = None,
        context_mask: Tensor | None = None,
        cache: Cache | None = None,
        positions: Tensor | None = None,
    ) -> Tensor:
        """Hidden states (R, T, D) of ids (R, T).

        mask: (R, cached + T), nonzero for tokens; None where nothing is padding. A causal role with padding at the end
        needs none either: no token sees what stands behind it. Or (R, T, T), nonzero where a token may see another,
        with the `positions` (R, T) of the tokens: so several texts can share a row, whatever `causal` says.
        context: from `context`, over B images, R = B * k.
        context_mask: (B, N), nonzero for features that may be seen; a row of zeros sees nothing, and that is allowed.
        """
        past = cache.length if cache else 0
        states: Tensor = self.embeddings(ids, past, positions)
        own_mask, plain_causal = self._own_mask(ids, past, mask, causal)
        cross_mask = None if context_mask is None else context_mask.bool()[:, None, None, :]
        for i, layer in enumerate(self.encoder.layer):
            own = layer.attention.self.keys_values(states)
            if cache:
                own = cache.append(i, *own)
            states = layer(states, own, own_mask, plain_causal, context[i] if context else None, cross_mask)
        if cache:
            cache.length += ids.shape[1]
        return states

    @staticmethod
    def _own_mask(ids: Tensor, past: int, mask: Tensor | None, causal: bool) -> tuple[Tensor | None, bool]:
        """The mask for self-attention, (R or 1, 1, T, past + T) or None, and whether attention is plainly causal."""
        if mask is not None and mask.ndim == 3:
            return mask.bool()[:, None], False
        length = ids.shape[1]
        padding = None if mask is None else mask.bool()[:, None, None, :]
        if not causal or length == 1:
            return padding, False
        if padding is None and not past:
            return None, True
        triangle = torch.ones(length, past + length, dtype=torch.bool, device=ids.device).tril(past)[None, None]
        return triangle if padding is None else triangle & padding, False


class PredictionTransform(nn.Module):
    """The non-linear half of the language-modelling head."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)

    def forward(self, states: Tensor) -> Tensor:  # (..., D)
        out: Tensor = self.LayerNorm(F.gelu(self.dense(states)))
        return out


class Predictions(nn.Module):
    """Language-modelling head; its matrix is the word embeddings', so only the bias is its own."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.transform = PredictionTransform(config)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def forward(self, states: Tensor, words: Tensor) -> Tensor:  # (..., D), (V, D) -> (..., V)
        return F.linear(self.transform(states), words, self.bias)


class PredictionHead(nn.Module):
    """A level of names that the checkpoints have: `cls.predictions`."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.predictions = Predictions(config)


class TextDecoder(nn.Module):
    """The text transformer with a language-modelling head."""

    def __init__(self, config: TextConfig, dropout: float = 0.0) -> None:
        super().__init__()
        self.bert = TextModel(config, dropout)
        self.cls = PredictionHead(config)

    def logits(self, states: Tensor) -> Tensor:
        """Next-token logits (..., V) of hidden states (..., D): hand in only the positions that are wanted."""
        out: Tensor = self.cls.predictions(states, self.bert.embeddings.word_embeddings.weight)
        return out


# ------------------------------------------------------------------------------------------------------- the whole


class Blip(nn.Module):
    """Both towers and the heads of `config.task`. A verb whose head is not there raises CapabilityError.

    Text rows may outnumber images: R = B * k rows stand in the order of their images, k an image, and neither image
    layers nor cross-attention keys and values are computed or kept more than once an image. `dropout` is the text
    side's while training; the paper uses 0.1.
    """

    def __init__(self, config: BlipConfig, dropout: float = 0.0) -> None:
        super().__init__()
        self.config = config
        self.vision_model = VisionModel(config)
        if config.task in READING:
            self.text_encoder = TextModel(config.text, dropout)
        if config.task in WRITING:
            self.text_decoder = TextDecoder(config.text, dropout)
        if config.task == "answer":  # its context is question states, as wide as text
            self.text_decoder = TextDecoder(replace(config.text, encoder_hidden_size=config.text.hidden_size), dropout)
        if config.task in PAIRING:
            self.vision_proj = nn.Linear(config.vision.hidden_size, config.projection_dim)
            self.text_proj = nn.Linear(config.text.hidden_size, config.projection_dim)
            self.itm_head = nn.Linear(config.text.hidden_size, 2)
        self.apply(_initialise)
        if config.task in SHARING:
            _share_all_but_self_attention(self.text_encoder, self.text_decoder.bert)

    # Image side.

    def encode(self, pixels: Tensor) -> Tensor:
        """Features (B, N, D) of normalised pixels (B, 3, S, S)."""
        out: Tensor = self.vision_model(pixels)
        return out

    def backbone_features(self, pixels: Tensor) -> Tensor:
        """The hybrid's feature map (B, P, channels) of pixels (B, 3, S, S): what `encode_map` starts from."""
        self._need(self.config.vision.embedding == "efficientnet_lite2", "a feature map", "the hybrid image encoder")
        vision = self.vision_model
        out: Tensor = vision.embeddings.backbone(pixels, vision.config.adapted_blocks)
        return out

    def encode_map(self, features: Tensor) -> Tensor:
        """Features (B, N, D) of the hybrid's map (B, P, channels): `encode` without the part of its network before."""
        return self.vision_model.encode_map(features)

    def concept_probabilities(self, features: Tensor) -> Tensor:
        """Probability of each concept word, (B, W), by the image network's classifier, of its map as above."""
        self._need(bool(self.config.vision.concept_words), "concept words", "the built-in model")
        return self.vision_model.concept_probabilities(features)

    def concept_features(self, ids: Tensor, probabilities: Tensor) -> Tensor:
        """Feature tokens (B, K, D) of concept words: indices and probabilities, both (B, K)."""
        self._need(self.config.vision.concept_tokens > 0, "concept tokens", "the built-in model")
        out: Tensor = self.vision_model.concepts(ids, probabilities)
        return out

    # Captions and answers.

    def decode(self, ids: Tensor, mask: Tensor | None, features: Tensor, features_mask: Tensor | None = None) -> Tensor:
        """Next-token logits (R, T, V) of ids (R, T) over features (B, N, D): image features, or question states.

        mask: (R, T) and features_mask: (B, N), nonzero where there is something to see; see `TextModel.forward`.
        """
        states = self.decode_states(ids, mask, features, features_mask)
        return self.text_decoder.logits(states)

    def decode_states(
        self,
        ids: Tensor,
        mask: Tensor | None,
        features: Tensor,
        features_mask: Tensor | None = None,
        positions: Tensor | None = None,
    ) -> Tensor:
        """Hidden states (R, T, D), so that `text_decoder.logits(states[wanted])` can skip the head for padding.

        With a mask (R, T, T) and `positions` (R, T), several texts share a row; see `TextModel.forward`.
        """
        self._need(hasattr(self, "text_decoder"), "decoding", "a captioning or question-answering checkpoint")
        bert = self.text_decoder.bert
        out: Tensor = bert(
            ids,
            mask,
            causal=True,
            context=bert.context(features),
            context_mask=features_mask,
            positions=positions,
        )
        return out

    def read(self, ids: Tensor, mask: Tensor | None, features: Tensor, features_mask: Tensor | None = None) -> Tensor:
        """States (R, T, D) of the image-grounded encoder, such as a question's, for `decode` to answer from."""
        self._need(hasattr(self, "text_encoder"), "reading text", "a matching or question-answering checkpoint")
        context = self.text_encoder.context(features)
        out: Tensor = self.text_encoder(ids, mask, causal=False, context=context, context_mask=features_mask)
        return out

    # Matching and retrieval.

    def match(self, ids: Tensor, mask: Tensor | None, features: Tensor, features_mask: Tensor | None = None) -> Tensor:
        """Image-text matching logits (R, 2): [no match, match]."""
        self._need(hasattr(self, "itm_head"), "matching", "a retrieval checkpoint")
        out: Tensor = self.itm_head(self.read(ids, mask, features, features_mask)[:, 0])
        return out

    def embed_image(self, features: Tensor) -> Tensor:
        """Unit vectors (B, projection) of features (B, N, D), comparable with those of `embed_text`."""
        self._need(hasattr(self, "vision_proj"), "embedding", "a retrieval checkpoint")
        return F.normalize(self.vision_proj(features[:, 0]), dim=-1)

    def embed_text(self, ids: Tensor, mask: Tensor | None) -> Tensor:
        """Unit vectors (R, projection) of ids (R, T)."""
        self._need(hasattr(self, "text_proj"), "embedding", "a retrieval checkpoint")
        return F.normalize(self.text_proj(self.text_encoder(ids, mask, causal=False)[:, 0]), dim=-1)

    def _need(self, present: bool, verb: str, what: str) -> None:
        if not present:
            raise CapabilityError(f"A {self.config.task!r} model cannot do {verb}", f"Use {what}.")


def from_checkpoint(checkpoint: Checkpoint, dropout: float = 0.0) -> Blip:
    """The model with a checkpoint's weights, float32 on the CPU, in training mode as every new module is."""
    with torch.device("meta"):  # nothing is initialised that is overwritten anyway
        model = Blip(checkpoint.config, dropout)
    weights = {name: torch.tensor(value) for name, value in checkpoint.weights.items()}
    model.load_state_dict(weights, assign=True)
    return model


def to_arrays(model: Blip) -> dict[str, NDArray[np.float32]]:
    """The model's weights as `write_checkpoint` takes them."""
    return {name: value.detach().cpu().float().numpy() for name, value in model.state_dict().items()}


def _initialise(module: nn.Module) -> None:
    """Fresh weights as in the paper's code: normal with deviation 0.02, biases zero, LayerNorms identities."""
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.trunc_normal_(module.weight, std=0.02)
    elif isinstance(module, nn.Conv2d):
        # The folded backbone has no BatchNorm to restore the scale, so keep the variance (arXiv 1502.01852).
        nn.init.kaiming_normal_(module.weight, mode="fan_out" if module.groups == 1 else "fan_in")
    elif isinstance(module, VisionEmbeddings):
        nn.init.trunc_normal_(module.class_embedding, std=0.02)
        nn.init.trunc_normal_(module.position_embedding, std=0.02)
    if isinstance(module, (nn.Linear, nn.Conv2d)) and module.bias is not None:
        nn.init.zeros_(module.bias)


def _share_all_but_self_attention(encoder: TextModel, decoder: TextModel) -> None:
    """The decoder takes the encoder's embeddings, cross-attention and feed-forward (paper, section 3.2)."""
    decoder.embeddings = encoder.embeddings
    for mine, theirs in zip(decoder.encoder.layer, encoder.encoder.layer, strict=True):
        mine.crossattention = theirs.crossattention
        mine.intermediate = theirs.intermediate
        mine.output = theirs.output
