"""A folder of tiny photos, and a list that collects what readers skip."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from seesay.errors import DataError


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        Image.new("RGB", (4, 3), "red").save(folder / name)
    return folder


@pytest.fixture
def skipped() -> list[DataError]:
    return []
