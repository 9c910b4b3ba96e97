"""What matching is confused with."""

import numpy as np

from seesay.training.hard_negatives import confusions


def unit(count: int, seed: int) -> np.ndarray:
    found = np.random.default_rng(seed).normal(size=(count, 6)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def test_the_nearest_come_first_and_own_ones_never() -> None:
    images, texts = unit(7, 0), unit(14, 1)
    owners = np.repeat(np.arange(7), 2)
    found = confusions(images, texts, owners, reach=5)
    similarity = images @ texts.T
    for image in range(7):
        foreign = [text for text in np.argsort(-similarity[image]) if owners[text] != image]
        assert found.texts[image].tolist() == foreign[:5]
    for text in range(14):
        foreign = [image for image in np.argsort(-similarity[:, text]) if owners[text] != image]
        assert found.images[text].tolist() == foreign[:5]


def test_a_reach_beyond_what_there_is_takes_all() -> None:
    found = confusions(unit(3, 0), unit(7, 1), np.array([0, 0, 0, 1, 1, 2, 2]), reach=100)
    assert found.images.shape == (7, 2)
    assert found.texts.shape == (3, 4)  # the first has three of its own
