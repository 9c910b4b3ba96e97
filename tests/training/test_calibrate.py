"""The matching head's scale: fitted to what it says, and put into its weights."""

from __future__ import annotations

import numpy as np
import pytest

from seesay.training.calibrate import logistic


def test_the_scale_makes_probabilities_of_what_is_off() -> None:
    """Log-odds that are a third of what they should be, and 2 too low."""
    rng = np.random.default_rng(0)
    true = rng.normal(0, 2, 20_000)
    right = rng.random(20_000) < 1 / (1 + np.exp(-true))
    said = true / 3 - 2
    slope, shift = logistic(said[right], said[~right])
    assert slope == pytest.approx(3, rel=0.08)
    assert slope * -2 + shift == pytest.approx(0, abs=0.1)


def test_what_tells_nothing_apart_is_left_about_even() -> None:
    said = np.random.default_rng(0).normal(-1, 1, 2000)
    slope, shift = logistic(said[:1000], said[1000:])
    chances = 1 / (1 + np.exp(-(slope * said + shift)))
    assert chances.mean() == pytest.approx(0.5, abs=0.02)
    assert chances.std() < 0.1
