"""Zero-shot classification and the forms of CLIPScore, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from seesay.errors import UsageError
from seesay.evaluation.reference_free import clip_score, ref_clip_score
from seesay.evaluation.zero_shot import class_vectors, texts_of_classes, zero_shot_scores


def test_texts_come_class_by_class() -> None:
    assert texts_of_classes(["cat", "dog"], ["a {}", "the {}"]) == ["a cat", "the cat", "a dog", "the dog"]
    with pytest.raises(UsageError, match="templates"):
        texts_of_classes(["cat"], ["a photo"])


def test_a_class_is_the_mean_of_its_texts() -> None:
    texts = np.array([[1, 0], [0, 1], [0, -1], [0, -1]], np.float32)
    assert class_vectors(texts, 2).tolist() == [[pytest.approx(0.5**0.5)] * 2, [0, -1]]


def test_scores_by_hand() -> None:
    similarities = np.array(
        [[0.9, 0.1, 0, 0, 0, 0], [0.5, 0.5, 0, 0, 0, 0], [0.1, 0.2, 0.3, 0.4, 0.5, 0], [0.9, 0.8, 0.7, 0.6, 0.5, 0.4]]
    )
    scores = zero_shot_scores(similarities, [0, 0, 0, 5])
    # Right; a tie, which is a mistake; fourth behind; last of six.
    assert (scores.top1, scores.top5) == (0.25, 0.75)
    assert scores.balanced == pytest.approx((1 / 3 + 0) / 2)


def test_clip_score() -> None:
    assert clip_score(0.3) == 0.75
    assert clip_score(-0.1) == 0
    assert ref_clip_score(0.3, [0.2, 0.5]) == pytest.approx(2 * 0.75 * 0.5 / 1.25)
    assert ref_clip_score(-0.3, [-0.2]) == 0
