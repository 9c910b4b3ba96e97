"""Real photographs: those that scikit-image carries in its wheel."""

from pathlib import Path

import pytest
import skimage
from PIL import Image

PHOTOS = Path(skimage.__file__).parent / "data"


@pytest.fixture(scope="session")
def photos() -> Path:
    """Folder with astronaut.png, chelsea.png, coffee.png, rocket.jpg, retina.jpg ..."""
    return PHOTOS


@pytest.fixture(scope="session")
def chelsea() -> Image.Image:
    """A cat, 451 x 300, RGB."""
    return Image.open(PHOTOS / "chelsea.png").convert("RGB")
