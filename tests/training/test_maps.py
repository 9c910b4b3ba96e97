"""Cached maps are those of the image network, within eight bits, in views that can be made again."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_training import pictures

from seesay.blip.config import BlipConfig
from seesay.blip.model import Blip
from seesay.engine.maps import MAP_SCALE
from seesay.errors import UsageError
from seesay.images import to_pixels
from seesay.training.maps import view_pixels, write_views
from seesay.training.start import image_weights

CONFIG = BlipConfig.small(["[PAD]", "[SEP]", "[DEC]", "[ENC]"])


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The cat, a file that is no picture, and the coffee."""
    folder = tmp_path_factory.mktemp("images")
    for name in ("cat", "coffee"):
        pictures()[name].save(folder / f"{name}.png")
    (folder / "broken.png").write_bytes(b"not a picture")
    return [folder / "cat.png", folder / "broken.png", folder / "coffee.png"]


@pytest.fixture(scope="module")
def views(images: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("views")
    assert write_views(folder, images, 3, CONFIG) == {1}
    return folder


@torch.no_grad()
def test_the_plain_view_is_what_the_model_sees(views: Path, images: list[Path]) -> None:
    model = Blip(CONFIG).eval()
    weights = {name: weight for name, weight in image_weights().items() if "backbone" in name}
    model.load_state_dict(weights, strict=False)
    stored = np.load(views / "view0.npy")
    assert stored.shape == (3, 81, 1280)
    assert not stored[1].any()
    for place in (0, 2):
        pixels = to_pixels(Image.open(images[place]), 260, CONFIG.image_mean, CONFIG.image_std)
        seen = model.backbone_features(torch.from_numpy(pixels))[0].numpy()
        assert np.abs(stored[place] / MAP_SCALE - seen).max() < 0.5 / MAP_SCALE + 1e-3
        assert seen.max() > 3


def test_views_differ_as_they_should(views: Path, images: list[Path]) -> None:
    picture = Image.open(images[0])
    plain, mirrored, crop, other = (view_pixels(picture, view, 0, CONFIG) for view in range(4))
    assert np.array_equal(mirrored, plain[..., ::-1])
    assert np.array_equal(crop, view_pixels(picture, 2, 0, CONFIG))
    assert not np.allclose(crop, view_pixels(picture, 2, 1, CONFIG))
    # The crop shows the same scene: more alike than its mirror image is.
    assert np.corrcoef(crop.ravel(), plain.ravel())[0, 1] > np.corrcoef(other.ravel(), plain.ravel())[0, 1]
    first, second = (np.load(views / f"view{view}.npy")[0].astype(float) for view in (0, 2))
    assert 0 < np.abs(first - second).mean() < np.abs(first - np.load(views / "view0.npy")[2]).mean()


def test_what_is_there_is_not_made_again_and_what_is_not_is_made_as_it_was(
    views: Path, images: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in views.glob("view*.npy")}
    (views / "view2.npy").unlink()
    (views / "view2.partial").write_bytes(b"half of it")
    with caplog.at_level(logging.INFO, "seesay.training"):
        assert write_views(views, images, 3, CONFIG) == {1}
    after = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in views.glob("view*.npy")}
    assert [record.getMessage() for record in caplog.records] == ["view 3 of 3: 3 photographs"]
    assert after["view0.npy"] == before["view0.npy"]
    assert after["view2.npy"][1] == before["view2.npy"][1]
    assert not (views / "view2.partial").exists()


def test_a_disk_without_room_is_told_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(1, 1, 10**6))
    with pytest.raises(UsageError, match=r"need 0\.0 GB in .*which has 0\.0 GB left"):
        write_views(tmp_path, [tmp_path / "photo.png"] * 10, 1, CONFIG)
    assert not list(tmp_path.iterdir())
