"""Object naming on a WordNet of nine nouns, in the format of the real one."""

from __future__ import annotations

from pathlib import Path

import pytest

from seesay.errors import DataError, UsageError
from seesay.evaluation import Nouns, Synset, accepted_names, name_in, object_naming

# Offsets and words are WordNet 3.0's; the glosses and most pointers are left out.
NOUN = """\
  1 This software and database is being provided to you
00001740 03 n 01 entity 0 000 | all that is
00015388 05 n 02 animal 0 beast 0 001 @ 00001740 n 0000 | a living thing
02084071 05 n 03 dog 0 domestic_dog 0 Canis_familiaris 0 002 @ 00015388 n 0000 %p 02158846 n 0000 | a pet
02113186 05 n 02 Cardigan 0 Cardigan_Welsh_corgi 0 001 @ 02084071 n 0000 | a corgi
02113335 05 n 01 poodle 0 001 @ 02084071 n 0000 | a curly one
02123045 05 n 02 tabby 0 tabby_cat 0 002 @ 02121620 n 0000 @ 00015388 n 0000 | striped
02121620 05 n 01 cat 0 001 @ 00015388 n 0000 | another pet
07930864 13 n 01 cup 0 001 @ 00001740 n 0000 | a punch
09820263 18 n 01 Rex 0 001 @i 02084071 n 0000 | one dog
"""
TABBY, POODLE, CORGI, REX = "n02123045", "n02113335", "n02113186", "n09820263"


@pytest.fixture
def nouns(tmp_path: Path) -> Nouns:
    path = tmp_path / "data.noun"
    path.write_text(NOUN, encoding="utf-8")
    return Nouns.read(path)


def test_a_noun_has_its_words_and_what_it_is_a_kind_of(nouns: Nouns) -> None:
    assert len(nouns.synsets) == 9
    assert nouns["n02084071"] == Synset(("dog", "domestic dog", "canis familiaris"), ("n00015388",))


def test_kinds_come_nearest_first_and_once(nouns: Nouns) -> None:
    assert list(nouns.kinds(TABBY)) == [TABBY, "n02121620", "n00015388", "n00001740"]
    assert list(nouns.kinds(REX)) == [REX, "n02084071", "n00015388", "n00001740"]


def test_an_unknown_id_is_named(nouns: Nouns) -> None:
    with pytest.raises(DataError, match="no noun n99999999"):
        nouns["n99999999"]


def test_a_missing_wordnet_says_where_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read") as caught:
        Nouns.read(tmp_path / "data.noun")
    assert "wordnet-base" in caught.value.remedy


@pytest.mark.parametrize("text", ["hello world\n", "00001740 03 n zz entity 0 000 | x\n", "1 2 n 01 entity 0 001 @\n"])
def test_another_file_is_refused_with_its_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "data.noun"
    path.write_text("  1 header\n" + text, encoding="utf-8")
    with pytest.raises(DataError, match=r"data\.noun:2: not a line of WordNet"):
        Nouns.read(path)


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.noun"
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(DataError, match="not WordNet"):
        Nouns.read(path)


def test_names_are_neither_generic_nor_shared_by_too_many(nouns: Nouns) -> None:
    names = accepted_names([TABBY, POODLE, CORGI], nouns)
    assert names[TABBY] == set()  # of three classes, 13 % is less than one
    many = Nouns({**nouns.synsets, **{f"n0000000{i}": Synset((f"thing {i}",), ()) for i in range(9)}})
    classes = [TABBY, POODLE, *(f"n0000000{i}" for i in range(9))]
    names = accepted_names(classes, many)
    assert names[TABBY] == {"tabby", "tabby cat", "cat"}
    assert names[POODLE] == {"poodle", "dog", "domestic dog", "canis familiaris"}
    assert accepted_names([*classes, CORGI], many)[POODLE] == {"poodle"}  # now two of twelve are dogs


@pytest.mark.parametrize(
    ("caption", "name"),
    [
        ("a tabby cat on a sofa", "tabby cat"),
        ("Two cats!", "cat"),
        ("A CAT.", "cat"),
        ("the cat's bed", "cat"),
        ("a category", None),
        ("a wildcat", None),
        ("a tabby-cat", "tabby cat"),
        ("a dog", None),
        ("", None),
        ("two buses", "bus"),
    ],
)
def test_a_name_is_a_whole_word_or_its_plural(caption: str, name: str | None) -> None:
    assert name_in(caption, {"cat", "tabby", "tabby cat", "bus"}) == name


def test_naming_counts_the_captions_given_over_the_classes_of_all(nouns: Nouns) -> None:
    everything = Nouns({**nouns.synsets, **{f"n0000000{i}": Synset((f"thing {i}",), ()) for i in range(9)}})
    classes = {"a.jpg": TABBY, "b.jpg": POODLE, **{f"{i}.jpg": f"n0000000{i}" for i in range(9)}}
    scores = object_naming({"a.jpg": "a cat sleeps", "b.jpg": "an animal sleeps"}, classes, everything)
    assert scores.share == 0.5
    assert scores.names == {"a.jpg": "cat", "b.jpg": None}


def test_a_photo_without_a_class_is_refused(nouns: Nouns) -> None:
    with pytest.raises(UsageError, match=r"class of 1 photos is not known, such as x\.jpg"):
        object_naming({"x.jpg": "a cat"}, {"a.jpg": TABBY}, nouns)
    with pytest.raises(UsageError, match="no captions"):
        object_naming({}, {"a.jpg": TABBY}, nouns)
