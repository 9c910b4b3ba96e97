import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seesay.decoding.logits import log_normalizer, top
from seesay.errors import ModelError


@given(st.integers(1, 4), st.integers(1, 700), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_top_is_the_head_of_a_stable_sort(rows: int, vocabulary: int, k: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    scores = random.integers(-9, 9, (rows, vocabulary)).astype(np.float32)  # whole numbers: many are equal
    scores[random.random(scores.shape) < 0.2] = -np.inf
    for row, (values, ids) in zip(scores, top(scores, k), strict=True):
        expected = np.argsort(-row, kind="stable")[:k]
        assert ids.tolist() == expected.tolist()
        assert values.tolist() == row[expected].tolist()


def test_normalizer_makes_probabilities_at_any_height() -> None:
    logits = np.random.default_rng(0).normal(0, 5, (3, 1000)).astype(np.float32)
    logits[1] += 5000.0  # exp would overflow
    logits[2, 10:] = -np.inf
    shares = np.exp(logits - log_normalizer(logits)[:, None]).sum(axis=1)
    assert shares == pytest.approx(1.0, abs=1e-3)
    exact = np.log(np.exp(logits[0].astype(np.float64)).sum())
    assert log_normalizer(logits)[0] == pytest.approx(exact, abs=1e-5)


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_scores_that_are_no_numbers_are_the_models_fault(broken: float) -> None:
    logits = np.zeros((2, 10), dtype=np.float32)
    logits[1, 3] = broken
    with pytest.raises(ModelError) as caught:
        log_normalizer(logits)
    assert "fp32" in caught.value.remedy
