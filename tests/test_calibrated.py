"""A model that comes with a calibration: its probability of a match is made of all that it says of one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import seesay
from seesay.blip.calibration import FILE, Calibration, Usual, read_calibration
from seesay.blip.checkpoint import read_checkpoint, write_checkpoint
from seesay.describe import Blip
from seesay.errors import CheckpointError
from tiny_models import tiny_model

RED, GREEN = (Image.new("RGB", (40, 30), colour) for colour in ("red", "green"))
TEXTS = ["a small red cat", "A dog.", "the boat on the water", "a dog"]
RANDOM = np.random.default_rng(5)
CALIBRATION = Calibration(
    Usual(
        RANDOM.normal(size=(1, 5, 32)).astype(np.float16).astype(np.float32),
        RANDOM.normal(0, 0.1, 16).astype(np.float32),
        RANDOM.normal(0, 0.1, 16).astype(np.float32),
    ),
    np.array([0.5, 3.0, 0.25], np.float32),
    -0.75,
)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Blip:
    return opened(tiny_model(tmp_path_factory.mktemp("calibrated") / "plain", "pretrain", seed=1))


@pytest.fixture(scope="module")
def calibrated(plain: Blip) -> Blip:
    folder = plain.checkpoint.folder.with_name("calibrated")
    write_checkpoint(
        folder, plain.checkpoint.config, plain.checkpoint.weights, plain.checkpoint.vocabulary, calibration=CALIBRATION
    )
    return opened(folder)


def opened(folder: Path) -> Blip:
    model = seesay.load(folder, precision="fp32", threads=1, cache=folder / "cache")
    assert isinstance(model, Blip)
    return model


def test_the_probability_is_that_of_all_three(plain: Blip, calibrated: Blip) -> None:
    usual, (head, contrast, likelihood) = CALIBRATION.usual, CALIBRATION.weights
    beside = [TEXTS, TEXTS[:2]]
    alone, together = plain.matches([RED, GREEN], beside), calibrated.matches([RED, GREEN], beside)
    [of_any] = plain.likelihoods([seen_as(plain, usual.features)], [TEXTS])
    for picture, texts, before, after in zip([RED, GREEN], beside, alone, together, strict=True):
        [likely] = plain.likelihoods([picture], [texts])
        vector = plain.embed_image(picture).vector - usual.image
        for place, (text, one, other) in enumerate(zip(texts, before, after, strict=True)):
            odds = head * (np.log(one.probability) - np.log(1 - one.probability))
            odds += contrast * (vector @ (plain.embed_text(text).vector - usual.text))
            odds += likelihood * (likely[place] - of_any[place]) + CALIBRATION.bias
            assert other.text == text
            assert other.similarity == one.similarity
            assert other.logit == pytest.approx(odds, abs=1e-3)
            assert other.probability == pytest.approx(1 / (1 + np.exp(-odds)), abs=1e-3)


def seen_as(model: Blip, features: np.ndarray) -> seesay.Seen:
    """A picture that the model sees in this way."""
    seen = model.see(RED)
    return seesay.Seen(type(seen.encoded)(features, seen.encoded.concepts), seen.model)


def test_a_text_of_marks_alone_is_read_as_it_is(calibrated: Blip) -> None:
    """Captions of the web end in marks that nobody sees: a zero-width space is no word."""
    [[beside]] = calibrated.matches([RED], [["!\u200b"]])
    assert beside.probability == calibrated.matches([RED], [["!"]])[0][0].probability


def test_a_calibration_is_kept_and_goes_with_its_weights(calibrated: Blip, tmp_path: Path) -> None:
    one = calibrated.checkpoint
    kept = one.calibration
    assert kept is not None
    for name, array in CALIBRATION.arrays().items():
        assert np.array_equal(array, kept.arrays()[name]), name
    write_checkpoint(tmp_path / "new", one.config, one.weights, one.vocabulary, calibration=kept)
    assert read_checkpoint(tmp_path / "new", "match").calibration is None, "its decoder was left out"
    write_checkpoint(tmp_path / "new", one.config, one.weights, one.vocabulary)
    assert read_checkpoint(tmp_path / "new").calibration is None, "other weights"
    assert not (tmp_path / "new" / FILE).exists()


def test_another_models_calibration_is_refused(calibrated: Blip, tmp_path: Path) -> None:
    folder = calibrated.checkpoint.folder
    with pytest.raises(CheckpointError, match="belongs to another model"):
        read_calibration(folder / FILE, width=48, projection=16)
    with pytest.raises(CheckpointError, match="no calibration"):
        read_calibration(folder / "model.safetensors", width=32, projection=16)
