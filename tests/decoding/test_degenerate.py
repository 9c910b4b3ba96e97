from __future__ import annotations

import pytest

from seesay.decoding import SearchOptions, defects, remedy

LITTLE = "a an the and or of on in at to with by from for next top front is are their his its , ."
VOCABULARY: dict[str, int] = {}


def ids(text: str) -> list[int]:
    """Words are tokens, except that a hyphen splits a word into pieces: "pen-guin" is "pen", "##guin"."""
    pieces = [("##" if place else "") + piece for word in text.split() for place, piece in enumerate(word.split("-"))]
    return [VOCABULARY.setdefault(piece, len(VOCABULARY)) for piece in pieces]


def found_in(text: str, ended: bool = True) -> tuple[str, ...]:
    tokens, little = ids(text), frozenset(ids(LITTLE))
    continuations = frozenset(token for piece, token in VOCABULARY.items() if piece.startswith("##"))
    return defects(tokens, ended, continuations=continuations, function_words=little)


@pytest.mark.parametrize(
    "text",
    [
        "a hat on top of a hat",
        "a man wearing a hat on top of a hat",
        "a man and a man",
        "a man and a man and a man",
        "a man and a man are sitting on a bench",
        "a black dog and a black dog are running",
        "a woman in a white blouse and a woman in a white blouse",
        "a dog with a a",
        "a man riding a a horse",
        "a dog dog",
        "a dog in the snow in the snow",
        "a man is standing is standing on a field",
        "a truck with a with a house",
        "a person on a skate-board on a skate-board",
        "a pen-guin and a pen-guin",
        "a pen-guin pen-guin",
        "a train on train with train at train",
        "dog runs dog jumps dog sits dog sleeps",
        "the street the street",
    ],
)
def test_repetition(text: str) -> None:
    assert found_in(text) == ("repetition",)


@pytest.mark.parametrize(
    "text",
    [
        "a dog",
        "dog",
        "a dog and another dog",
        "a man in a blue shirt and a woman in a blue shirt",
        "two men sit side by side",
        "two girls walk hand in hand in a park",
        "a man on a bike and a man on a skateboard",
        "a black dog and a brown dog play in the snow",
        "a boy hitting a baseball with a baseball bat",
        "a baseball player swings a baseball bat at a baseball game",
        "a tennis player playing tennis on a tennis court",
        "a person riding a skateboard in a skateboard park",
        "a red and white bus next to a red and white car",
        "a pen-guin next to another pen-guin",
        "a man , a woman , a boy , and a dog",
        "a group of people standing on top of a hill",
        "a train on the tracks next to another train",
        "a cat on a table and a cat under the table",
        "a man with a beard talks to a man with a hat",
        "a boy in a red shirt , a girl in a white shirt and a man in a black shirt",
    ],
)
def test_ordinary_english(text: str) -> None:
    assert found_in(text) == ()


def test_empty_and_cut_off() -> None:
    assert found_in("") == ("empty",)
    assert found_in("a .") == ("empty",)
    assert found_in("a man on a", ended=False) == ("cut off",)
    assert found_in("a man and a man and a", ended=False) == ("repetition", "cut off")
    assert found_in("the", ended=False) == ("empty", "cut off")


def test_remedies() -> None:
    options = SearchOptions(beams=2, max_new_tokens=10)
    assert remedy(options, ()) is None
    changed = remedy(options, ("repetition",))
    assert changed == SearchOptions(beams=2, max_new_tokens=10, no_repeat_ngram=2, repetition_penalty=1.2)
    assert remedy(changed, ("repetition",)) is None  # once is enough
    assert remedy(SearchOptions(no_repeat_ngram=1, repetition_penalty=2.0), ("repetition",)) is None
    assert remedy(options, ("cut off",)) == SearchOptions(beams=2, max_new_tokens=20)
    assert remedy(options, ("empty",)) == SearchOptions(beams=2, max_new_tokens=10, min_new_tokens=3)
    assert remedy(SearchOptions(max_new_tokens=2), ("empty",)) == SearchOptions(max_new_tokens=2, min_new_tokens=2)
    assert remedy(options, ("repetition", "cut off")) == SearchOptions(
        beams=2, max_new_tokens=20, no_repeat_ngram=2, repetition_penalty=1.2
    )
