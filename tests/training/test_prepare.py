"""The data folder is read for what each photograph may be used for, and made into tokens."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tiny_training import CAPTIONS, RECIPE, RECIPES, TEXTS

from seesay.errors import DataError, UsageError
from seesay.tokenizer import Tokenizer
from seesay.training import prepare as preparing
from seesay.training.concepts import Concepts, read_concepts
from seesay.training.prepare import Prepared, clean, prepare, small_vocabulary
from seesay.training.recipe import DataRecipe

CONCEPTS = read_concepts(RECIPES / "concepts.json")
RECIPE_OF_DATA, MODEL = RECIPE.data, RECIPE.model


@pytest.fixture(autouse=True)
def no_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Maps have their own tests; here they would cost the seconds."""
    monkeypatch.setattr(preparing, "write_views", lambda folder, images, count, config: set())


@pytest.fixture
def prepared(data_folder: Path, tmp_path: Path) -> Prepared:
    return prepare(RECIPE_OF_DATA, MODEL, CONCEPTS, data_folder, tmp_path / "made")


def test_every_photograph_has_its_role(prepared: Prepared) -> None:
    assert prepared.having("validation") == ["flickr8k/cat-mirrored.jpg", "flickr8k/rocket-mirrored.jpg"]
    assert prepared.having("naming") == ["imagenet_sample/n02124075.jpg"]  # class 285
    labelled = ["caltech101/camera/image_0001.jpg", "imagenet_sample/n02123159.jpg"]  # class 282
    assert prepared.having("labelled") == labelled
    captioned = prepared.having("captioned")
    assert len(captioned) == 9
    assert "coco/000000000000.jpg" in captioned
    assert "coco/000000000001.jpg" not in prepared.names  # has no captions
    assert prepared.objects == ["coco/000000000000.jpg", *labelled]


def test_nothing_is_trained_on_that_must_not_be(prepared: Prepared) -> None:
    trained_on = set(prepared.captions)
    assert not trained_on & {*prepared.having("validation"), *prepared.having("naming")}
    assert trained_on == {*prepared.having("captioned"), *prepared.having("labelled")}


def test_a_row_that_is_missing_moves_no_other_to_the_other_half(data_folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "data"
    shutil.copytree(data_folder, copy)
    (copy / "imagenet_sample" / "images" / "n02123159.jpg").unlink()
    again = prepare(RECIPE_OF_DATA, MODEL, CONCEPTS, copy, tmp_path / "made")
    assert again.having("naming") == ["imagenet_sample/n02124075.jpg"]


def test_captions_are_cleaned_and_can_be_read_back(prepared: Prepared) -> None:
    tokenizer = prepared.tokenizer
    assert prepared.references["flickr8k/cat.jpg"] == [clean(caption) for caption in CAPTIONS["cat"]]
    read = [tokenizer.decode(tokens) for tokens in prepared.captions["flickr8k/cat.jpg"]]
    assert read == ["a cat looks at the camera", "a close up of a cat", "a brown cat with green eyes"]
    assert [tokenizer.decode(tokens) for tokens in prepared.texts] == TEXTS  # each once, short ones left out
    composed = {tokenizer.decode(tokens) for tokens in prepared.captions["caltech101/camera/image_0001.jpg"]}
    assert composed == {"a photo of a camera", "a picture of a camera"}


def test_objects_that_people_describe_often_are_known_as_such(
    data_folder: Path, tmp_path: Path, prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not prepared.familiar
    monkeypatch.setattr(preparing, "FAMILIAR", 3)  # as many captions name a camera and a cat
    made = prepare(RECIPE_OF_DATA, MODEL, CONCEPTS, data_folder, tmp_path / "familiar")
    assert made.familiar == prepared.having("labelled")
    assert made.captions == prepared.captions  # composed all the same: this cat may do what no described one does


def test_concepts_of_captions(prepared: Prepared) -> None:
    named = [{CONCEPTS.words[i] for i in indices} for indices in prepared.concepts]
    assert len(named) == len(TEXTS)
    assert "dog" in named[0]
    assert "bird" in named[1]
    assert prepared.words["imagenet_sample/n02124075.jpg"] == list(CONCEPTS.classes["n02124075"])


def test_the_vocabulary_keeps_what_captions_and_concepts_need(prepared: Prepared) -> None:
    tokens = prepared.vocabulary
    assert tokens[:5] == ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    assert tokens[-2:] == ("[DEC]", "[ENC]")
    assert len(set(tokens)) == len(tokens)
    tokenizer = prepared.tokenizer
    for text in (*TEXTS, *CONCEPTS.words, "zebras", "xylophone #7"):  # letters spell what is no piece of its own
        assert tokenizer.unknown not in tokenizer.encode(text), text


def test_rare_pieces_leave_the_vocabulary() -> None:
    captions = ["a marvellous dog"] + ["a dog"] * 3
    kept, pruned = (small_vocabulary(captions, ["cat"], least) for least in (1, 3))
    assert "marvel" in kept
    assert "marvel" not in pruned
    assert {"dog", "cat", "cats"} <= set(pruned)
    tokenizer = Tokenizer(pruned, bos=pruned.index("[DEC]"), eos=pruned.index("[SEP]"))
    assert tokenizer.decode(tokenizer.encode("a marvellous dog")) == "a marvellous dog"


@pytest.mark.parametrize(
    ("caption", "cleaned"),
    [
        ("A dog  runs , fast .", "a dog runs, fast"),
        ("Stop !", "stop"),
        ("two\tcats;", "two cats"),
        ("a sign says 3.5 km", "a sign says 3.5 km"),
        (" . ", ""),
    ],
)
def test_cleaning(caption: str, cleaned: str) -> None:
    assert clean(caption) == cleaned


def test_long_captions_go_unless_there_is_no_other(data_folder: Path, tmp_path: Path) -> None:
    short = DataRecipe(views=1, least_count=1, longest_caption=4)
    made = prepare(short, MODEL, CONCEPTS, data_folder, tmp_path / "made")
    read = {name: [made.tokenizer.decode(one) for one in each] for name, each in made.captions.items()}
    assert read["flickr8k/rocket.jpg"] == ["a rocket stands at night"]  # five tokens: none is shorter
    assert read["flickr8k/coffee.jpg"] == ["coffee in a cup"]


def test_what_was_made_is_not_made_again_nor_mixed(data_folder: Path, tmp_path: Path, prepared: Prepared) -> None:
    stamp = (tmp_path / "made" / "data.json").stat().st_mtime_ns
    again = prepare(RECIPE_OF_DATA, MODEL, CONCEPTS, data_folder, tmp_path / "made")
    assert again == prepared
    assert (tmp_path / "made" / "data.json").stat().st_mtime_ns == stamp
    with pytest.raises(UsageError, match="made from other data or by another recipe"):
        prepare(DataRecipe(views=3, least_count=2), MODEL, CONCEPTS, data_folder, tmp_path / "made")
    other = Concepts({**CONCEPTS.classes, "n02123159": ("kitten",)}, {}, {}, {}, {})
    with pytest.raises(UsageError, match="made from other data or by another recipe"):
        prepare(RECIPE_OF_DATA, MODEL, other, data_folder, tmp_path / "made")


@pytest.mark.parametrize("part", ["flickr8k/captions.txt", "coco/images", "caltech101", "imagenet_sample", "text"])
def test_a_part_that_is_missing_is_named(data_folder: Path, tmp_path: Path, part: str) -> None:
    copy = tmp_path / "data"
    shutil.copytree(data_folder, copy)
    missing = copy / part
    shutil.rmtree(missing) if missing.is_dir() else missing.unlink()
    with pytest.raises(DataError, match=part.split("/")[0]):
        prepare(RECIPE_OF_DATA, MODEL, CONCEPTS, copy, tmp_path / "made")
