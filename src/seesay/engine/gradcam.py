"""Where a text looked: Grad-CAM on one layer's cross-attention, for who has no PyTorch.

ONNX Runtime knows no gradients. So one text goes through BLIP's text transformer once more, in NumPy and float32, and
the gradient comes back through it: each step returns its result and the way back from it, a function from the gradient
of the result to that of what went in. Only the layers above the explained one are gone back through.

Attention A of one head from T tokens to N features, and the gradient G of a score with respect to it, make the map
A * max(G, 0), averaged over heads: what raised the score, as in the paper's figures (LAVIS, `compute_gradcam`).

Letters in shapes: T tokens of the one text, N features of the one picture, D width, H heads, d = D / H, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import erf, pi, sqrt

import numpy as np

from seesay.blip.config import PAIRING, WRITING, BlipConfig, TextConfig
from seesay.engine.base import Floats, Ints, cannot, check_length

Back = Callable[[Floats], Floats]
"""From the gradient of a step's result to that of what went in."""
Weights = Mapping[str, Floats]

_HIDDEN = -1e9
_erf = np.vectorize(erf, otypes=[np.float32])  # NumPy has none; a text has few enough numbers


@dataclass(frozen=True, slots=True)
class Looks:
    """What a text as a whole came to, and where each of its tokens looked for it."""

    logits: Floats
    """Matching: (2,), no match and match. Captions: (T, V), of the token after each."""
    maps: Floats
    """(T, N), not negative."""
    layer: int
    """The layer whose cross-attention it is, counted from 0."""


def middle_layer(layers: int) -> int:
    """The layer that is explained: the eighth of twelve, as in LAVIS, and as far up in smaller models."""
    return 7 * layers // 12


def matching(config: BlipConfig, weights: Weights, ids: Ints, features: Floats) -> Looks:
    """Where each token of a text looked, for the matching head's yes.

    ids: (T,), [ENC] first; features: (N, the image encoder's width). Raises CapabilityError without that head.
    """
    if config.task not in PAIRING:
        raise cannot(config.task, "match pictures and texts")
    head, bias = weights["itm_head.weight"], weights["itm_head.bias"]
    states, finish = _read(weights, "text_encoder", config.text, ids, features, causal=False)
    gradient = np.zeros_like(states)
    gradient[0] = head[1]
    return finish(head @ states[0] + bias, gradient)


def captioning(config: BlipConfig, weights: Weights, ids: Ints, features: Floats) -> Looks:
    """Where the decoder looked when it wrote each token, for the summed logits of them all. (Not for their probability:
    its gradient vanishes where the model is certain.)

    ids: (T,), the start token first; row t of the maps belongs to the token that follows ids[t]. Raises CapabilityError
    for a model that does not caption.
    """
    if config.task not in WRITING:
        raise cannot(config.task, "caption")
    states, finish = _read(weights, "text_decoder.bert", config.text, ids, features, causal=True)
    words = weights["text_decoder.bert.embeddings.word_embeddings.weight"]
    head = _Branch(weights, "text_decoder.cls.predictions.")
    hidden, back_dense = _linear(head.under("transform.dense."), states)
    active, back_gelu = _gelu(hidden)
    normal, back_norm = _layer_norm(head.under("transform.LayerNorm."), config.text.layer_norm_eps, active)
    logits = normal @ words.T + head["bias"]
    gradient = np.concatenate([words[ids[1:]], np.zeros_like(normal[:1])])
    return finish(logits, back_dense(back_gelu(back_norm(gradient))))


# -------------------------------------------------------------------------------------------------- the transformer


class _Branch:
    """The weights whose names begin alike."""

    def __init__(self, weights: Weights, name: str) -> None:
        self._weights, self._name = weights, name

    def __getitem__(self, name: str) -> Floats:
        return self._weights[self._name + name]

    def under(self, name: str) -> _Branch:
        return _Branch(self._weights, self._name + name)


def _read(
    weights: Weights, tower: str, config: TextConfig, ids: Ints, features: Floats, causal: bool
) -> tuple[Floats, Callable[[Floats, Floats], Looks]]:
    """States (T, D) of a text beside a picture; and what takes logits and the states' gradient and finds the maps."""
    check_length(len(ids), config.max_position_embeddings)
    explained = middle_layer(config.num_hidden_layers)
    mask = np.triu(np.full((len(ids), len(ids)), _HIDDEN if causal else 0, np.float32), 1)
    bert = _Branch(weights, f"{tower}.")
    embeddings = bert.under("embeddings.")
    placed = embeddings["word_embeddings.weight"][ids] + embeddings["position_embeddings.weight"][: len(ids)]
    states, _ = _layer_norm(embeddings.under("LayerNorm."), config.layer_norm_eps, placed)
    above: list[Back] = []
    for i in range(config.num_hidden_layers):
        layer = bert.under(f"encoder.layer.{i}.")
        looking, back_own = _self_attention(layer.under("attention."), config, states, mask)
        cross = _cross_attention(layer.under("crossattention."), config, looking, features)
        states, back_wide = _feed_forward(layer, config, cross.states)
        if i == explained:
            attention, to_attention = cross.attention, _chain(cross.to_attention, back_wide)
        elif i > explained:
            above.append(_chain(back_own, cross.back, back_wide))

    def finish(logits: Floats, gradient: Floats) -> Looks:
        gradient = to_attention(_chain(*above)(gradient))
        return Looks(logits, (attention * gradient.clip(min=0)).mean(axis=0), explained)

    return states, finish


def _chain(*steps: Back) -> Back:
    """One way back of several, given in the order in which they were gone."""

    def back(gradient: Floats) -> Floats:
        for step in reversed(steps):
            gradient = step(gradient)
        return gradient

    return back


def _self_attention(weights: _Branch, config: TextConfig, states: Floats, mask: Floats) -> tuple[Floats, Back]:
    """Post-LN self-attention, (T, D) to (T, D)."""
    inner = weights.under("self.")
    projected = [_linear(inner.under(f"{name}."), states) for name in ("query", "key", "value")]
    queries, keys, values = (_split(flat, config.num_attention_heads) for flat, _ in projected)
    mixed, _, back_mixed, _ = _attend(queries, keys, values, mask)
    out, back_out = _residual(weights.under("output."), config, mixed, states)

    def back(gradient: Floats) -> Floats:
        to_mixed, to_states = back_out(gradient)
        for (_, back_linear), part in zip(projected, back_mixed(to_mixed), strict=True):
            to_states = to_states + back_linear(part)
        return to_states

    return out, back


@dataclass(frozen=True, slots=True)
class _Cross:
    """One layer's look at the picture."""

    states: Floats  # (T, D)
    attention: Floats  # (H, T, N)
    back: Back  # to the states before it
    to_attention: Back  # to the attention, (H, T, N)


def _cross_attention(weights: _Branch, config: TextConfig, states: Floats, features: Floats) -> _Cross:
    inner, heads = weights.under("self."), config.num_attention_heads
    queries, back_query = _linear(inner.under("query."), states)
    keys, values = (_split(_linear(inner.under(f"{name}."), features)[0], heads) for name in ("key", "value"))
    mixed, attention, back_mixed, to_weights = _attend(_split(queries, heads), keys, values, None)
    out, back_out = _residual(weights.under("output."), config, mixed, states)

    def back(gradient: Floats) -> Floats:
        to_mixed, to_states = back_out(gradient)
        return to_states + back_query(back_mixed(to_mixed)[0])

    return _Cross(out, attention, back, lambda gradient: to_weights(back_out(gradient)[0]))


def _feed_forward(weights: _Branch, config: TextConfig, states: Floats) -> tuple[Floats, Back]:
    wide, back_wide = _linear(weights.under("intermediate.dense."), states)
    active, back_gelu = _gelu(wide)
    out, back_out = _residual(weights.under("output."), config, active, states)

    def back(gradient: Floats) -> Floats:
        to_active, to_states = back_out(gradient)
        return to_states + back_wide(back_gelu(to_active))

    return out, back


# ------------------------------------------------------------------------------------------------------------- steps


def _attend(
    queries: Floats, keys: Floats, values: Floats, mask: Floats | None
) -> tuple[Floats, Floats, Callable[[Floats], tuple[Floats, Floats, Floats]], Back]:
    """Attention of queries (H, T, d) over keys and values (H, N, d): what was mixed, (T, D); the attention (H, T, N);
    the way back to all three, (T or N, D); the way back to the attention."""
    scale = np.float32(queries.shape[-1] ** -0.5)
    scores = queries @ keys.swapaxes(1, 2) * scale
    attention = _softmax(scores if mask is None else scores + mask)

    def to_attention(gradient: Floats) -> Floats:
        found: Floats = _split(gradient, len(queries)) @ values.swapaxes(1, 2)
        return found

    def back(gradient: Floats) -> tuple[Floats, Floats, Floats]:
        weighed = attention * to_attention(gradient)
        to_scores = (weighed - attention * weighed.sum(axis=-1, keepdims=True)) * scale
        to_values = attention.swapaxes(1, 2) @ _split(gradient, len(queries))
        return _joined(to_scores @ keys), _joined(to_scores.swapaxes(1, 2) @ queries), _joined(to_values)

    return _joined(attention @ values), attention, back, to_attention


def _residual(
    weights: _Branch, config: TextConfig, states: Floats, residual: Floats
) -> tuple[Floats, Callable[[Floats], tuple[Floats, Floats]]]:
    """BERT's post-LN; the way back leads to the states and to the residual."""
    dense, back_dense = _linear(weights.under("dense."), states)
    out, back_norm = _layer_norm(weights.under("LayerNorm."), config.layer_norm_eps, dense + residual)

    def back(gradient: Floats) -> tuple[Floats, Floats]:
        to_sum = back_norm(gradient)
        return back_dense(to_sum), to_sum

    return out, back


def _linear(weights: _Branch, states: Floats) -> tuple[Floats, Back]:
    weight = weights["weight"]
    return states @ weight.T + weights["bias"], lambda gradient: gradient @ weight


def _layer_norm(weights: _Branch, epsilon: float, states: Floats) -> tuple[Floats, Back]:
    gain = weights["weight"]
    centred = states - states.mean(axis=-1, keepdims=True)
    deviation = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + np.float32(epsilon))
    normal = centred / deviation

    def back(gradient: Floats) -> Floats:
        gained = gradient * gain
        along = (gained * normal).mean(axis=-1, keepdims=True)
        found: Floats = (gained - gained.mean(axis=-1, keepdims=True) - normal * along) / deviation
        return found

    return normal * gain + weights["bias"], back


def _gelu(states: Floats) -> tuple[Floats, Back]:
    """The exact one."""
    below = (1 + _erf(states / np.float32(sqrt(2)))) / 2  # the normal distribution's share below
    slope = below + states * np.exp(-(states**2) / 2) / np.float32(sqrt(2 * pi))
    return states * below, lambda gradient: gradient * slope


def _softmax(scores: Floats) -> Floats:
    raised = np.exp(scores - scores.max(axis=-1, keepdims=True))
    found: Floats = raised / raised.sum(axis=-1, keepdims=True)
    return found


def _split(flat: Floats, heads: int) -> Floats:
    """(N, D) to (H, N, d)."""
    return flat.reshape(len(flat), heads, -1).swapaxes(0, 1)


def _joined(split: Floats) -> Floats:
    """(H, N, d) to (N, D)."""
    return split.swapaxes(0, 1).reshape(split.shape[1], -1)
