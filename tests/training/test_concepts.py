"""Concept words are found in captions, and the published table is sound."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_training import RECIPES

from seesay.errors import UsageError
from seesay.texts import plural
from seesay.training.concepts import Concepts, read_concepts

SMALL = Concepts(
    classes={"n1": ("dog",), "n2": ("dog", "hot dog"), "n3": ("bus",), "n4": ("school bus",)},
    forms={"puppy": "dog"},
    labels={"car side": ("car",)},
    phrases={},
    kinds={"large": frozenset({"bus"})},
)


@pytest.fixture(scope="module")
def published() -> Concepts:
    return read_concepts(RECIPES / "concepts.json")


def found(caption: str) -> list[str]:
    return [SMALL.words[i] for i in SMALL.named(caption)]


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("A dog sits.", ["dog"]),
        ("two dogs and a puppy", ["dog"]),
        ("a hot dog", ["hot dog"]),
        ("a dog eats a hot dog", ["dog", "hot dog"]),
        ("two school buses, one bus", ["bus", "school bus"]),
        ("a doghouse", []),
        ("", []),
    ],
)
def test_a_caption_names_words(caption: str, words: list[str]) -> None:
    assert found(caption) == words


def test_the_matrix_has_a_one_where_a_class_counts_for_a_word() -> None:
    assert SMALL.words == ("bus", "dog", "hot dog", "school bus")
    assert SMALL.matrix.tolist() == [[0, 1, 0, 0], [0, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1]]


def test_labels_have_words_by_class_or_by_name() -> None:
    assert SMALL.of_label("anything", "n2") == ("dog", "hot dog")
    assert SMALL.of_label("car side", None) == ("car",)
    assert SMALL.of_label("unknown", "n9") == ()


def test_plurals() -> None:
    assert [plural(word) for word in ("dog", "bus", "fox", "beach", "brush")] == [
        *("dogs", "buses", "foxes", "beaches", "brushes")
    ]


def test_every_class_of_the_published_table_counts_for_a_word(published: Concepts) -> None:
    assert published.matrix.shape == (1000, len(published.words))
    assert (published.matrix.sum(axis=1) >= 1).all()
    assert list(published.classes) == sorted(published.classes)  # the order of the classifier's outputs
    assert np.array_equal(published.matrix.sum(axis=0) > 0, np.ones(len(published.words), bool))


def test_the_published_table_knows_its_own_words(published: Concepts) -> None:
    for i, word in enumerate(published.words):
        assert i in published.named(f"a photo of the {word} there"), word


@pytest.mark.parametrize("content", ["", "[]", '{"classes": {}}', '{"classes": {"n1": []}, "forms": {}, "labels": {}}'])
def test_another_file_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "concepts.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match="no table of concept words"):
        read_concepts(path)


def test_a_form_of_no_word_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "concepts.json"
    path.write_text(
        '{"classes": {"n1": ["dog"]}, "forms": {"kitten": "cat"}, "labels": {}, "phrases": {}, "kinds": {}}', "utf-8"
    )
    with pytest.raises(UsageError, match="cat"):
        read_concepts(path)
