"""Fixtures of training's tests; what they are made of is in `tiny_training`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_training import CLASSES_OF_WORDS, NAMES, PHOTO_CAPTIONS, write_data, write_maps

from seesay.training.batches import Captions, Photos


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def maps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the small model's maps."""
    folder = tmp_path_factory.mktemp("maps")
    write_maps(folder)
    return folder


@pytest.fixture
def photos(maps: Path) -> Photos:
    return Photos(NAMES, PHOTO_CAPTIONS, maps, seed=1)


@pytest.fixture
def texts() -> Captions:
    ids = [[5, 6, 7], [8, 9], [10, 11, 12, 13], [14, 15], [16, 17, 18], [19, 20]]
    return Captions(ids, [[0], [1, 2], [], [2], [0, 1], [1]], CLASSES_OF_WORDS, 2, seed=1)


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of photographs, captions and labels."""
    root = tmp_path_factory.mktemp("data")
    write_data(root)
    return root
