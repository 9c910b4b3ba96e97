"""Image folders and tables of labels."""

from __future__ import annotations

from pathlib import Path

import pytest

from seesay.data import Example, read_image_folder, read_labels
from seesay.errors import DataError


def test_the_folder_is_the_label(tmp_path: Path) -> None:
    for name in ("sea_horse/2.JPG", "sea_horse/1.png", "ant/x.webp", "ant/notes.txt", ".cache/1.jpg", "ant/.1.jpg"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / "loose.jpg").touch()
    assert list(read_image_folder(tmp_path)) == [
        Example("ant/x.webp", tmp_path / "ant" / "x.webp", labels=("ant",)),
        Example("sea_horse/1.png", tmp_path / "sea_horse" / "1.png", labels=("sea horse",)),
        Example("sea_horse/2.JPG", tmp_path / "sea_horse" / "2.JPG", labels=("sea horse",)),
    ]


def test_no_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        list(read_image_folder(tmp_path / "none"))


def test_labels(tmp_path: Path, images: Path, skipped: list[DataError]) -> None:
    table = tmp_path / "labels.tsv"
    table.write_text("a.jpg\tgreat white shark\tn01484850\nb.jpg\ttench\tn01440764\n", encoding="utf-8")
    assert list(read_labels(table, images, report=skipped.append)) == [
        Example("a.jpg", images / "a.jpg", labels=("great white shark",), wordnet_id="n01484850"),
        Example("b.jpg", images / "b.jpg", labels=("tench",), wordnet_id="n01440764"),
    ]
    assert not skipped


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("a.jpg\ttench", "not `file<TAB>class<TAB>n01234567`"),
        ("a.jpg\ttench\t01440764", "not `file<TAB>"),
        ("a.jpg\t \tn01440764", "not `file<TAB>"),
        ("a.jpg,tench,n01440764", "not `file<TAB>"),
        ("x.jpg\ttench\tn01440764", "no image x.jpg"),
    ],
)
def test_a_broken_label_is_reported_with_its_place_and_skipped(
    tmp_path: Path, images: Path, skipped: list[DataError], line: str, reason: str
) -> None:
    table = tmp_path / "labels.tsv"
    table.write_text(f"a.jpg\ttench\tn01440764\n{line}\nb.jpg\ttench\tn01440764\n", encoding="utf-8")
    assert [example.name for example in read_labels(table, images, report=skipped.append)] == ["a.jpg", "b.jpg"]
    [error] = skipped
    assert str(error).startswith(f"{table}:2: ")
    assert reason in str(error)
