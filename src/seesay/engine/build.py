"""BLIP as ONNX graphs, written straight from a checkpoint's weights: no PyTorch, no tracing, no export.

    image    pixels -> features, and the probabilities of concept words where the model has them
    context  features -> cross-attention keys and values of every decoder layer
    decoder  tokens, cache, context -> next-token logits, longer cache
    reader   tokens, context -> states of the image-grounded encoder, matching logits
    text_embedding, image_embedding   the two ends of retrieval

The arithmetic is that of `blip/model.py`; what is arranged differently here is said where it happens. Letters in
shapes: B images, S tokens read at once, T tokens in the cache, N features, D width, H heads, d = D / H.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from seesay.blip.config import (
    ANSWERING,
    BACKBONE_WIDTH,
    LITE2_BLOCKS,
    PAIRING,
    READING,
    WRITING,
    BlipConfig,
    Lite2Block,
    TextConfig,
    VisionConfig,
)
from seesay.engine.attention import Stored, attend, attend_stored, in_bytes, query_gains, store, store_bytes
from seesay.engine.base import Floats
from seesay.engine.graph import CONTRIB, Graph, Value


class Branch:
    """The weights below one point of a checkpoint's tree of names."""

    def __init__(self, weights: Mapping[str, Floats], name: str = "") -> None:
        self._weights, self._name = weights, name

    def __getitem__(self, name: str) -> Floats:
        return self._weights[self._name + name]

    def under(self, name: str) -> Branch:
        """The branch `name` of this one."""
        return Branch(self._weights, f"{self._name}{name}.")


# ------------------------------------------------------------------------------------------------- image -> features


def image_graph(graph: Graph, config: BlipConfig, weights: Branch) -> None:
    """pixels (B, 3, side, side) -> features (B, N, D), and concepts (B, words) where the model has concept words."""
    vision, weights = config.vision, weights.under("vision_model")
    pixels = graph.input("pixels", ("images", 3, vision.image_size, vision.image_size))
    if vision.embedding == "efficientnet_lite2":
        before = _efficientnet(graph, pixels, vision, weights.under("embeddings.backbone"))
        cells = _last_map(graph, before, vision, weights.under("embeddings.backbone"))
        adapted = weights.under("embeddings.adapted")
        trained = _last_blocks(graph, before, vision, adapted) if vision.adapted_blocks else cells
        patches = _linear(graph, trained, weights.under("embeddings.projection"))
    else:
        patches = _patches(graph, pixels, vision, weights.under("embeddings.patch_embedding"))
    states = _with_class_token(graph, patches, vision, weights.under("embeddings"))
    for i in range(vision.num_hidden_layers):
        states = _vision_layer(graph, states, vision, weights.under(f"encoder.layers.{i}"))
    features = _layer_norm(graph, states, vision.layer_norm_eps, weights.under("post_layernorm"))
    if vision.concept_words:
        concepts, tokens = _concepts(graph, cells, vision, weights.under("concepts"))
        graph.output(concepts, "concepts", ("images", len(vision.concept_words)))
        if tokens:
            features = graph.op("Concat", features, tokens, axis=1)
    graph.output(features, "features", ("images", vision.tokens, vision.hidden_size))


def map_graph(graph: Graph, vision: VisionConfig, weights: Branch) -> None:
    """pixels (B, 3, side, side) -> map (B, cells, channels): the hybrid's image network as far as training leaves it
    alone, whose maps are computed once."""
    pixels = graph.input("pixels", ("images", 3, vision.image_size, vision.image_size))
    backbone = weights.under("vision_model.embeddings.backbone")
    states = _efficientnet(graph, pixels, vision, backbone)
    cells = (
        _as_tokens(graph, states, vision.map_width)
        if vision.adapted_blocks
        else _last_map(graph, states, vision, backbone)
    )
    graph.output(cells, "map", ("images", vision.grid_side**2, vision.map_width))


def _patches(graph: Graph, pixels: Value, vision: VisionConfig, weights: Branch) -> Value:
    """pixels to (B, grid * grid, D): the strided convolution is a product once each patch's pixels lie in a row."""
    grid, patch = vision.grid_side, vision.patch_size
    if vision.image_size % patch:
        pixels = _crop(graph, pixels, grid * patch)
    cut = graph.reshape(pixels, 0, 3, grid, patch, grid, patch)
    rows = graph.op("Transpose", cut, perm=[0, 2, 4, 1, 3, 5])
    rows = graph.reshape(rows, 0, grid * grid, 3 * patch * patch)
    return graph.linear(rows, weights["weight"].reshape(vision.hidden_size, -1), weights["bias"])


def _crop(graph: Graph, pixels: Value, side: int) -> Value:
    """The top left square of pixels that whole patches cover; a strided convolution never reads the rest."""
    start, end, axes = (graph.constant(np.array(v, np.int64)) for v in ((0, 0), (side, side), (2, 3)))
    return graph.op("Slice", pixels, start, end, axes)


def _with_class_token(graph: Graph, patches: Value, vision: VisionConfig, weights: Branch) -> Value:
    """patches (B, P, D) to (B, 1 + P, D): the class token in front, positions added to all."""
    positions = weights["position_embedding"].reshape(-1, vision.hidden_size)
    placed = graph.op("Add", patches, graph.constant(positions[1:]))
    first = graph.constant((weights["class_embedding"].reshape(-1) + positions[0])[None, None])
    images = graph.op("Shape", patches, start=0, end=1)
    shape = graph.op("Concat", images, graph.constant(np.array([1, vision.hidden_size], np.int64)), axis=0)
    return graph.op("Concat", graph.op("Expand", first, shape), placed, axis=1)


def _vision_layer(graph: Graph, states: Value, vision: VisionConfig, weights: Branch) -> Value:
    """Pre-LN block, (B, N, D) to (B, N, D)."""
    attention, heads = weights.under("self_attn"), vision.num_attention_heads
    pairs = _queries_keys_values(attention, weights.under("layer_norm1"), heads)
    queries, keys, values = graph.linears(_plain_norm(graph, states, vision), pairs)
    mixed = attend(graph, queries, keys, values, heads, (1 + vision.grid_side**2, vision.hidden_size))
    states = graph.op("Add", states, _linear(graph, mixed, attention.under("projection")))
    wide = graph.linear(
        _plain_norm(graph, states, vision), *_folded(weights.under("mlp.fc1"), weights.under("layer_norm2"))
    )
    wide = graph.op("Gelu", wide)
    return graph.op("Add", states, _linear(graph, wide, weights.under("mlp.fc2")))


def _plain_norm(graph: Graph, states: Value, vision: VisionConfig) -> Value:
    """LayerNorm without gain and bias, which are `_folded` into the linear layer behind it."""
    plain = graph.constant(np.ones(vision.hidden_size, np.float32))
    return graph.op("LayerNormalization", states, plain, epsilon=vision.layer_norm_eps)


def _folded(linear: Branch, norm: Branch) -> tuple[Floats, Floats]:
    """Weight and bias of a linear layer with the gain and bias of the LayerNorm before it.

    In int8 that matters: outlier channels are in the gain, and without it one scale fits all channels of an activation
    (encoder's output cosine to float32 0.9982 instead of 0.9965).
    """
    weight, bias = linear["weight"], linear["bias"]
    return weight * norm["weight"], bias + weight @ norm["bias"]


def _queries_keys_values(attention: Branch, norm: Branch, heads: int) -> list[tuple[Floats, Floats | None]]:
    """Weights and biases for scaled queries, keys and values.

    The keys' bias would add the same to all scores of a query: it falls out of the softmax.
    """
    weight, bias = _folded(attention.under("qkv"), norm)
    (queries, keys, values), (query_bias, _, value_bias) = np.split(weight, 3), np.split(bias, 3)
    gains = query_gains(queries, keys)
    scaled = gains * (len(queries) // heads) ** -0.5
    return [(queries * scaled[:, None], query_bias * scaled), (keys / gains[:, None], None), (values, value_bias)]


def _efficientnet(graph: Graph, pixels: Value, vision: VisionConfig, weights: Branch) -> Value:
    """EfficientNet-Lite2 as far as adapted blocks let it come, (B, channels, side, side), before its head.

    Its convolutions stay in float32: see `linear`.
    """
    states, side = _convolution(graph, pixels, vision.image_size, weights.under("stem"), stride=2, clip=True)
    for i, block in enumerate(LITE2_BLOCKS[: len(LITE2_BLOCKS) - vision.adapted_blocks]):
        states, side = _inverted_residual(graph, states, side, weights.under(f"blocks.{i}"), block)
    return states


def _last_map(graph: Graph, states: Value, vision: VisionConfig, weights: Branch) -> Value:
    """The rest of the network's own way, to its last map (B, cells, 1280)."""
    side, first = vision.grid_side, len(LITE2_BLOCKS) - vision.adapted_blocks
    for i, block in enumerate(LITE2_BLOCKS[first:], first):
        states, side = _inverted_residual(graph, states, side, weights.under(f"blocks.{i}"), block)
    states, side = _convolution(graph, states, side, weights.under("head"), clip=True)
    return _as_tokens(graph, states, BACKBONE_WIDTH)


def _last_blocks(graph: Graph, states: Value, vision: VisionConfig, weights: Branch) -> Value:
    """The adapted blocks' way to a map (B, cells, 1280)."""
    side = vision.grid_side
    for i, block in enumerate(LITE2_BLOCKS[-vision.adapted_blocks :]):
        states, side = _inverted_residual(graph, states, side, weights.under(f"blocks.{i}"), block)
    states, side = _convolution(graph, states, side, weights.under("head"), clip=True)
    return _as_tokens(graph, states, BACKBONE_WIDTH)


def _as_tokens(graph: Graph, states: Value, channels: int) -> Value:
    """(B, channels, side, side) to (B, cells, channels)."""
    return graph.op("Transpose", graph.reshape(states, 0, channels, -1), perm=[0, 2, 1])


def _inverted_residual(graph: Graph, images: Value, side: int, weights: Branch, block: Lite2Block) -> tuple[Value, int]:
    """MBConv without squeeze-and-excitation: widen, convolve each channel, narrow."""
    states, stride = images, block.stride
    residual = stride == 1 and block.channels == block.out
    if block.expansion > 1:
        states, side = _convolution(graph, states, side, weights.under("expand"), clip=True)
    states, side = _convolution(
        graph, states, side, weights.under("depthwise"), stride=stride, depthwise=True, clip=True
    )
    states, side = _convolution(graph, states, side, weights.under("project"))
    return graph.op("Add", images, states) if residual else states, side


def _convolution(
    graph: Graph,
    images: Value,
    side: int,
    weights: Branch,
    stride: int = 1,
    depthwise: bool = False,
    clip: bool = False,
) -> tuple[Value, int]:
    """Convolution padded as TensorFlow's SAME, then ReLU6 if `clip`; and the side of what comes out.

    SAME gives ceil(side / stride) outputs, the odd pixel of padding behind the image.
    """
    weight = weights["weight"]
    out_channels, kernel = weight.shape[0], weight.shape[-1]
    out = -(-side // stride)
    padding = max((out - 1) * stride + kernel - side, 0)
    before, after = padding // 2, padding - padding // 2
    states = graph.op(
        "Conv",
        images,
        graph.constant(weight),
        graph.constant(weights["bias"]),
        kernel_shape=[kernel, kernel],
        strides=[stride, stride],
        group=out_channels if depthwise else 1,
        pads=[before, before, after, after],
    )
    if clip:
        zero, six = (graph.constant(np.array(bound, np.float32)) for bound in (0, 6))
        states = graph.op("Clip", states, zero, six)
    return states, out


def _concepts(graph: Graph, cells: Value, vision: VisionConfig, weights: Branch) -> tuple[Value, Value]:
    """Probabilities of the concept words (B, words) by the image network's classifier over its map (B, cells, 1280),
    and feature tokens of the likeliest (B, concept tokens, D), "" where the model has none.

    In float32 throughout: a class that comes out second instead of first is another word.
    """
    mean = graph.op("ReduceMean", cells, graph.constant(np.array([1], np.int64)), keepdims=0)
    classes = graph.op("Softmax", _float_linear(graph, mean, weights.under("classifier")), axis=-1)
    words = graph.op("MatMul", classes, graph.constant(weights["words"]))
    if not vision.concept_tokens:
        return words, ""
    count = graph.constant(np.array([vision.concept_tokens], np.int64))
    chances, likeliest = graph.ops("TopK", words, count, outputs=2, axis=-1)
    embedded = graph.op("Gather", graph.constant(weights["table"]), likeliest)
    states = _float_linear(graph, embedded, weights.under("project"))
    column = graph.op("Unsqueeze", chances, graph.constant(np.array([-1], np.int64)))
    sure = graph.op("Mul", column, graph.constant(weights["probability"]))
    return words, _layer_norm(graph, graph.op("Add", states, sure), vision.layer_norm_eps, weights.under("norm"))


# ------------------------------------------------------------------------------------------------ features -> context


QUESTION_TOKENS = 35
"""What an answer is written from: a question, of which the paper's code reads that many tokens at most."""


def context_graph(graph: Graph, text: TextConfig, tokens: int, weights: Branch, norm: Branch) -> None:
    """features (B, N, D) -> for each layer, cross-attention keys and values as `attention` stores `tokens` of them.

    `norm` is the LayerNorm that made the features: its gain and bias are taken out again before features are rounded
    to bytes, for the reason in `_folded`.
    """
    features = graph.input("features", ("images", "features", text.encoder_hidden_size))
    gain = np.ones(text.encoder_hidden_size, np.float32)
    offset = np.zeros_like(gain)
    if graph.precision == "int8":
        gain, offset = _bounded_gain(norm), norm["bias"]
        features = graph.op("Mul", graph.op("Sub", features, graph.constant(offset)), graph.constant(1 / gain))
    pairs: list[tuple[Floats, Floats | None]] = []
    for i in range(text.num_hidden_layers):
        layer = weights.under(f"encoder.layer.{i}.crossattention.self")
        key, value = layer["key.weight"], layer["value.weight"]
        gains = query_gains(layer["query.weight"], key)
        pairs += [(key * gain / gains[:, None], None), (value * gain, layer["value.bias"] + value @ offset)]
    flat = graph.linears(features, pairs)
    for i in range(text.num_hidden_layers):
        keys, values = flat[2 * i : 2 * i + 2]
        if in_bytes(graph, tokens):
            stored = store_bytes(graph, keys, values, text.num_attention_heads, text.hidden_size)
        else:
            stored = store(graph, keys, values, text.num_attention_heads)
        for part, shape, kind in _context_parts(graph, text, tokens):
            graph.output(getattr(stored, part), f"context.{i}.{part}", shape, kind)


def _context_parts(
    graph: Graph, text: TextConfig, tokens: int
) -> list[tuple[str, tuple[int | str, ...], type[np.generic]]]:
    """Name, shape and type of what one layer's cross-attention over `tokens` reads."""
    heads, width = text.num_attention_heads, text.hidden_size // text.num_attention_heads
    rows = ("images", heads, "features", width)
    if not in_bytes(graph, tokens):
        return [("keys", rows, np.float32), ("values", rows, np.float32)]
    return [
        ("keys", ("images", heads, width, "features"), np.int8),
        ("values", rows, np.int8),
        ("key_scale", (), np.float32),
        ("value_scale", (), np.float32),
        ("value_mean", ("images", 1, text.hidden_size), np.float32),
    ]


def _bounded_gain(norm: Branch) -> Floats:
    """Size of a LayerNorm's gain, held away from zero, where it would be divided by."""
    gain = np.abs(norm["weight"])
    bounded: Floats = np.maximum(gain, gain.max() / 100)
    return bounded


# ------------------------------------------------------------------------------- tokens, cache, context -> next token


def decoder_graph(graph: Graph, text: TextConfig, context_tokens: int, weights: Branch) -> None:
    """One step of S tokens an image: a prompt that is read at once, or the newest token of each of S beams.

    ids (B, S), positions (S,), mask (B, 1, S, T + S) added to scores, wanted (n,): which of the S positions get
    logits; past.*.keys and values (B, H, T, d); context.* as `context_graph` makes them
    -> logits (B, n, vocabulary), present.*.keys and values (B, H, T + S, d).
    The cache only grows: beams share it, and the mask says which entries are ancestors of a beam. Beams stand on the
    query axis of cross-attention, so that context is never repeated.
    """
    bert = weights.under("bert")
    ids = graph.input("ids", ("images", "tokens"), np.int64)
    positions = graph.input("positions", ("tokens",), np.int64)
    mask = graph.input("mask", ("images", 1, "tokens", "present"))
    wanted = graph.input("wanted", ("wanted",), np.int64)
    states = _text_embeddings(graph, ids, positions, text, bert.under("embeddings"))
    for i in range(text.num_hidden_layers):
        layer = bert.under(f"encoder.layer.{i}")
        states = _self_attention(graph, states, mask, text, layer.under("attention"), cached=i)
        states = _cross_attention(graph, states, i, text, context_tokens, layer.under("crossattention"))
        states = _feed_forward(graph, states, text, layer)
    states = graph.op("Gather", states, wanted, axis=1)
    head = weights.under("cls.predictions")
    # In float32: it is small, some of its weights are twenty times their row's others, and every score hangs on it. Of
    # the built-in model further trained, in 7 bits, it alone made four fifths of the error of all decoder layers.
    states = graph.op("Gelu", _float_linear(graph, states, head.under("transform.dense")))
    states = _layer_norm(graph, states, text.layer_norm_eps, head.under("transform.LayerNorm"))
    words = bert["embeddings.word_embeddings.weight"]
    graph.output(graph.linear(states, words, head["bias"]), "logits", ("images", "wanted", text.vocab_size))


def _text_embeddings(graph: Graph, ids: Value, positions: Value, text: TextConfig, weights: Branch) -> Value:
    """Words and positions, (B, S, D)."""
    words, places = weights["word_embeddings.weight"], weights["position_embeddings.weight"]
    if graph.precision == "int8":  # half the file; only the rows of tokens that occur are ever read from it
        embedded = graph.op("Gather", graph.constant(words.astype(np.float16)), ids)
        embedded = graph.op("Cast", embedded, to=1)
    else:
        embedded = graph.op("Gather", graph.constant(words), ids)
    placed = graph.op("Add", embedded, graph.op("Gather", graph.constant(places), positions))
    return _layer_norm(graph, placed, text.layer_norm_eps, weights.under("LayerNorm"))


def _self_attention(
    graph: Graph, states: Value, mask: Value, text: TextConfig, weights: Branch, cached: int | None = None
) -> Value:
    """Self-attention with residual and LayerNorm; with `cached`, the number of the layer, over the cache as well, which
    the new tokens enter."""
    inner, heads, width = weights.under("self"), text.num_attention_heads, text.hidden_size
    names = ("query", "key", "value")
    weight = np.concatenate([inner[f"{name}.weight"] for name in names])
    bias = graph.constant(np.concatenate([inner[f"{name}.bias"] for name in names]))
    parts = graph.constant(np.array([width] * 3, np.int64))
    inputs = [*graph.ops("Split", graph.linear(states, weight), parts, outputs=3, axis=-1), bias, "", mask]
    if cached is None:
        mixed = graph.op("MultiHeadAttention", *inputs, domain=CONTRIB, num_heads=heads)
        return _residual(graph, mixed, states, text, weights.under("output"))
    shape = ("images", heads, "past", width // heads)
    inputs += [graph.input(f"past.{cached}.{name}", shape) for name in ("keys", "values")]
    mixed, *present = graph.ops("MultiHeadAttention", *inputs, outputs=3, domain=CONTRIB, num_heads=heads)
    for value, name in zip(present, ("keys", "values"), strict=True):
        graph.output(value, f"present.{cached}.{name}", ("images", heads, "present", width // heads))
    return _residual(graph, mixed, states, text, weights.under("output"))


def _cross_attention(
    graph: Graph,
    states: Value,
    layer: int,
    text: TextConfig,
    context_tokens: int,
    weights: Branch,
    many: bool = False,
) -> Value:
    """Attention from tokens (B, S, D) to the context of their image; with residual and LayerNorm.

    With `many`, states are (B * k, S, D): the k rows of an image stand behind one another on the query axis, so that
    its context is never repeated.
    """
    inner, heads = weights.under("self"), text.num_attention_heads
    gains = query_gains(inner["query.weight"], inner["key.weight"]) * (text.hidden_size // heads) ** -0.5
    queries = graph.linear(states, inner["query.weight"] * gains[:, None], inner["query.bias"] * gains)
    parts = {
        part: graph.input(f"context.{layer}.{part}", shape, kind)
        for part, shape, kind in _context_parts(graph, text, context_tokens)
    }
    if many:
        images = graph.op("Shape", parts["keys"], start=0, end=1)
        one_row = graph.op("Concat", images, graph.constant(np.array([-1, text.hidden_size])), axis=0)
        queries = graph.op("Reshape", queries, one_row)
    mixed = attend_stored(graph, queries, Stored(**parts), heads)
    if many:
        mixed = graph.op("Reshape", mixed, graph.op("Shape", states))
    return _residual(graph, mixed, states, text, weights.under("output"))


def _feed_forward(graph: Graph, states: Value, text: TextConfig, weights: Branch) -> Value:
    wide = _biased_gelu(graph, states, weights.under("intermediate.dense"))
    return _residual(graph, wide, states, text, weights.under("output"))


# ---------------------------------------------------------------------------------------------- text without a cache


def reader_graph(graph: Graph, config: BlipConfig, weights: Branch) -> None:
    """The image-grounded encoder, of R = B * k texts: ids (R, T), positions (T,), mask (R, 1, T, T) added to scores,
    context.* of B images -> states (R, T, D), and match (R, 2), logits of [no match, match], where it has that head."""
    states = _encoded_text(graph, config.text, weights.under("text_encoder"), config.vision.tokens)
    if config.task in PAIRING:
        graph.output(_float_linear(graph, _first(graph, states), weights.under("itm_head")), "match", ("rows", 2))
    graph.output(states, "states", ("rows", "tokens", config.text.hidden_size))


def text_embedding_graph(graph: Graph, config: BlipConfig, weights: Branch) -> None:
    """The unimodal encoder: ids (R, T), positions (T,), mask (R, 1, T, T) -> embedding (R, projection), normalised."""
    states = _encoded_text(graph, config.text, weights.under("text_encoder"))
    _output_embedding(graph, states, config, weights.under("text_proj"))


def image_embedding_graph(graph: Graph, config: BlipConfig, weights: Branch) -> None:
    """features (B, N, D) -> embedding (B, projection), unit vectors."""
    features = graph.input("features", ("images", "features", config.vision.hidden_size))
    _output_embedding(graph, features, config, weights.under("vision_proj"))


def _encoded_text(graph: Graph, text: TextConfig, weights: Branch, context_tokens: int = 0) -> Value:
    """States (R, T, D) of texts by themselves, or beside so many tokens of an image."""
    ids = graph.input("ids", ("rows", "tokens"), np.int64)
    mask = graph.input("mask", ("rows", 1, "tokens", "tokens"))
    positions = graph.input("positions", ("tokens",), np.int64)
    states = _text_embeddings(graph, ids, positions, text, weights.under("embeddings"))
    for i in range(text.num_hidden_layers):
        layer = weights.under(f"encoder.layer.{i}")
        states = _self_attention(graph, states, mask, text, layer.under("attention"))
        if context_tokens:
            cross = layer.under("crossattention")
            states = _cross_attention(graph, states, i, text, context_tokens, cross, many=True)
        states = _feed_forward(graph, states, text, layer)
    return states


def _output_embedding(graph: Graph, states: Value, config: BlipConfig, projection: Branch) -> None:
    projected = _float_linear(graph, _first(graph, states), projection)
    embedding = graph.op("LpNormalization", projected, axis=-1, p=2)
    graph.output(embedding, "embedding", ("rows", config.projection_dim))


def _first(graph: Graph, states: Value) -> Value:
    """(R, T, D) to (R, D)."""
    return graph.op("Gather", states, graph.constant(np.array(0)), axis=1)


# --------------------------------------------------------------------------------------------------- all of a model


def write_graphs(
    folder: Path,
    config: BlipConfig,
    tensors: Mapping[str, Floats],
    precision: Literal["fp32", "int8"],
    weight_bits: int,
) -> None:
    """Every graph that a model of this task needs, into `folder`."""
    weights, text = Branch(tensors), config.text
    image_norm = weights.under("vision_model.post_layernorm")
    encoder, decoder = weights.under("text_encoder"), weights.under("text_decoder")
    seen = config.vision.tokens
    writers: dict[str, Callable[[Graph], None]] = {"image": lambda graph: image_graph(graph, config, weights)}
    if config.task in WRITING:
        writers["context"] = lambda graph: context_graph(graph, text, seen, decoder.under("bert"), image_norm)
        writers["decoder"] = lambda graph: decoder_graph(graph, text, seen, decoder)
    if config.task in READING:
        writers["reader_context"] = lambda graph: context_graph(graph, text, seen, encoder, image_norm)
        writers["reader"] = lambda graph: reader_graph(graph, config, weights)
    if config.task in PAIRING:
        writers["text_embedding"] = lambda graph: text_embedding_graph(graph, config, weights)
        writers["image_embedding"] = lambda graph: image_embedding_graph(graph, config, weights)
    if config.task in ANSWERING:  # answers are written from question states
        answer = replace(text, encoder_hidden_size=text.hidden_size)
        last = f"encoder.layer.{text.num_hidden_layers - 1}.output" if text.num_hidden_layers else "embeddings"
        norm = encoder.under(f"{last}.LayerNorm")
        bert, asked = decoder.under("bert"), QUESTION_TOKENS
        writers["answer_context"] = lambda graph: context_graph(graph, answer, asked, bert, norm)
        writers["answer_decoder"] = lambda graph: decoder_graph(graph, answer, asked, decoder)
    for name, write in writers.items():
        with Graph(folder, name, precision, weight_bits) as graph:
            write(graph)


# ------------------------------------------------------------------------------------------------------------- pieces


def _linear(graph: Graph, states: Value, weights: Branch) -> Value:
    return graph.linear(states, weights["weight"], weights["bias"])


def _float_linear(graph: Graph, states: Value, weights: Branch) -> Value:
    """In float32, whatever the graph's precision."""
    product = graph.op("MatMul", states, graph.constant(weights["weight"].T))
    return graph.op("Add", product, graph.constant(weights["bias"]))


def _layer_norm(graph: Graph, states: Value, epsilon: float, weights: Branch) -> Value:
    gain, bias = graph.constant(weights["weight"]), graph.constant(weights["bias"])
    return graph.op("LayerNormalization", states, gain, bias, epsilon=epsilon)


def _biased_gelu(graph: Graph, states: Value, weights: Branch) -> Value:
    """The exact GELU of a linear layer."""
    return graph.op(
        "BiasGelu", graph.linear(states, weights["weight"]), graph.constant(weights["bias"]), domain=CONTRIB
    )


def _residual(graph: Graph, states: Value, residual: Value, text: TextConfig, weights: Branch) -> Value:
    """BERT's post-LN: a linear layer over states, plus the residual, normalised."""
    gain, offset, bias = (weights[name] for name in ("LayerNorm.weight", "LayerNorm.bias", "dense.bias"))
    inputs = [graph.linear(states, weights["dense.weight"]), residual, *map(graph.constant, (gain, offset, bias))]
    return graph.op("SkipLayerNormalization", *inputs, domain=CONTRIB, epsilon=text.layer_norm_eps)
