"""DAQUAR's tables: a picture's questions come together, answers in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from seesay.data import Example, Question, read_daquar, read_dataset
from seesay.errors import DataError

ROWS = (
    "what is on the desk,garbage_bin,image1",
    'what else,"book, tape_dispenser",image2',
    "how many lamps,2,image1",
)


def write(folder: Path, *rows: str) -> Path:
    path = folder / "qa_test.csv"
    path.write_text("\n".join(["question,answer,image_id", *rows]), encoding="utf-8")
    return path


@pytest.fixture
def scenes(images: Path) -> Path:
    for old, new in (("a.jpg", "image1.jpg"), ("b.jpg", "image2.jpg")):
        (images / old).rename(images / new)
    return images


def test_a_pictures_questions_come_together(tmp_path: Path, scenes: Path, skipped: list[DataError]) -> None:
    table = write(tmp_path, *ROWS, "what,desk,image9")
    bin_, lamps = Question("what is on the desk", {"garbage bin": 1.0}), Question("how many lamps", {"2": 1.0})
    expected = [
        Example("image1.jpg", scenes / "image1.jpg", questions=(bin_, lamps)),
        Example("image2.jpg", scenes / "image2.jpg", questions=(Question("what else", {"book, tape dispenser": 1.0}),)),
    ]
    assert list(read_daquar(table, report=skipped.append)) == expected
    assert [str(error) for error in skipped] == [f"{table}:5: no image image9 in {scenes}"]
    assert list(read_dataset(table, report=skipped.append)) == expected


def test_images_may_lie_elsewhere(tmp_path: Path, scenes: Path) -> None:
    scenes.rename(tmp_path / "scenes")
    [first, *_] = read_dataset(write(tmp_path, *ROWS), images=tmp_path / "scenes")
    assert first.image == tmp_path / "scenes" / "image1.jpg"


def test_another_table_of_questions_is_read_as_a_table(tmp_path: Path, images: Path) -> None:
    [example] = read_dataset(write(tmp_path, "what,garbage_bin,a"), images=images)
    assert example.questions == (Question("what", {"garbage_bin": 1.0}),)
