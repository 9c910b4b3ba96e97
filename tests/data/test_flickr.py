"""Token files and lists of names, whole and broken."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from seesay.data import Example, read_flickr
from seesay.errors import DataError

TOKENS = "a.jpg#0\tA dog .\nb.jpg#0\tA cat.\nb.jpg#1\t Two  cats \na.jpg#1\tDogs\n\nz.jpg#0\tA zebra\n"


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_captions_of_a_photo_come_together(tmp_path: Path, images: Path, skipped: list[DataError]) -> None:
    captions = write(tmp_path / "captions.txt", TOKENS)
    assert list(read_flickr(captions, images, report=skipped.append)) == [
        Example("a.jpg", images / "a.jpg", ("A dog .", "Dogs")),
        Example("b.jpg", images / "b.jpg", ("A cat.", "Two  cats")),
    ]
    assert [str(error) for error in skipped] == [f"{captions}:6: no image z.jpg in {images}"]


def test_references_need_no_photos(tmp_path: Path) -> None:
    captions = write(tmp_path / "captions.txt", TOKENS)
    examples = list(read_flickr(captions))
    assert [example.name for example in examples] == ["a.jpg", "b.jpg", "z.jpg"]
    assert {example.image for example in examples} == {None}


def test_a_split_chooses_and_orders(tmp_path: Path, images: Path, skipped: list[DataError]) -> None:
    captions = write(tmp_path / "captions.txt", TOKENS)
    split = write(tmp_path / "val.txt", "b.jpg\r\nc.jpg\r\na.jpg\r\n")
    examples = list(read_flickr(captions, images, split, report=skipped.append))
    assert [(example.name, example.split) for example in examples] == [("b.jpg", "val"), ("a.jpg", "val")]
    assert [str(error) for error in skipped] == [f"{split}:2: c.jpg has no caption in {captions}"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"a.jpg A dog", "not `name.jpg#k<TAB>caption`: 'a.jpg A dog'"),
        (b"a.jpg\tA dog", "not `name.jpg#k"),
        (b"a.jpg#x\tA dog", "not `name.jpg#k"),
        (b"#0\tA dog", "not `name.jpg#k"),
        (b"a.jpg#1\t  ", "not `name.jpg#k"),
        (b"a.jpg#1\tcaf\xe9", "not UTF-8"),
        (b"../secret.jpg#0\tA dog", "leads out of the folder"),
        (b"/etc/passwd#0\tA dog", "leads out of the folder"),
    ],
)
def test_a_broken_line_is_reported_with_its_place_and_skipped(
    tmp_path: Path, images: Path, skipped: list[DataError], line: bytes, reason: str
) -> None:
    captions = write(tmp_path / "captions.txt", b"\xef\xbb\xbfa.jpg#0\tA dog\n" + line + b"\nb.jpg#0\tA cat\n")
    assert [example.name for example in read_flickr(captions, images, report=skipped.append)] == ["a.jpg", "b.jpg"]
    [error] = skipped
    assert str(error).startswith(f"{captions}:2: ")
    assert reason in str(error)
    assert error.remedy


def test_broken_lines_are_logged_unless_told_otherwise(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    captions = write(tmp_path / "captions.txt", "nonsense\na.jpg#0\tA dog\n")
    with caplog.at_level(logging.WARNING, logger="seesay.data"):
        assert len(list(read_flickr(captions))) == 1
    assert f"skipped: {captions}:1: not `name.jpg#k<TAB>caption`" in caplog.text


def test_missing_files_and_folders_stop_the_reader(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.txt: cannot be read"):
        list(read_flickr(tmp_path / "none.txt"))
    with pytest.raises(DataError, match="no such folder"):
        list(read_flickr(write(tmp_path / "captions.txt", TOKENS), tmp_path / "none"))
