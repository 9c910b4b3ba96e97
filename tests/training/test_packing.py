"""Packed texts are read as each would be alone, and little is left empty."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_pairs import CLS, pair_config, pair_model

from seesay.training.packing import Texts, beside, pack

TEXT = pair_config().text
CAPTIONS = [[5, 6, 7], [8], [9, 10, 11, 12, 13, 14], [15, 16], [17, 18, 19], [20]]


@torch.no_grad()
@pytest.mark.parametrize("groups", [None, [0, 1, 2, 0, 1, 1]])
def test_a_packed_text_has_the_states_that_it_has_alone(groups: list[int] | None) -> None:
    model = pair_model().eval()
    encoder, features = model.text_encoder, torch.randn(3, 5, 32)
    texts = Texts.of(CAPTIONS, CLS, TEXT, groups)
    assert len(texts.ids) < len(CAPTIONS)
    context = beside(encoder.context(features), texts.groups) if groups else None
    states = texts.firsts(encoder(texts.ids, texts.seen, causal=False, context=context, positions=texts.positions))
    for index, caption in enumerate(CAPTIONS):
        alone = encoder.context(features[groups[index]][None]) if groups else None
        expected = encoder(torch.tensor([[CLS, *caption, TEXT.eos_token_id]]), causal=False, context=alone)
        assert torch.allclose(states[index], expected[0, 0], atol=1e-5)


def test_a_row_holds_texts_of_one_image_only() -> None:
    texts = Texts.of(CAPTIONS, CLS, TEXT, [1, 0, 1, 0, 2, 1])
    for row, image in zip(texts.owners, texts.groups, strict=True):
        assert {[1, 0, 1, 0, 2, 1][i] for i in row[row >= 0].tolist()} == {int(image)}


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(2, 30), st.integers(0, 4)), min_size=1, max_size=40))
def test_every_text_has_one_place(asked: list[tuple[int, int]]) -> None:
    lengths, groups = [length for length, _ in asked], [group for _, group in asked]
    rows = pack(lengths, groups)
    assert sorted(i for row in rows for i in row) == list(range(len(asked)))
    assert all(len({groups[i] for i in row}) == 1 for row in rows)
    width = max(sum(lengths[i] for i in row) for row in rows)
    assert len(rows) * width <= len(asked) * max(lengths)  # never more than a row for each


def test_little_is_left_empty() -> None:
    rng = np.random.default_rng(0)
    lengths = rng.normal(13, 4, 192).clip(6, 30).astype(int).tolist()
    for groups, wasted in (([0] * 192, 0.03), ((np.arange(192) // 3).tolist(), 0.3)):
        rows = pack(lengths, groups)
        tokens = len(rows) * max(sum(lengths[i] for i in row) for row in rows)
        assert 1 - sum(lengths) / tokens < wasted
    assert 1 - sum(lengths) / (192 * max(lengths)) > 0.35


def test_rows_beside_all_images_in_order_copy_nothing() -> None:
    context = [(torch.zeros(3, 2, 5, 4), torch.ones(3, 2, 5, 4))]
    assert beside(context, torch.tensor([0, 1, 2]))[0][0] is context[0][0]
    assert beside(context, torch.tensor([2, 2, 0, 1]))[0][0].shape == (4, 2, 5, 4)
