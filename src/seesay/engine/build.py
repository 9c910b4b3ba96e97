"""BLIP as ONNX graphs, written straight from a checkpoint's weights: no PyTorch, no tracing, no export.

    image    pixels -> features, and the probabilities of concept words where the model has them
    context  features -> cross-attention keys and values of every decoder layer
    decoder  tokens, cache, context -> next-token logits, longer cache

The arithmetic is that of `blip/model.py`; what is arranged differently here is said where it happens. Letters in
shapes: B images, S tokens read at once, T tokens in the cache, N features, D width, H heads, d = D / H.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from seesay.blip.config import BACKBONE_WIDTH, LITE2_STAGES, BlipConfig, TextConfig, VisionConfig
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
        cells = _efficientnet(graph, pixels, vision.image_size, weights.under("embeddings.backbone"))
        patches = _linear(graph, cells, weights.under("embeddings.projection"))
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
    """pixels (B, 3, side, side) -> map (B, cells, 1280): the hybrid's image network alone; training caches its maps."""
    pixels = graph.input("pixels", ("images", 3, vision.image_size, vision.image_size))
    cells = _efficientnet(graph, pixels, vision.image_size, weights.under("vision_model.embeddings.backbone"))
    graph.output(cells, "map", ("images", vision.grid_side**2, BACKBONE_WIDTH))


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
    queries, keys, values = _normed_linears(graph, states, vision, weights, "layer_norm1", "self_attn.qkv", 3)
    mixed = graph.op("MultiHeadAttention", queries, keys, values, domain=CONTRIB, num_heads=vision.num_attention_heads)
    states = graph.op("Add", states, _linear(graph, mixed, weights.under("self_attn.projection")))
    (wide,) = _normed_linears(graph, states, vision, weights, "layer_norm2", "mlp.fc1", 1)
    wide = graph.op("Gelu", wide, domain=CONTRIB)
    return graph.op("Add", states, _linear(graph, wide, weights.under("mlp.fc2")))


def _normed_linears(
    graph: Graph, states: Value, vision: VisionConfig, weights: Branch, norm: str, linear: str, parts: int
) -> list[Value]:
    """LayerNorm, then a linear layer, handed out in `parts` equal pieces.

    The LayerNorm's gain and bias go into the linear layer. In int8 that matters: outlier channels are in the gain,
    and without it one scale for the whole activation fits all channels (engine output cosine 0.9982 against 0.9965).
    """
    gain, offset = weights[f"{norm}.weight"], weights[f"{norm}.bias"]
    weight, bias = weights[f"{linear}.weight"], weights[f"{linear}.bias"]
    bias, weight = bias + weight @ offset, weight * gain
    plain = graph.constant(np.ones(vision.hidden_size, np.float32))
    normed = graph.op("LayerNormalization", states, plain, epsilon=vision.layer_norm_eps)
    return graph.linears(normed, list(zip(np.split(weight, parts), np.split(bias, parts), strict=True)))


def _efficientnet(graph: Graph, pixels: Value, side: int, weights: Branch) -> Value:
    """EfficientNet-Lite2's last feature map, (B, cells, 1280). Its convolutions stay in float32: see `linear`."""
    states, side = _convolution(graph, pixels, side, weights.under("stem"), stride=2, clip=True)
    channels, block = weights["stem.weight"].shape[0], 0
    for repeats, _, stride, expansion, out in LITE2_STAGES:
        for i in range(repeats):
            shape = (expansion, 1 if i else stride, i > 0 or (stride == 1 and channels == out))
            states, side = _inverted_residual(graph, states, side, weights.under(f"blocks.{block}"), *shape)
            channels, block = out, block + 1
    states, side = _convolution(graph, states, side, weights.under("head"), clip=True)
    return graph.op("Transpose", graph.reshape(states, 0, BACKBONE_WIDTH, -1), perm=[0, 2, 1])


def _inverted_residual(
    graph: Graph, images: Value, side: int, weights: Branch, expansion: int, stride: int, residual: bool
) -> tuple[Value, int]:
    """MBConv without squeeze-and-excitation: widen, convolve each channel, narrow."""
    states = images
    if expansion > 1:
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


def context_graph(graph: Graph, text: TextConfig, weights: Branch, norm: Branch) -> None:
    """features (B, N, D) -> for each layer, cross-attention keys and values (B, H, N, d).

    The bias of the keys adds the same to every score of a query and falls out of the softmax; the bias of the values
    adds the same to every result and goes into the bias of the linear layer behind it (`_cross_attention`).
    `norm` is the LayerNorm that made the features: its gain and bias are taken out again before quantising, for the
    reason in `_normed_linears`; they too fall out, or are in that bias.
    """
    features = graph.input("features", ("images", "features", text.encoder_hidden_size))
    gain = np.ones(text.encoder_hidden_size, np.float32)
    if graph.precision == "int8":
        gain, offset = _bounded_gain(norm), norm["bias"]
        features = graph.op("Mul", graph.op("Sub", features, graph.constant(offset)), graph.constant(1 / gain))
    pairs = []
    for i in range(text.num_hidden_layers):
        layer = weights.under(f"encoder.layer.{i}.crossattention.self")
        pairs += [(layer["key.weight"] * gain, None), (layer["value.weight"] * gain, None)]
    heads = text.num_attention_heads
    for i, flat in enumerate(graph.linears(features, pairs)):
        split = graph.reshape(flat, 0, 0, heads, text.hidden_size // heads)
        name = f"context.{i // 2}.{'values' if i % 2 else 'keys'}"
        shape = ("images", heads, "features", text.hidden_size // heads)
        graph.output(graph.op("Transpose", split, perm=[0, 2, 1, 3]), name, shape)


def _bounded_gain(norm: Branch) -> Floats:
    """Size of a LayerNorm's gain, held away from zero, where it would be divided by."""
    gain = np.abs(norm["weight"])
    bounded: Floats = np.maximum(gain, gain.max() / 100)
    return bounded


# ------------------------------------------------------------------------------- tokens, cache, context -> next token


def decoder_graph(graph: Graph, text: TextConfig, weights: Branch, norm: Branch) -> None:
    """One step of S tokens an image: a prompt that is read at once, or the newest token of each of S beams.

    ids (B, S), positions (S,), mask (B, 1, S, T + S) added to scores, wanted (n,): which of the S positions get
    logits; past.*.keys and values (B, H, T, d); context.*.keys and values (B, H, N, d)
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
        states = _cached_attention(graph, states, mask, i, text, layer.under("attention"))
        states = _cross_attention(graph, states, i, text, layer.under("crossattention"), norm)
        states = _feed_forward(graph, states, text, layer)
    states = graph.op("Gather", states, wanted, axis=1)
    head = weights.under("cls.predictions")
    states = _biased_gelu(graph, states, head.under("transform.dense"))
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


def _cached_attention(graph: Graph, states: Value, mask: Value, layer: int, text: TextConfig, weights: Branch) -> Value:
    """Self-attention over the cache and the new tokens, which enter it; with residual and LayerNorm."""
    inner, heads, width = weights.under("self"), text.num_attention_heads, text.hidden_size
    names = ("query", "key", "value")
    weight = np.concatenate([inner[f"{name}.weight"] for name in names])
    bias = graph.constant(np.concatenate([inner[f"{name}.bias"] for name in names]))
    parts = graph.constant(np.array([width] * 3, np.int64))
    queries, keys, values = graph.ops("Split", graph.linear(states, weight), parts, outputs=3, axis=-1)
    shape = ("images", heads, "past", width // heads)
    past = [graph.input(f"past.{layer}.{name}", shape) for name in ("keys", "values")]
    mixed, *present = graph.ops(
        "MultiHeadAttention", queries, keys, values, bias, "", mask, *past, outputs=3, domain=CONTRIB, num_heads=heads
    )
    for value, name in zip(present, ("keys", "values"), strict=True):
        graph.output(value, f"present.{layer}.{name}", ("images", heads, "present", width // heads))
    return _residual(graph, mixed, states, text, weights.under("output"))


def _cross_attention(graph: Graph, states: Value, layer: int, text: TextConfig, weights: Branch, norm: Branch) -> Value:
    """Attention from tokens (B, S, D) to the context of their image; with residual and LayerNorm."""
    inner, heads, width = weights.under("self"), text.num_attention_heads, text.hidden_size
    shape = ("images", heads, "features", width // heads)
    context = [graph.input(f"context.{layer}.{name}", shape) for name in ("keys", "values")]
    queries = graph.linear(states, inner["query.weight"], inner["query.bias"])
    mixed = graph.op("MultiHeadAttention", queries, *context, domain=CONTRIB, num_heads=heads)
    shift = inner["value.bias"]
    if graph.precision == "int8":
        shift = shift + inner["value.weight"] @ norm["bias"]
    return _residual(graph, mixed, states, text, weights.under("output"), shift)


def _feed_forward(graph: Graph, states: Value, text: TextConfig, weights: Branch) -> Value:
    wide = _biased_gelu(graph, states, weights.under("intermediate.dense"))
    return _residual(graph, wide, states, text, weights.under("output"))


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


def _residual(
    graph: Graph, states: Value, residual: Value, text: TextConfig, weights: Branch, shift: Floats | None = None
) -> Value:
    """BERT's post-LN: a linear layer over states (+ shift, a constant), plus the residual, normalised."""
    weight, bias = weights["dense.weight"], weights["dense.bias"]
    if shift is not None:
        bias = bias + weight @ shift
    gain, offset = weights["LayerNorm.weight"], weights["LayerNorm.bias"]
    inputs = [graph.constant(array) for array in (gain, offset, bias)]
    product = graph.linear(states, weight)
    epsilon = text.layer_norm_eps
    return graph.op("SkipLayerNormalization", product, residual, *inputs, domain=CONTRIB, epsilon=epsilon)
