"""Pixels equal those that the reference implementation feeds the public BLIP checkpoints."""

import numpy as np
import pytest
from PIL import Image

from seesay.images import open_image, to_pixels

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


REFERENCE = ["astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "retina.jpg", "camera.png"]


@pytest.mark.parametrize("name", REFERENCE)
def test_equals_transformers(photos, name):
    processing = pytest.importorskip("transformers.models.blip.image_processing_pil_blip")
    reference = processing.BlipImageProcessorPil()(Image.open(photos / name).convert("RGB"))["pixel_values"][0]
    pixels = to_pixels(open_image(photos / name), 384, CLIP_MEAN, CLIP_STD)
    np.testing.assert_allclose(pixels[0], np.asarray(reference), atol=1e-3)


def test_shape_type_and_meaning():
    picture = Image.new("RGB", (50, 20), (255, 127, 0))
    pixels = to_pixels(picture, 260, [127 / 255] * 3, [128 / 255] * 3)
    assert pixels.shape == (1, 3, 260, 260)
    assert pixels.dtype == np.float32
    np.testing.assert_allclose(pixels[0, :, 130, 130], [1.0, 0.0, -127 / 128], atol=1e-6)


@pytest.mark.parametrize("name", ["rocket.jpg", "retina.jpg", "hubble_deep_field.jpg", "astronaut.png"])
def test_reduced_decoding_stays_close(photos, name):
    """What `side` may change: about one grey level in 255, on average."""
    full = to_pixels(open_image(photos / name), 128, (0, 0, 0), (1, 1, 1))
    reduced = to_pixels(open_image(photos / name, side=128), 128, (0, 0, 0), (1, 1, 1))
    assert open_image(photos / name, side=128).size < open_image(photos / name).size
    assert np.abs(full - reduced).mean() * 255 < 2
