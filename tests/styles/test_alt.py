"""The rules of alternative text, one by one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seesay.styles.alt import alt_text, fitted, problems


@pytest.mark.parametrize(
    ("said", "alt"),
    [
        ("a cat on a sofa", "A cat on a sofa."),
        ("an image of a cat on a sofa", "A cat on a sofa."),
        ("This is art.", "This is art."),
        ("The picture shows two dogs", "Two dogs."),
        ("a beautiful old photo of a man", "A man."),
        ("a black and white photo of a man in a hat", "A man in a hat, in black and white."),
        ("an aerial photograph showing fields", "Fields, from the air."),
        ('"A close-up picture of a cup."', "A cup."),
        ("a picture frame on a wall", "A picture frame on a wall."),
        ("a man taking a picture of a bird", "A man taking a picture of a bird."),
        ("Who is it?", "Who is it?"),
        ("", ""),
    ],
)
def test_the_opening_goes_and_a_sentence_stays(said: str, alt: str) -> None:
    assert alt_text(said) == alt
    assert not set(problems(alt)) - {"says nothing"}


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (60, "a brown dog runs on the beach with a large red ball"),
        (40, "a brown dog runs on the beach"),
        (20, "a brown dog runs"),
        (9, "a brown"),
    ],
)
def test_what_is_too_long_ends_where_a_phrase_does(length: int, text: str) -> None:
    assert fitted("a brown dog runs on the beach with a large red ball", length) == text


def test_whole_sentences_are_kept_where_they_are_most_of_it() -> None:
    assert fitted("A dog runs on the beach. It carries a ball.", 36) == "A dog runs on the beach."


WORDS = st.sampled_from(["a", "picture", "of", "the", "cat,", "x" * 40, '"on"', "sofa.", "é"])


@given(st.lists(WORDS, max_size=30), st.integers(10, 150))
def test_no_alternative_text_is_longer_than_asked(words: list[str], length: int) -> None:
    assert len(alt_text(" ".join(words), length)) <= length


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Image of a cat.", "opens with the kind of picture"),
        ("A cat " + "very " * 30 + "old.", "longer than 125 characters"),
        ("IMG_2041.jpg", "a file name"),
        ("DSC00123", "a file name"),
        ("It is.", "says nothing"),
        ("A red bicycle.", "repeats the context"),
    ],
)
def test_what_the_rules_have_against_a_text(text: str, problem: str) -> None:
    assert problems(text, context="For sale: my red bicycle, hardly used") == (problem,)


def test_an_empty_text_is_empty_on_purpose() -> None:
    assert problems("", context="anything") == ()
    assert problems("A red bicycle against a wall.", context="my red bicycle") == ()
