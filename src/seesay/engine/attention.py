"""Attention in ONNX graphs: fused in float32, and from single operators where its products are computed in int8.

In int8 three things keep it as exact as the linear layers around it (trained ViT-S at 577 tokens, cosine of the
features to float32 on eight photos: 0.9990 with float32 attention, 0.9990 with this one, 0.9973 without the third):
- no channel of queries and keys is much larger in one than in the other (`query_gains`);
- each query's probabilities have a scale of their own, or those of a query that looks at everything a little would be
  rounded to nothing beside those of one that looks at one place;
- the mean of all values is taken out before and added behind: as probabilities sum to one that changes nothing, and
  the many that are too small to count then weigh differences only.

It takes a dozen operators, and pays where there are many keys to read (`in_bytes`).

Letters in shapes: B images, S queries, N keys, D width, H heads, d = D / H. Queries are scaled already.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seesay.engine.base import Floats
from seesay.engine.graph import CONTRIB, Graph, Value

BYTES_FROM = 128
"""Keys from which attention in int8 pays. Over the 88 of the built-in model the operators of one decoder layer take
60 us, the fused one in float32 35 us; at BLIP-base's 577, 768 wide, its keys and values alone are 3.5 MB a layer."""


def in_bytes(graph: Graph, keys: int) -> bool:
    """Whether attention over so many keys is computed in int8."""
    return graph.precision == "int8" and keys >= BYTES_FROM


def query_gains(queries: Floats, keys: Floats) -> Floats:
    """What to multiply each channel of queries by, (D,), and divide that of keys by, to make both about as large.

    queries, keys: the weights (D, in) that make them. No score changes.
    """
    sizes = [np.maximum(norms, norms.max() / 1000) for norms in (np.linalg.norm(w, axis=1) for w in (queries, keys))]
    gains: Floats = np.sqrt(sizes[1] / sizes[0]).astype(np.float32)
    return gains


def attend(graph: Graph, queries: Value, keys: Value, values: Value, heads: int, shape: tuple[int, int]) -> Value:
    """Attention of queries (B, S, D) over keys and values of `shape` (N, D) an image, in the graph's precision."""
    count, width = shape
    if in_bytes(graph, count):
        return attend_stored(graph, queries, store_bytes(graph, keys, values, heads, width), heads)
    return graph.op("MultiHeadAttention", queries, keys, values, domain=CONTRIB, num_heads=heads, scale=1.0)


@dataclass(frozen=True, slots=True)
class Stored:
    """Keys and values as many queries will want them. In float32 both (B, H, N, d), and no more."""

    keys: Value  # int8: signed bytes (B, H, d, N)
    values: Value  # int8: signed bytes (B, H, N, d)
    key_scale: Value = ""  # ()
    value_scale: Value = ""  # ()
    value_mean: Value = ""  # (B, 1, D)


def store(graph: Graph, keys: Value, values: Value, heads: int) -> Stored:
    """Keys and values, both (B, N, D), for attention in float32."""
    return Stored(*(_split(graph, flat, heads) for flat in (keys, values)))


def store_bytes(graph: Graph, keys: Value, values: Value, heads: int, width: int) -> Stored:
    """Keys and values, both (B, N, D = width), for attention in int8."""
    mean = graph.op("ReduceMean", values, graph.constant(np.array([1])), keepdims=1)
    key_bytes, key_scale = _signed_bytes(graph, keys)
    value_bytes, value_scale = _signed_bytes(graph, graph.op("Sub", values, mean))
    columns = graph.reshape(graph.op("Transpose", key_bytes, perm=[0, 2, 1]), 0, heads, width // heads, -1)
    return Stored(columns, _split(graph, value_bytes, heads), key_scale, value_scale, mean)


def attend_stored(graph: Graph, queries: Value, stored: Stored, heads: int) -> Value:
    """Attention of queries (B, S, D) over keys and values from `store` or `store_bytes`; (B, S, D)."""
    if not stored.key_scale:
        inputs = (queries, stored.keys, stored.values)
        return graph.op("MultiHeadAttention", *inputs, domain=CONTRIB, num_heads=heads, scale=1.0)
    rounded, scale, zero = graph.ops("DynamicQuantizeLinear", _split(graph, queries, heads), outputs=3)
    factors = (rounded, stored.keys, scale, stored.key_scale, zero)
    chances = graph.op("Softmax", graph.op("MatMulIntegerToFloat", *factors, domain=CONTRIB), axis=-1)  # (B, H, S, N)
    largest = graph.op("ReduceMax", chances, graph.constant(np.array([-1])), keepdims=1)
    steps = graph.op("Mul", largest, graph.constant(np.array(1 / 255, np.float32)))  # (B, H, S, 1)
    counts = graph.op("QuantizeLinear", graph.op("Flatten", chances, axis=3), graph.reshape(steps, -1), axis=0)
    counts = graph.op("Reshape", counts, graph.op("Shape", chances))
    one = graph.constant(np.array(1, np.float32))
    mixed = graph.op("MatMulIntegerToFloat", counts, stored.values, one, stored.value_scale, domain=CONTRIB)
    mixed = graph.op("Transpose", graph.op("Mul", mixed, steps), perm=[0, 2, 1, 3])
    return graph.op("Add", graph.reshape(mixed, 0, 0, -1), stored.value_mean)


def _split(graph: Graph, flat: Value, heads: int) -> Value:
    """(B, N, D) to (B, H, N, d)."""
    return graph.op("Transpose", graph.reshape(flat, 0, 0, heads, -1), perm=[0, 2, 1, 3])


def _signed_bytes(graph: Graph, states: Value) -> tuple[Value, Value]:
    """A tensor as signed bytes, and the one scale that they are multiples of.

    ONNX has dynamic quantisation to unsigned bytes only, and the product with those as second factor takes twice the
    time.
    """
    largest = graph.op("ReduceMax", graph.op("Abs", states), keepdims=0)
    scale = graph.op("Mul", largest, graph.constant(np.array(1 / 127, np.float32)))
    scale = graph.op("Max", scale, graph.constant(np.array(1e-12, np.float32)))
    return graph.op("QuantizeLinear", states, scale, graph.constant(np.array(0, np.int8))), scale
