"""Models behind APIs as data: what is known of a name, and what a user's file says over it."""

from __future__ import annotations

import json
from datetime import date

import pytest

from seesay.backends.catalogue import Price, _shipped, profile, profiles, user_file
from seesay.backends.pictures import Patches, Tiles
from seesay.backends.wire import Usage
from seesay.errors import UsageError
from seesay.models import Service


def service(name: str) -> Service:
    found = Service.named(name)
    assert found
    return found


def test_a_dated_name_is_known_as_the_name_before_the_date() -> None:
    for name in ("openai:gpt-4o-mini-2024-07-18", "openai-responses:gpt-4o-mini"):
        found = profile(service(name))
        assert found.name == name
        assert found.price == Price(0.15, 0.60)
        assert found.image == Tiles(2833, 5667)
    assert profile(service("anthropic:claude-haiku-4-5-20251001")).price == Price(1.0, 5.0)
    assert profile(service("openai:gpt-4o-mini-audio")).price is None  # another model


def test_of_unknown_models_the_protocol_is_known() -> None:
    found = profile(service("anthropic:claude-next"))
    assert (found.price, found.options, found.logprobs) == (None, frozenset(), False)
    assert isinstance(found.image, Patches)
    assert profile(service("ollama:anything")).price == Price(0, 0)


def test_a_providers_names_mean_nothing_on_other_servers() -> None:
    found = profile(service("openai:gpt-4o@http://localhost:8000/v1"))
    assert found.price is None
    assert "top_k" in found.options


def test_a_price_is_per_million() -> None:
    assert Price(2, 10).of(Usage(500_000, 100_000)) == 2.0


def test_a_users_file_is_laid_over() -> None:
    user_file().parent.mkdir(parents=True)
    here = "openai:qwen@http://localhost:8000/v1"
    user_file().write_text(json.dumps({here: {"input": 0, "output": 0}, "openai:gpt-4o": {"input": 9.0}}))
    assert profile(service(here)).price == Price(0, 0)
    changed = profile(service("openai:gpt-4o"))
    assert changed.price == Price(9.0, 10.0)
    assert changed.image == Tiles(85, 170)
    assert here in [one.name for one in profiles()]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "cannot be read"),
        ("[]", "is no table of models"),
        ('{"openai:gpt-4o": {"prize": 1}}', "has no prize"),
        ('{"openai:gpt-4o": {"image": {"kind": "x"}}}', "no way to count"),
    ],
)
def test_a_users_file_that_is_wrong_says_where(content: str, says: str) -> None:
    user_file().parent.mkdir(parents=True)
    user_file().write_text(content)
    with pytest.raises(UsageError, match=says):
        profile(service("openai:gpt-4o"))


def test_the_shipped_file_is_whole() -> None:
    read = date.fromisoformat(_shipped()["read"])
    assert read >= date(2026, 11, 1)
    for one in profiles():
        assert one.price
        assert 0 <= one.price.input <= one.price.output
        assert 1 <= one.image.tokens(one.image.fit((4000, 3000))) < 50_000
        assert one.options <= {"temperature", "top_p", "top_k", "seed"}
        if one.until:
            assert date.fromisoformat(one.until) > read
