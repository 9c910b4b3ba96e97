"""Texts put together from what is known."""

from __future__ import annotations

from datetime import datetime

import pytest

import seesay
from seesay.images.metadata import PhotoFacts
from seesay.styles.template import Template, fields_of, listed

FACTS = PhotoFacts(datetime(2024, 5, 7), "Rome, Italy", ("Anna", "Ben"), ("wedding", "rain"), "At last")


def test_parts_without_their_facts_are_left_out() -> None:
    template = Template("{caption}[, in {place}][, {date}][. With {people}]")
    assert template.needs_facts
    assert template.filled({"caption": "a couple", **fields_of(FACTS)}) == (
        "a couple, in Rome, Italy, 7 May 2024. With Anna and Ben"
    )
    assert template.filled({"caption": "a couple", **fields_of(PhotoFacts())}) == "a couple"
    assert template.filled({"caption": "a couple", "place": "Rome"}) == "a couple, in Rome"


def test_a_value_is_never_read_as_a_template() -> None:
    filled = Template("{caption}[ ({context})]").filled({"caption": "{place} [x", "context": "{caption}]"})
    assert filled == "{place} [x ({caption}])"


def test_only_facts_need_the_file() -> None:
    assert not Template("{context}: {caption} {text}").needs_facts


@pytest.mark.parametrize("text", ["{caption", "no field", "{colour}", "{caption}[, [{place}]]", "{caption}]"])
def test_what_is_no_template(text: str) -> None:
    with pytest.raises(seesay.UsageError) as told:
        Template(text)
    assert told.value.remedy


def test_names_in_a_row() -> None:
    assert [listed(names) for names in ((), ("A",), ("A", "B"), ("A", "B", "C"))] == ["", "A", "A and B", "A, B and C"]
