"""A folder of tiny photos, examples with all that an example can hold, and a list that collects what readers skip."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from seesay.data import Example, Question
from seesay.errors import DataError


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for name, colour in (("a.jpg", "red"), ("b.jpg", "green"), ("c.jpg", "blue")):
        Image.new("RGB", (4, 3), colour).save(folder / name)
    return folder


@pytest.fixture
def examples(images: Path) -> list[Example]:
    """As a reader gives them that was told of `images`."""
    yes = Question("Is it red?", {"yes": 0.75, "very, very": 0.25}, 7, "yes/no")
    return [
        Example("a.jpg", images / "a.jpg", ("A red thing.", 'Ein "rotes" Ding,\tüber alles'), ("thing",), "train", 5),
        Example("b.jpg", images / "b.jpg", ("Green",), wordnet_id="n02084071", questions=(yes, Question("Why?"))),
        Example("c.jpg", images / "c.jpg", (), ("sea", "sky"), image_id=0, extra={"licence": "CC0", "width": 4}),
    ]


@pytest.fixture
def skipped() -> list[DataError]:
    return []
