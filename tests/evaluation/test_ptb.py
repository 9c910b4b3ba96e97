"""The tokenizer beside what pycocoevalcap made of the same captions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from seesay.evaluation import tokenize, tokenize_together

HERE = Path(__file__).parent
CAPTIONS = (HERE / "captions.txt").read_text(encoding="utf-8").splitlines()
RECORDED = json.loads((HERE / "recorded.json").read_text(encoding="utf-8"))["tokens"]


def test_every_caption_was_recorded() -> None:
    assert len(CAPTIONS) == len(RECORDED) > 75


@pytest.mark.parametrize(
    ("caption", "expected", "ours"),
    list(zip(CAPTIONS, RECORDED, tokenize_together(CAPTIONS), strict=True)),
    ids=range(1, len(CAPTIONS) + 1),
)
def test_words_are_those_of_pycocoevalcap(caption: str, expected: str, ours: str) -> None:
    assert ours == expected, caption


def test_a_sentence_that_follows_tells_a_letter_from_an_initial() -> None:
    assert tokenize("the letter P.") == "the letter p."
    assert tokenize("the letter P.", following="A dog runs.") == "the letter p"
    assert tokenize("the letter P.", following="a dog runs.") == "the letter p."
    assert tokenize_together(["the letter P.", "A dog."]) == ["the letter p", "a dog"]


def test_line_ends_within_a_caption_are_spaces() -> None:
    assert tokenize("a dog\nruns\r\nfast") == "a dog runs fast"


@pytest.mark.parametrize("caption", ["", " ", ".", "\n", "😀", "\u200b", "\x00", "...!'\""])
def test_nothing_to_say_gives_no_words(caption: str) -> None:
    assert tokenize(caption) == ""


def test_a_long_line_without_spaces_is_one_token_or_none() -> None:
    assert tokenize("a" * 20_000) == "a" * 20_000
    assert len(tokenize("a-" * 5_000).split()) == 1
    assert tokenize("'" * 5_000) == ""
