"""Batches of photographs that are alike."""

import numpy as np

from seesay.training.batches import Photos
from seesay.training.grouping import Grouping


def clustered(clusters: int, each: int, seed: int = 0) -> np.ndarray:
    """Unit vectors (clusters * each, 8), those of a cluster near one another, in no order."""
    rng = np.random.default_rng(seed)
    centres = np.eye(8, dtype=np.float32)[:clusters]
    found = np.repeat(centres, each, axis=0) + rng.normal(0, 0.05, (clusters * each, 8)).astype(np.float32)
    found = found[rng.permutation(len(found))]
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def test_every_photograph_comes_once_and_groups_are_alike() -> None:
    vectors = clustered(clusters=6, each=4)
    order = Grouping(vectors, 4, reach=3).order(np.random.default_rng(1))
    assert sorted(order) == list(range(24))
    for group in order.reshape(6, 4):
        assert (vectors[group] @ vectors[group].T).min() > 0.9


def test_others_are_drawn_among_the_nearest() -> None:
    vectors = clustered(clusters=2, each=12)
    orders = [Grouping(vectors, 3, reach=6).order(np.random.default_rng(seed)) for seed in range(8)]
    groups = [group for order in orders for group in order.reshape(8, 3)]
    alike = [float((vectors[group] @ vectors[group].T).min()) > 0.9 for group in groups]
    assert sum(alike) > 0.7 * len(groups)  # those that come last may find none that is near
    assert len({tuple(sorted(group)) for group in groups}) > 32  # the two nearest alone would come again and again


def test_epochs_differ_and_a_seed_gives_the_same() -> None:
    grouping = Grouping(clustered(clusters=5, each=6), 3, reach=5)
    first, again, other = (grouping.order(np.random.default_rng(seed)).tolist() for seed in (1, 1, 2))
    assert first == again != other


def test_what_is_left_over_comes_at_the_end() -> None:
    vectors = clustered(clusters=2, each=5)
    order = Grouping(vectors, 4, reach=3).order(np.random.default_rng(3))
    assert sorted(order) == list(range(10))
    first, second = order[:4], order[4:8]
    assert (vectors[first] @ vectors[first].T).min() > 0.9
    assert (vectors[second] @ vectors[second].T).min() > 0.9


def test_batches_are_of_groups(photos: Photos) -> None:
    count = len(photos.names) // 2 * 2
    photos.names = photos.names[:count]
    vectors = np.zeros((count, 8), np.float32)
    vectors[np.arange(count), np.arange(count) // 2] = 1  # two by two
    photos.grouping = Grouping(vectors, 2, reach=1)
    drawn = photos.draws(2)
    for _ in range(count // 2 * 2):
        places = [photos.names.index(name) for name in next(drawn).names]
        assert places[0] // 2 == places[1] // 2
