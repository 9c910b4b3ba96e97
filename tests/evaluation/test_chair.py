"""Which objects a caption names, and CHAIR by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from seesay.errors import DataError, UsageError
from seesay.evaluation.chair import COCO_OBJECTS, chair, read_coco_objects, read_synonyms, singular


@pytest.mark.parametrize(
    ("caption", "objects"),
    [
        ("Two men riding horses.", ["person", "horse"]),
        ("a man and a woman", ["person", "person"]),  # each counts
        ("a baby elephant beside its mother", ["elephant", "person"]),
        ("the passenger train", ["train"]),
        ("hot dogs and teddy bears", ["hot dog", "teddy bear"]),
        ("wine glasses on a dining table", ["wine glass", "dining table"]),
        ("a stove top oven", ["oven"]),
        ("a toilet seat", ["toilet"]),
        ("the seat of the toilet is up", ["toilet"]),  # as the published code has it
        ("a seat", ["chair"]),
        ("a bow tie", ["tie"]),
        ("skis, scissors, buses and knives", ["skis", "scissors", "bus", "knife"]),
        ("children on a double decker", ["person", "bus"]),
        ("goats, computers and a trolley", ["sheep", "laptop", "bus"]),  # as the published list has it
        ("grass under a blue sky", []),
    ],
)
def test_objects_of_a_caption(caption: str, objects: list[str]) -> None:
    assert [name for _, name in COCO_OBJECTS.in_caption(caption)] == objects


def test_there_are_80_objects_each_called_by_its_own_name() -> None:
    objects = set(COCO_OBJECTS.names.values())
    assert len(objects) == 80
    assert all(COCO_OBJECTS.names[name] == name for name in objects)


@pytest.mark.parametrize(
    ("word", "one"),
    [("ponies", "pony"), ("benches", "bench"), ("glass", "glass"), ("buses", "bus"), ("cats", "cat"), ("men", "man")],
)
def test_the_singular(word: str, one: str) -> None:
    assert singular(word) == one


def test_chair_by_hand() -> None:
    captions = {"1": "a dog and a cat on a bench", "2": "a man with an umbrella", "3": "green grass"}
    annotated = {"1": ["dog", "bench"], "2": ["person", "car"], "3": ["cow"]}
    references = {"2": ["a person under an umbrella"]}
    scores = chair(captions, annotated, references)
    assert scores.hallucinated == {"1": ("cat",), "2": (), "3": ()}
    assert scores.sentences == pytest.approx(1 / 3)
    assert scores.instances == pytest.approx(1 / 5)
    assert scores.coverage == pytest.approx(3 / 5)
    assert chair(captions, annotated, {}).instances == pytest.approx(2 / 5)
    with pytest.raises(UsageError, match="of 1 images are not known, such as 3"):
        chair(captions, {"1": [], "2": []}, {})


def test_a_list_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "synonyms.txt"
    path.write_text("dog, hound\nroller skate, skate\n", encoding="utf-8")
    assert read_synonyms(path).in_caption("hounds on roller skates") == [
        ("hound", "dog"),
        ("roller skate", "roller skate"),
    ]
    with pytest.raises(DataError, match="cannot be read"):
        read_synonyms(tmp_path / "none.txt")


def test_objects_of_cocos_instances(tmp_path: Path) -> None:
    path = tmp_path / "instances.json"
    document = {
        "images": [{"id": 1}, {"id": 2}],
        "categories": [{"id": 18, "name": "dog"}, {"id": 15, "name": "bench"}],
        "annotations": [{"image_id": 1, "category_id": 18}, {"image_id": 1, "category_id": 15}],
    }
    path.write_text(json.dumps(document), encoding="utf-8")
    assert read_coco_objects(path) == {1: {"dog", "bench"}, 2: set()}
    path.write_text(json.dumps({"images": []}), encoding="utf-8")
    with pytest.raises(DataError, match="not COCO's instances"):
        read_coco_objects(path)
