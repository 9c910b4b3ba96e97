"""BLIP's own JSON and VQAv2's two files, whole and broken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from seesay.data import Example, Question, read_blip, read_vqa
from seesay.errors import DataError


def write(path: Path, document: Any) -> Path:
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def test_captions_for_training_and_for_retrieval(tmp_path: Path, images: Path, skipped: list[DataError]) -> None:
    train = [
        {"image": "a.jpg", "caption": "A dog.", "image_id": "coco_391895"},
        {"image": "b.jpg", "caption": "A cat.", "image_id": "coco_7"},
        {"image": "a.jpg", "caption": "Dogs", "image_id": "coco_391895"},
    ]
    assert list(read_blip(write(tmp_path / "train.json", train), images, skipped.append)) == [
        Example("a.jpg", images / "a.jpg", ("A dog.", "Dogs"), image_id=391895),
        Example("b.jpg", images / "b.jpg", ("A cat.",), image_id=7),
    ]
    val = [{"image": "val2014/COCO_val2014_000000391895.jpg", "caption": ["A dog.", "Dogs"]}]
    assert list(read_blip(write(tmp_path / "val.json", val), report=skipped.append)) == [
        Example("val2014/COCO_val2014_000000391895.jpg", None, ("A dog.", "Dogs"), image_id=391895)
    ]
    nocaps = [{"image": "a.jpg", "img_id": 0}]
    assert list(read_blip(write(tmp_path / "nocaps.json", nocaps), report=skipped.append)) == [
        Example("a.jpg", None, extra={"img_id": 0})
    ]
    assert not skipped


def test_questions_weigh_answers_as_blip_does(tmp_path: Path, skipped: list[DataError]) -> None:
    rows = [
        {"question_id": 1, "question": "Red?", "answer": ["yes"] * 7 + ["no"] * 3, "image": "a.jpg", "dataset": "vqa"},
        {"question_id": 2, "question": "Where?", "answer": "outside", "image": "a.jpg", "dataset": "vg"},
        {"question_id": 3, "question": "Why?", "image": "a.jpg", "dataset": "vqa"},
    ]
    [example] = read_blip(write(tmp_path / "vqa_train.json", rows), report=skipped.append)
    assert example.questions == (
        Question("Red?", {"yes": 0.7, "no": 0.3}, 1),
        Question("Where?", {"outside": 0.2}, 2),
        Question("Why?", {}, 3),
    )
    assert not skipped


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"caption": "A dog"}, "[1]: needs 'image' of type str"),
        ("a.jpg", "[1]: needs 'image' of type str"),
        ({"image": "x.jpg", "caption": "A dog"}, "[1]: no image x.jpg in"),
        ({"image": "../a.jpg", "caption": "A dog"}, "[1]: ../a.jpg leads out of"),
        ({"image": "a.jpg", "caption": [5]}, "[1]: captions are texts"),
    ],
)
def test_a_broken_row_of_blip_is_reported_with_its_place_and_skipped(
    row: Any, reason: str, tmp_path: Path, images: Path, skipped: list[DataError]
) -> None:
    path = write(tmp_path / "data.json", [{"image": "a.jpg", "caption": "1"}, row, {"image": "b.jpg", "caption": "2"}])
    assert [one.captions for one in read_blip(path, images, skipped.append)] == [("1",), ("2",)]
    [error] = skipped
    assert str(error).startswith(f"{path}: {reason}")


def test_a_file_of_another_kind_is_not_blips(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a JSON list is needed, not a dict"):
        list(read_blip(write(tmp_path / "data.json", {})))


QUESTIONS = {
    "data_type": "mscoco",
    "data_subtype": "val2014",
    "questions": [
        {"image_id": 9, "question": "Red? ", "question_id": 9000},
        {"image_id": 5, "question": "Blue?", "question_id": 5000},
        {"image_id": 9, "question": "Why?", "question_id": 9001},
    ],
}


def answered(question_id: int, *answers: str) -> dict[str, Any]:
    given = [{"answer": answer, "answer_confidence": "yes", "answer_id": i + 1} for i, answer in enumerate(answers)]
    kind = "yes/no" if answers[0] in ("yes", "no") else "other"
    return {"question_id": question_id, "answers": given, "answer_type": kind}


ANNOTATIONS = {"annotations": [answered(9000, "yes", "no", "yes"), answered(5000, "no"), answered(9001, "art")]}


def test_vqa(tmp_path: Path, images: Path, skipped: list[DataError]) -> None:
    questions, annotations = write(tmp_path / "q.json", QUESTIONS), write(tmp_path / "a.json", ANNOTATIONS)
    red = Question("Red?", {"yes": 2 / 3, "no": 1 / 3}, 9000, "yes/no")
    name = "COCO_val2014_000000000009.jpg"
    examples = list(read_vqa(questions, annotations, report=skipped.append))
    assert examples == [
        Example(name, None, split="val", image_id=9, questions=(red, Question("Why?", {"art": 1.0}, 9001, "other"))),
        Example(
            "COCO_val2014_000000000005.jpg",
            None,
            split="val",
            image_id=5,
            questions=(Question("Blue?", {"no": 1.0}, 5000, "yes/no"),),
        ),
    ]
    assert not skipped
    (images / "a.jpg").rename(images / name)
    (images / "b.jpg").rename(images / "000000000005.jpg")  # as in 2017
    found = list(read_vqa(questions, annotations, images, skipped.append))
    assert [one.image for one in found] == [images / name, images / "000000000005.jpg"]


def test_the_questions_of_a_test_set_have_no_answers(tmp_path: Path) -> None:
    path = write(tmp_path / "q.json", QUESTIONS | {"data_subtype": "test-dev2015"})
    first, _ = read_vqa(path)
    assert first.name == "COCO_test2015_000000000009.jpg"
    assert [question.answers for question in first.questions] == [{}, {}]


@pytest.mark.parametrize(
    ("question", "annotation", "reason"),
    [
        ({"image_id": 9, "question": "Why?"}, None, "q.json: questions[3]: needs 'question_id' of type int"),
        ({"image_id": 9, "question_id": 1}, answered(1, "a"), "q.json: questions[3]: needs 'question' of type str"),
        ({"question": "?", "question_id": 1}, answered(1, "a"), "q.json: questions[3]: needs 'image_id' of type int"),
        ({"image_id": 9, "question": "?", "question_id": 1}, None, "q.json: questions[3]: no answers to question 1"),
        (None, {"question_id": 9001}, "a.json: annotations[3]: needs 'answers' of type list"),
        (None, {"question_id": 1, "answers": [{}]}, "a.json: annotations[3].answers[0]: needs 'answer' of type str"),
    ],
)
def test_a_broken_row_of_vqa_is_reported_with_its_place_and_skipped(
    question: Any, annotation: Any, reason: str, tmp_path: Path, skipped: list[DataError]
) -> None:
    rows = [*QUESTIONS["questions"], *([question] if question else [])]
    asked = write(tmp_path / "q.json", QUESTIONS | {"questions": rows})
    given = {"annotations": [*ANNOTATIONS["annotations"], *([annotation] if annotation else [])]}
    found = list(read_vqa(asked, write(tmp_path / "a.json", given), report=skipped.append))
    assert [len(one.questions) for one in found] == [2, 1]
    [error] = skipped
    assert str(error).startswith(str(tmp_path / reason))


def test_a_picture_that_is_not_there_is_reported(tmp_path: Path, images: Path, skipped: list[DataError]) -> None:
    assert not list(read_vqa(write(tmp_path / "q.json", QUESTIONS), None, images, skipped.append))
    assert len(skipped) == 2
    assert "questions[0]: no image COCO_val2014_000000000009.jpg" in str(skipped[0])
