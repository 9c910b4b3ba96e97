"""Real photographs: those that scikit-image carries in its wheel."""

from io import BytesIO
from pathlib import Path

import pytest
import skimage
from PIL import Image

from seesay.errors import ImageError
from seesay.images import pictures


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

    def encode(image: Image.Image, kind: str, **options: object) -> bytes:
        if kind == "HEIF":
            import pillow_heif

            pillow_heif.register_heif_opener()
        file = BytesIO()
        image.save(file, kind, **options)
        return file.getvalue()

    return encode


@pytest.fixture(scope="session")
def outcomes():
    """What sources lead to: outcomes(*sources, **options) -> [(name, size or error type)]."""

    def outcome(picture):
        try:
            return picture.name, picture.load().open().size
        except ImageError as error:
            return picture.name, type(error) if error.remedy else "an error without a remedy"

    return lambda *sources, **options: [outcome(picture) for picture in pictures(sources, **options)]
