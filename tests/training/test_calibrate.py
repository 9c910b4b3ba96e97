"""What the ways to match are worth together: fitted to what they say."""

from __future__ import annotations

import numpy as np
import pytest

from seesay.training.calibrate import logistic


def test_weights_make_probabilities_of_what_is_off() -> None:
    """Of two columns, one tells a third of the log-odds, 2 too low, and one nothing."""
    rng = np.random.default_rng(0)
    true = rng.normal(0, 2, 20_000)
    right = rng.random(20_000) < 1 / (1 + np.exp(-true))
    said = np.column_stack([true / 3 - 2, rng.normal(5, 10, 20_000)])
    weights, bias = logistic(said[right], said[~right], ridge=1e-6)
    assert weights == pytest.approx([3, 0], abs=0.2)
    assert said @ weights + bias == pytest.approx(true, abs=0.8)


def test_two_that_tell_the_same_share_the_weight_and_two_that_tell_different_things_add_up() -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(0, 1, (20_000, 2))
    right = rng.random(20_000) < 1 / (1 + np.exp(-true.sum(axis=1)))
    twice = np.column_stack([true[:, 0], true[:, 0], true[:, 1]])
    weights, _ = logistic(twice[right], twice[~right], ridge=1e-6)
    assert weights == pytest.approx([0.5, 0.5, 1], abs=0.1)


def test_held_back_weights_tell_the_same_apart_and_are_less_sure() -> None:
    rng = np.random.default_rng(0)
    right, wrong = rng.normal(1, 1, (500, 2)), rng.normal(-1, 1, (500, 2))
    free, held = logistic(right, wrong, ridge=1e-6)[0], logistic(right, wrong)[0]
    assert np.all(held < 0.8 * free)
    assert held[0] / held[1] == pytest.approx(free[0] / free[1], rel=0.1)


def test_what_tells_nothing_apart_is_left_about_even() -> None:
    said = np.random.default_rng(0).normal(-1, 1, (2000, 1))
    weights, bias = logistic(said[:1000], said[1000:])
    chances = 1 / (1 + np.exp(-(said @ weights + bias)))
    assert chances.mean() == pytest.approx(0.5, abs=0.02)
    assert chances.std() < 0.1
