"""Real photographs: those that scikit-image carries in its wheel."""

from io import BytesIO
from pathlib import Path

import pytest
import skimage
from PIL import Image


@pytest.fixture(scope="session")
def photos() -> Path:
    """Folder with astronaut.png, chelsea.png, coffee.png, rocket.jpg, retina.jpg ..."""
    return Path(skimage.__file__).parent / "data"


@pytest.fixture(scope="session")
def chelsea(photos) -> Image.Image:
    """A cat, 451 x 300, RGB."""
    return Image.open(photos / "chelsea.png").convert("RGB")


@pytest.fixture(scope="session")
def encode():
    """Encode a Pillow image: encode(image, "JPEG", quality=90) -> bytes."""

    def encode(image: Image.Image, format: str, **options: object) -> bytes:
        if format == "HEIF":
            import pillow_heif

            pillow_heif.register_heif_opener()
        file = BytesIO()
        image.save(file, format, **options)
        return file.getvalue()

    return encode
