"""Results files in every form, and the captions and answers found in them."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from seesay.data import Example
from seesay.errors import DataError
from seesay.evaluation.rows import read_answers, read_captions, read_pictures, read_rows

EXAMPLES = [
    Example("val/1.jpg", None, image_id=11),
    Example("val/2.jpg", None, image_id=12),
    Example("train/2.jpg", None, image_id=13),
]

COCO = [{"image_id": 11, "caption": "a cat"}, {"image_id": 12, "caption": "a dog"}]


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(COCO),
        json.dumps({"images": [], "annotations": COCO}),
        '{"file_name": "1.jpg", "caption": "a cat"}\n\n{"file_name": "val/2.jpg", "caption": "a dog"}\n',
        '{"path": "photos/val/1.jpg", "caption": "a cat"}\n{"path": "val/2.jpg", "caption": "a dog"}\n',
    ],
    ids=["results", "annotations", "lines", "paths"],
)
def test_captions_by_the_references_names(tmp_path: Path, text: str) -> None:
    path = written(tmp_path / "results.json", text)
    assert read_captions(path, EXAMPLES) == {"val/1.jpg": "a cat", "val/2.jpg": "a dog"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"image_id": 99, "caption": "a"}', "no image 99"),
        ('{"file_name": "2.jpg", "caption": "a"}', r"no image 2\.jpg"),  # two folders have one
        (
            '{"image_id": 11, "caption": "a"}\n{"file_name": "1.jpg", "caption": "b"}',
            r"results\.jsonl:2: a second caption",
        ),
        ('{"image_id": 11}', "needs 'caption'"),
        ('{"caption": "a"}', "needs 'image_id' or"),
        ('{"image_id": 11, "caption": "a"}\n{broken', r"results\.jsonl:2: not JSON"),
        ("[1, 2]", "a JSON object is needed, not a int"),
    ],
)
def test_what_cannot_be_scored_is_told_by_its_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_captions(written(tmp_path / "results.jsonl", text), EXAMPLES)


def test_tables_with_pictures_in_cells(tmp_path: Path) -> None:
    picture = base64.b64encode(bytes(200_000)).decode()  # longer than Python's csv allows unasked
    path = written(tmp_path / "t.tsv", f'index\timage\tquestion\tC\n1\t{picture}\t"two\nlines"\t\n')
    [(place, row)] = read_rows(path)
    assert place.endswith("t.tsv:3")
    assert row == {"index": "1", "image": picture, "question": "two\nlines", "C": ""}
    with pytest.raises(DataError, match="more cells"):
        list(read_rows(written(tmp_path / "u.tsv", "index\n1\t2\n")))


def test_a_documents_own_numbers_are_not_those_of_the_references(tmp_path: Path) -> None:
    """Such as `seesay caption --format coco` gives pictures that are not named as COCO's."""
    document = {
        "images": [{"id": 12, "file_name": "photos/1.jpg"}],
        "annotations": [{"id": 1, "image_id": 12, "caption": "a cat"}],
    }
    assert read_captions(written(tmp_path / "r.json", json.dumps(document)), EXAMPLES) == {"val/1.jpg": "a cat"}


def test_answers_by_question_whatever_their_order(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", '{"question_id": 2, "text": "no"}\n{"question_id": "1", "answer": "yes"}\n')
    assert read_answers(path, [1, 2], key="question_id", answer=("answer", "text")) == ["yes", "no"]
    with pytest.raises(DataError, match="1 questions have no answer, such as 3"):
        read_answers(path, [1, 3], key="question_id", answer=("answer", "text"))
    twice = written(tmp_path / "b.jsonl", '{"question_id": 2, "text": "no"}\n' * 2)
    with pytest.raises(DataError, match=r"b\.jsonl:2: a second answer to question 2"):
        read_answers(twice, [2], key="question_id", answer=("text",))


def test_pictures_of_a_table(tmp_path: Path) -> None:
    first, second = (base64.b64encode(bytes([number]) * 90).decode() for number in (1, 2))
    rows = ["index\timage\timage_path", "1000007\t7\t", f"7\t{first}\t", f"8\t{second}\t", "9\t\ta/b.jpg"]
    table = written(tmp_path / "t.tsv", "\n".join(rows))
    assert list(read_pictures(table, tmp_path)) == [bytes([1]) * 90] * 2 + [bytes([2]) * 90, tmp_path / "a/b.jpg"]
    broken = written(tmp_path / "u.tsv", f"index\timage\n1\t{first}*\n")
    with pytest.raises(DataError, match=r"u\.tsv:2: the picture is not base64"):
        list(read_pictures(broken, tmp_path))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("results.tsv", "index\tanswer\tprediction\n1\tA\t\n2\tB\tB\n"),
        ("results.tsv", "index\tanswer\tprediction\n1\tA\n2\tB\tB\n"),
        ("results.csv", "index,prediction\n1,\n2,B\n"),
        ("results.jsonl", '{"index": 1, "answer": "A", "prediction": null}\n{"index": 2, "prediction": "B"}\n'),
    ],
    ids=["empty", "short", "alone", "null"],
)
def test_nothing_predicted_is_not_the_right_answer_beside_it(tmp_path: Path, name: str, text: str) -> None:
    """VLMEvalKit's tables of results keep the right answer in their column `answer`."""
    path = written(tmp_path / name, text)
    assert read_answers(path, [1, 2], key="index", answer=("prediction", "answer", "text")) == ["", "B"]


def test_an_empty_caption_is_a_caption(tmp_path: Path) -> None:
    path = written(tmp_path / "results.csv", "image_id,file_name,caption\n,val/1.jpg,\n12,,a dog\n")
    assert read_captions(path, EXAMPLES) == {"val/1.jpg": "", "val/2.jpg": "a dog"}


def test_other_ends_of_lines_may_stand_inside_json(tmp_path: Path) -> None:
    path = written(tmp_path / "results.jsonl", '{"image_id": 11, "caption": "a\u2028cat\x85"}\r\n')
    assert read_captions(path, EXAMPLES) == {"val/1.jpg": "a\u2028cat\x85"}


def test_a_name_without_suffix_that_two_images_have_is_none(tmp_path: Path) -> None:
    path = written(tmp_path / "results.jsonl", '{"file_name": "a", "caption": "a cat"}')
    with pytest.raises(DataError, match="no image a"):
        read_captions(path, [Example("a.jpg", None), Example("a.png", None)])
