"""Composed captions say no more than the label and the colours of the background tell."""

from __future__ import annotations

import pytest
from PIL import Image, ImageDraw
from skimage import data as photographs
from tiny_training import RECIPES

from seesay.training.compose import Background, compose, noun_phrase
from seesay.training.concepts import Concepts, read_concepts

PLAIN = Background(white=False, black=False, green=False, blue=False)


@pytest.fixture(scope="module")
def concepts() -> Concepts:
    return read_concepts(RECIPES / "concepts.json")


def on(colour: str) -> Image.Image:
    """A red disc before a plain background."""
    image = Image.new("RGB", (200, 150), colour)
    ImageDraw.Draw(image).ellipse((50, 30, 150, 120), fill="red")
    return image


@pytest.mark.parametrize(
    ("colour", "field"), [("white", "white"), ("black", "black"), ("forestgreen", "green"), ("dodgerblue", "blue")]
)
def test_the_border_tells_the_background(colour: str, field: str) -> None:
    seen = Background.of(on(colour))
    assert [name for name in Background.__slots__ if getattr(seen, name)] == [field]


def test_photographs() -> None:
    assert Background.of(Image.fromarray(photographs.chelsea())) == PLAIN


@pytest.mark.parametrize(
    ("word", "phrase"),
    [
        *(("dog", "a dog"), ("elephant", "an elephant"), ("unicycle", "a unicycle")),
        *(("bread", "bread"), ("coffee", "a cup of coffee")),
    ],
)
def test_noun_phrases(concepts: Concepts, word: str, phrase: str) -> None:
    assert noun_phrase(word, concepts) == phrase


@pytest.mark.parametrize(
    ("word", "colour", "captions"),
    [
        ("dog", "white", {"a dog on a white background"}),
        ("castle", "white", {"a view of a castle", "a picture of a castle"}),
        ("dog", "forestgreen", {"a dog in the grass", "a dog in front of a green background"}),
        ("cup", "forestgreen", {"a cup with a green background", "a cup in front of a green background"}),
        ("shark", "dodgerblue", {"a shark swimming in the water", "a shark in the water"}),
        ("bird", "dodgerblue", {"a bird with a blue sky in the background"}),
        ("dog", "dodgerblue", {"a photo of a dog", "a picture of a dog"}),
        ("truck", "gold", {"a photo of a truck", "a picture of a truck"}),
    ],
)
def test_a_word_before_a_background(concepts: Concepts, word: str, colour: str, captions: set[str]) -> None:
    assert set(compose([word], Background.of(on(colour)), concepts)) == captions


def test_the_last_word_comes_twice_as_often(concepts: Concepts) -> None:
    composed = compose(["bird", "owl"], PLAIN, concepts)
    owl = ["a photo of an owl", "a picture of an owl"]
    assert composed == ["a photo of a bird", "a picture of a bird", *owl, *owl]
