"""COCO's and Karpathy's JSON, whole and broken, and COCO's results."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seesay.data import Example, read_coco, read_karpathy, write_coco_results
from seesay.errors import DataError

COCO = {
    "images": [
        {"id": 7, "file_name": "b.jpg", "split": "train", "objects": ["cat", "cup"]},
        {"id": 5, "file_name": "a.jpg", "split": "val"},
        {"id": 9, "file_name": "c.jpg"},
    ],
    "annotations": [
        {"id": 1, "image_id": 5, "caption": "A dog."},
        {"id": 2, "image_id": 7, "caption": "A cat"},
        {"id": 3, "image_id": 5, "caption": " Dogs\n"},
    ],
}
KARPATHY = {
    "images": [
        {"filename": "a.jpg", "split": "restval", "cocoid": 5, "sentences": [{"raw": "A dog."}, {"raw": "Dogs"}]},
        {"filename": "b.jpg", "split": "test", "sentences": [{"raw": "A cat"}]},
    ],
    "dataset": "coco",
}


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Any], Path]:
    def write(document: Any) -> Path:
        path = tmp_path / "data.json"
        path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
        return path

    return write


def test_coco(write: Callable[[Any], Path], images: Path, skipped: list[DataError]) -> None:
    assert list(read_coco(write(COCO), images, report=skipped.append)) == [
        Example("b.jpg", images / "b.jpg", ("A cat",), labels=("cat", "cup"), split="train", image_id=7),
        Example("a.jpg", images / "a.jpg", ("A dog.", "Dogs"), split="val", image_id=5),
        Example("c.jpg", images / "c.jpg", (), image_id=9),
    ]
    assert not skipped


def test_coco_of_one_split(write: Callable[[Any], Path]) -> None:
    assert [example.name for example in read_coco(write(COCO), splits={"val"})] == ["a.jpg"]


@pytest.mark.parametrize(
    ("key", "row", "place"),
    [
        ("images", {"file_name": "x.jpg"}, "images[3]: needs 'id' of type int"),
        ("images", {"id": "8", "file_name": "x.jpg"}, "images[3]: needs 'id' of type int"),
        ("images", {"id": True, "file_name": "x.jpg"}, "images[3]: needs 'id' of type int"),
        ("images", {"id": 8}, "images[3]: needs 'file_name' of type str"),
        ("images", {"id": 8, "file_name": "x.jpg"}, "images[3]: no image x.jpg in"),
        ("images", {"id": 8, "file_name": "../a.jpg"}, "images[3]: ../a.jpg leads out of"),
        ("images", {"id": 5, "file_name": "a.jpg"}, "images[3]: a second image with id 5"),
        ("images", {"id": 8, "file_name": "a.jpg", "objects": "cat"}, "images[3]: needs 'objects' of type list"),
        ("images", "a.jpg", "images[3]: needs 'id' of type int"),
        ("annotations", {"image_id": 5}, "annotations[3]: needs 'caption' of type str"),
        ("annotations", {"image_id": 5, "caption": " "}, "annotations[3]: 'caption' is empty"),
        ("annotations", {"image_id": None, "caption": "A dog"}, "annotations[3]: needs 'image_id' of type int"),
        ("annotations", None, "annotations[3]: needs 'image_id' of type int"),
        ("annotations", {"image_id": 99, "caption": "A dog"}, "captions of images that are not listed: [99]"),
    ],
)
def test_a_broken_row_of_coco_is_reported_with_its_place_and_skipped(
    write: Callable[[Any], Path], images: Path, skipped: list[DataError], key: str, row: Any, place: str
) -> None:
    path = write({**COCO, key: [*COCO[key], row]})
    examples = list(read_coco(path, images, report=skipped.append))
    assert [example.captions for example in examples] == [("A cat",), ("A dog.", "Dogs"), ()]
    [error] = skipped
    assert str(error).startswith(f"{path}: {place}")
    assert error.remedy


def test_karpathy(write: Callable[[Any], Path], images: Path, skipped: list[DataError]) -> None:
    assert list(read_karpathy(write(KARPATHY), images, report=skipped.append)) == [
        Example("a.jpg", images / "a.jpg", ("A dog.", "Dogs"), split="restval", image_id=5),
        Example("b.jpg", images / "b.jpg", ("A cat",), split="test"),
    ]
    assert [e.name for e in read_karpathy(write(KARPATHY), splits={"train", "restval"})] == ["a.jpg"]
    assert not skipped


def test_karpathy_keeps_the_folder_in_the_name(write: Callable[[Any], Path], images: Path) -> None:
    row = {"filepath": "images", "filename": "a.jpg", "split": "val", "sentences": []}
    [example] = read_karpathy(write({"images": [row]}), images.parent)
    assert (example.name, example.image) == ("images/a.jpg", images / "a.jpg")


@pytest.mark.parametrize(
    ("row", "place"),
    [
        ({"filename": "a.jpg", "split": "val"}, "images[2]: needs 'sentences' of type list"),
        ({"filename": "a.jpg", "sentences": []}, "images[2]: needs 'split' of type str"),
        ({"filename": "a.jpg", "split": "val", "sentences": [{"tokens": []}]}, "images[2].sentences[0]: needs 'raw'"),
        ({"filename": "x.jpg", "split": "val", "sentences": []}, "images[2]: no image x.jpg"),
    ],
)
def test_a_broken_row_of_karpathy_is_reported_with_its_place_and_skipped(
    write: Callable[[Any], Path], images: Path, skipped: list[DataError], row: Any, place: str
) -> None:
    path = write({"images": [*KARPATHY["images"], row]})
    assert len(list(read_karpathy(path, images, report=skipped.append))) == 2
    [error] = skipped
    assert str(error).startswith(f"{path}: {place}")


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ('{"images": [\n\n', r"data\.json:3: not JSON"),
        ("[1, 2]", "a JSON object is needed, not a list"),
        ({"images": []}, "no list 'annotations'"),
        ({"images": 5, "annotations": []}, "no list 'images'"),
    ],
)
def test_a_file_of_another_kind_is_refused(write: Callable[[Any], Path], document: Any, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        list(read_coco(write(document)))


def test_results_are_as_coco_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    write_coco_results(path, {7: "A cat", 5: "Un café"})
    assert json.loads(path.read_text(encoding="utf-8")) == [
        {"image_id": 7, "caption": "A cat"},
        {"image_id": 5, "caption": "Un café"},
    ]
    assert [file.name for file in tmp_path.iterdir()] == ["results.json"]


def test_results_that_cannot_be_written_leave_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "results.json").mkdir()
    with pytest.raises(DataError, match="cannot be written"):
        write_coco_results(tmp_path / "results.json", {7: "A cat"})
    with pytest.raises(DataError, match="cannot be written"):
        write_coco_results(tmp_path / "none" / "results.json", {7: "A cat"})
    assert [file.name for file in tmp_path.iterdir()] == ["results.json"]
