"""What augmentation does to a photograph: BLIP's changes at BLIP's strength, drawn from a seed."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from skimage import data as photographs

from seesay.training.augment import CHANGES, GREY, augmented, rand_augment, random_crop


@pytest.fixture(scope="module")
def cat() -> Image.Image:
    return Image.fromarray(photographs.chelsea())


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


def test_a_seed_repeats_itself_and_others_differ(cat: Image.Image) -> None:
    one, same, other = (pixels(augmented(cat, 64, np.random.default_rng(seed))) for seed in (1, 1, 2))
    assert one.shape == (64, 64, 3)
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_a_crop_has_half_of_the_area_or_more() -> None:
    """On a picture whose red tells the column and whose green the row."""
    columns, rows = np.meshgrid(np.arange(200), np.arange(150))
    picture = Image.fromarray(np.stack([columns, rows, 0 * rows], axis=-1).astype(np.uint8))
    for seed in range(40):
        crop = pixels(random_crop(picture, 32, np.random.default_rng(seed)))
        width, height = np.ptp(crop[..., 0]) * 32 / 31, np.ptp(crop[..., 1]) * 32 / 31
        assert 0.44 < width * height / (200 * 150) <= 1.02
        assert 0.7 < width / height < 1.43


def test_brightness_and_sharpness_change_nothing_at_this_strength(cat: Image.Image) -> None:
    unchanged = [change(cat, 1.0) is cat for change in CHANGES]
    assert unchanged == [True, False, True, True, *[False] * 6]
    assert len(CHANGES) == 10


def test_shifts_have_blips_lengths_and_leave_grey() -> None:
    picture = Image.new("RGB", (100, 100), "red")
    shear_x, _, translate_x, translate_y, rotate = CHANGES[5:]
    for change, filled in ((translate_x, np.s_[:, 95:]), (translate_y, np.s_[95:])):
        shifted = pixels(change(picture, 1.0))
        assert (shifted[filled] == GREY).all()
        assert (shifted == GREY).all(axis=-1).sum() == 500  # five pixels of ten
    slanted = (pixels(shear_x(picture, 1.0)) == GREY).all(axis=-1)
    assert slanted[99].sum() == pytest.approx(15, abs=1)  # 0.15 of the height
    assert slanted[0].sum() <= 1
    corner = pixels(rotate(picture, 1.0))[0, 0]
    assert (corner == GREY).all()


def test_two_changes_are_drawn_and_each_made_every_other_time(
    cat: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[float] = []

    def record(image: Image.Image, sign: float) -> Image.Image:
        made.append(sign)
        return image

    monkeypatch.setattr("seesay.training.augment.CHANGES", (record,) * 10)
    rng = np.random.default_rng(0)
    for _ in range(500):
        rand_augment(cat, rng)
    assert len(made) == pytest.approx(500, rel=0.15)
    assert np.mean(made) == pytest.approx(0, abs=0.15)
