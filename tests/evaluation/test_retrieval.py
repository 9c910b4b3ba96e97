"""Recalls by hand and by brute force, re-ranking, and what ties do."""

from __future__ import annotations

import numpy as np
import pytest

from seesay.errors import UsageError
from seesay.evaluation.retrieval import nearest, recalls, reranked


def test_recalls_by_hand() -> None:
    owner = [0, 0, 1, 2]
    scores = np.array(
        [
            [0.9, 0.1, 0.2, 0.3],  # its first text is ahead of all others: rank 0
            [0.5, 0.4, 0.3, 0.2],  # two texts ahead: rank 2
            [0.1, 0.1, 0.5, 0.4],  # one ahead: rank 1
        ]
    )
    found = recalls(scores, scores, owner)
    assert found.image_to_text == (pytest.approx(1 / 3), 1, 1)
    # By column: 0.9 is first; 0.1 has 0.4 ahead and 0.1 beside; 0.3 has 0.5 ahead; 0.4 is first.
    assert found.text_to_image == (pytest.approx(2 / 4), 1, 1)
    assert found.mean == pytest.approx((1 / 3 + 1 + 1 + 1 / 2 + 1 + 1) / 6)


def test_recalls_are_those_of_sorting_everything() -> None:
    """BLIP's own way: sort, and look for the best place of any own text."""
    random = np.random.default_rng(0)
    owner = np.repeat(np.arange(40), 5)
    own = (owner[None] == np.arange(40)[:, None]) * 0.8
    i2t, t2i = random.normal(size=(2, 40, 200)) + own
    ranks = [
        min(list(np.argsort(row)[::-1]).index(text) for text in np.flatnonzero(owner == i)) for i, row in enumerate(i2t)
    ]
    places = [list(np.argsort(column)[::-1]).index(owner[text]) for text, column in enumerate(t2i.T)]
    found = recalls(i2t, t2i, owner.tolist())
    assert found.image_to_text == tuple(pytest.approx(np.mean(np.array(ranks) < k)) for k in (1, 5, 10))
    assert found.text_to_image == tuple(pytest.approx(np.mean(np.array(places) < k)) for k in (1, 5, 10))
    assert 0 < found.image_to_text[0] < 1


def test_a_model_without_an_opinion_finds_nothing() -> None:
    scores = np.zeros((20, 20))
    found = recalls(scores, scores, list(range(20)))
    assert (found.image_to_text, found.text_to_image) == ((0, 0, 0), (0, 0, 0))


def test_only_the_nearest_are_put_in_a_new_order() -> None:
    similarities = np.array([[0.9, 0.8, 0.1, 0.7]])
    near = nearest(similarities, 3)
    assert near.tolist() == [[0, 1, 3]]
    scores = reranked(similarities, near, np.array([[-5.0, 2.0, 1.9]]))
    assert np.argsort(-scores).tolist() == [[1, 3, 0, 2]]
    assert scores[0, near[0]].tolist() == pytest.approx([-4.1, 2.8, 2.6])
    assert nearest(similarities, 9).shape == (1, 4)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError, match="for 3 texts"):
        recalls(np.zeros((2, 2)), np.zeros((2, 2)), [0, 1, 1])
    with pytest.raises(UsageError, match="an image without a text"):
        recalls(np.zeros((2, 2)), np.zeros((2, 2)), [0, 0])
