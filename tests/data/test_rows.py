"""Tables of pictures and captions or questions: CSV, JSON Lines, Parquet, whole and broken."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seesay.data import Example, Question, read_table
from seesay.errors import DataError


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def parquet(path: Path, columns: dict[str, list[Any]]) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def test_csv(tmp_path: Path, images: Path, skipped: list[DataError]) -> None:
    text = '\ufefffile_name;Text;split;price\na.jpg;"A dog;\nsitting";train;5\na.jpg;Dogs;train;\nb.jpg;;val;7\n'
    assert list(read_table(write(tmp_path / "t.csv", text), images, skipped.append)) == [
        Example("a.jpg", images / "a.jpg", ("A dog;\nsitting", "Dogs"), split="train", extra={"price": "5"}),
        Example("b.jpg", images / "b.jpg", split="val", extra={"price": "7"}),
    ]
    assert not skipped


def test_json_lines(tmp_path: Path, images: Path, skipped: list[DataError]) -> None:
    rows = [
        {"image": "a.jpg", "caption": [" A dog", ""], "image_id": 5, "similarity": 0.3},
        {"image": "b.jpg", "sentences": [{"raw": "A cat"}], "objects": ["cat"]},
        {"image": "https://a.b/c.jpg", "text": "Far away"},
        {"image": base64.b64encode((images / "c.jpg").read_bytes()).decode(), "key": "held.jpg"},
    ]
    path = write(images / "t.jsonl", "\n".join(map(json.dumps, rows)) + "\n")
    assert list(read_table(path, report=skipped.append)) == [
        Example("a.jpg", images / "a.jpg", ("A dog",), image_id=5, extra={"similarity": 0.3}),
        Example("b.jpg", images / "b.jpg", ("A cat",), ("cat",)),
        Example("https://a.b/c.jpg", "https://a.b/c.jpg", ("Far away",)),
        Example("held.jpg", (images / "c.jpg").read_bytes()),
    ]
    assert not skipped


def test_parquet_as_hugging_face_and_img2dataset_write_it(
    tmp_path: Path, images: Path, skipped: list[DataError]
) -> None:
    picture = (images / "a.jpg").read_bytes()
    held = [{"bytes": picture, "path": "x.jpg"}, {"bytes": None, "path": "b.jpg"}]
    path = parquet(tmp_path / "hf.parquet", {"image": held, "caption": [["A dog", "Dogs"], None]})
    assert list(read_table(path, images, skipped.append)) == [
        Example("x.jpg", picture, ("A dog", "Dogs")),
        Example("b.jpg", images / "b.jpg"),
    ]
    columns = {"URL": ["https://a/1", "https://a/2"], "TEXT": ["A dog", "A cat"]}
    laion = parquet(tmp_path / "laion.parquet", columns)
    assert [(e.image, e.captions) for e in read_table(laion, report=skipped.append)] == [
        ("https://a/1", ("A dog",)),
        ("https://a/2", ("A cat",)),
    ]
    columns = {"key": ["0", "1"], "jpg": [picture, None], "txt": ["A dog", None]}
    columns |= {"status": ["success", "failed_to_download"], "error_message": [None, "404"]}
    with_jpg = parquet(tmp_path / "img2dataset.parquet", columns)
    assert not skipped
    [example] = read_table(with_jpg, report=skipped.append)
    assert (example.name, example.image, example.captions) == ("0", picture, ("A dog",))
    assert [str(error).partition(": ")[0] for error in skipped] == [f"{with_jpg}:2"]


def test_questions_of_daquar(tmp_path: Path, images: Path, skipped: list[DataError]) -> None:
    text = 'question,answer,image_id\nwhat is it,desk,a\nwhat else,"book, tape",a\nhow many,2,b\nwhy,,c\n'
    assert list(read_table(write(tmp_path / "qa.csv", text), images, skipped.append)) == [
        Example(
            "a.jpg",
            images / "a.jpg",
            questions=(Question("what is it", {"desk": 1.0}), Question("what else", {"book, tape": 1.0})),
        ),
        Example("b.jpg", images / "b.jpg", questions=(Question("how many", {"2": 1.0}),)),
        Example("c.jpg", images / "c.jpg", questions=(Question("why"),)),
    ]
    assert not skipped


def test_answers_of_several_people(tmp_path: Path, images: Path) -> None:
    rows = [
        {"image": "a.jpg", "question": "Red?", "answers": ["yes", "no", "yes", "yes"], "question_id": 3},
        {"image": "a.jpg", "question": "Blue?", "answers": [{"answer": "no"}]},
        {"image": "a.jpg", "question": "Grey?", "answers": {"no": 0.9}},
        {"image": "a.jpg", "question": "How many?", "answer": 2},
    ]
    [example] = read_table(write(images / "t.jsonl", "\n".join(map(json.dumps, rows))))
    assert [one.answers for one in example.questions] == [{"yes": 0.75, "no": 0.25}, {"no": 1}, {"no": 0.9}, {"2": 1}]
    assert [one.question_id for one in example.questions] == [3, None, None, None]


def test_an_empty_cell_leaves_the_picture_to_the_next_column(tmp_path: Path, images: Path) -> None:
    path = write(tmp_path / "t.csv", "image,url,caption,text\na.jpg,https://a/1,A dog,\n,https://a/2,,A cat\n")
    assert [(one.image, one.captions) for one in read_table(path, images)] == [
        (images / "a.jpg", ("A dog",)),
        ("https://a/2", ("A cat",)),
    ]


def test_one_key_does_not_join_two_pictures(tmp_path: Path, images: Path) -> None:
    path = write(tmp_path / "t.csv", "key,image\nnone,a.jpg\nnone,b.jpg\nnone,b.jpg\n")
    assert [one.image for one in read_table(path, images)] == [images / "a.jpg", images / "b.jpg"]


def test_columns_may_be_named(tmp_path: Path, images: Path) -> None:
    path = write(tmp_path / "t.csv", "image,thumbnail,title,caption\na.jpg,b.jpg,My dog,Wrong\n")
    [example] = read_table(path, images, image="Thumbnail", caption="title")
    assert (example.name, example.captions) == ("b.jpg", ("My dog",))
    assert example.extra == {"image": "a.jpg", "caption": "Wrong"}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("a.jpg", "1 cells, where the header has 2"),
        ("a.jpg,A dog,surplus", "3 cells, where the header has 2"),
        ("a.jpg,caf\udce9", "not UTF-8"),
        (",A dog", "no picture in this row; it has image, caption"),
        ("x.jpg,A dog", "no image x.jpg in"),
        ("A dog " * 100 + ",A dog", "no image A dog"),
        ("../images/a.jpg,A dog", "leads out of the folder"),
        ('a.jpg,"A" dog', "',' expected after"),
        ('"data:image/jpeg;base64,%",A dog', "damaged base64"),
    ],
)
def test_a_broken_row_of_csv_is_reported_with_its_place_and_skipped(
    line: str, reason: str, tmp_path: Path, images: Path, skipped: list[DataError]
) -> None:
    text = f"image,caption\na.jpg,A dog\n{line}\nb.jpg,A cat\n".encode("utf-8", "surrogateescape")
    path = write(tmp_path / "t.csv", text)
    assert [example.name for example in read_table(path, images, skipped.append)] == ["a.jpg", "b.jpg"]
    [error] = skipped
    assert str(error).startswith(f"{path}:3: ")
    assert reason in str(error)
    assert error.remedy


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"image": "a.jpg"', "not JSON"),
        ('["a.jpg"]', "a list, not an object"),
        ('{"text": "A dog", "n": 1}', "no picture in this row; it has text, n"),
        ('{"image": 5}', "no picture in this row"),
        ('{"image": "x.jpg"}', "no image x.jpg in"),
        ('{"image": "a.jpg", "caption": 5}', "captions are texts, not 5"),
        ('{"image": "a.jpg", "question": "Why?", "answer": {"a": "b"}}', "answers are texts"),
        ('{"image": "a.jpg", "question": " "}', "an empty question"),
        ('{"image": "a.jpg", "questions": [5]}', "an empty question"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_a_broken_line_of_json_is_reported_with_its_place_and_skipped(
    line: str, reason: str, images: Path, skipped: list[DataError]
) -> None:
    path = write(images / "t.jsonl", f'{{"image": "a.jpg"}}\n{line}\n{{"image": "b.jpg"}}\n')
    assert [example.name for example in read_table(path, report=skipped.append)] == ["a.jpg", "b.jpg"]
    [error] = skipped
    assert str(error).startswith(f"{path}:2: ")
    assert reason in str(error)


def test_a_broken_row_of_parquet_is_reported_with_its_place_and_skipped(
    tmp_path: Path, images: Path, skipped: list[DataError]
) -> None:
    path = parquet(tmp_path / "t.parquet", {"image": ["a.jpg", "x.jpg", None, "b.jpg"], "caption": ["A"] * 4})
    assert [example.name for example in read_table(path, images, skipped.append)] == ["a.jpg", "b.jpg"]
    assert [str(error).partition(": ")[0] for error in skipped] == [f"{path}:2", f"{path}:3"]


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.parquet"])
def test_a_table_without_the_column_is_refused_at_once(name: str, tmp_path: Path) -> None:
    columns: dict[str, list[Any]] = {"a": ["1"], "b": ["2"]}
    if name.endswith("parquet"):
        path = parquet(tmp_path / name, columns)
    else:
        path = write(tmp_path / name, "a,b\n1,2\n".replace(",", "\t" if "tsv" in name else ","))
    with pytest.raises(DataError, match=r"no column that is usually a picture's; it has a, b") as caught:
        list(read_table(path))
    assert "::COLUMN" in caught.value.remedy
    with pytest.raises(DataError, match="no column 'c'; it has a, b"):
        list(read_table(path, image="c"))


def test_files_that_are_no_tables(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a damaged table after row 0"):
        list(read_table(write(tmp_path / "t.parquet", "PAR1 not")))
    for name in ("none.csv", "none.jsonl", "none.parquet"):
        with pytest.raises(DataError, match=r"cannot be read|damaged"):
            list(read_table(tmp_path / name))
