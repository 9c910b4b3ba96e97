"""What the models behind APIs can do and cost: data, read from `catalogue.json`, over which a user's own may be laid.

Prices are estimates: dollars per million tokens as lists of November 2026 gave them, without discounts, taxes, caching
or surcharges for long requests; "from" prices are the lowest. `read` is the day they were read. For OpenAI's models of
2026 above "mini" the guide names no factor for patches, and 1 is assumed. `until` is an announced end.

A user's file, `api-models.json` beside `config.toml`, has the form of `models` here, and its fields win:

    {"openai:my-model@http://localhost:8000/v1": {"input": 0, "output": 0}}
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from seesay.backends.pictures import Rule, rule
from seesay.backends.wire import Usage
from seesay.errors import UsageError
from seesay.models import Service
from seesay.settings import config_file


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars per million tokens."""

    input: float
    output: float

    def of(self, usage: Usage) -> float:
        """Dollars."""
        return (usage.input * self.input + usage.output * self.output) / 1e6


@dataclass(frozen=True, slots=True)
class Profile:
    """One model behind an API, as far as it is known."""

    name: str
    image: Rule
    price: Price | None
    """None where nobody said."""
    options: frozenset[str]
    """Those of temperature, top_p, top_k and seed that it listens to."""
    logprobs: bool
    """Whether it tells the probabilities of its tokens."""
    thinks: bool
    """Whether it may think before it answers, which costs tokens."""
    effort: str | None
    """The least thinking that it is asked for, where that can be asked."""
    summary: str
    until: str | None
    """The day from which it answers no more, where that is announced."""
    read: str
    """The day its price was read."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """Fields that data may state of a model."""

    image: Mapping[str, object]
    options: list[str]
    input: float | None = None
    output: float | None = None
    logprobs: bool = False
    thinks: bool = True
    effort: str | None = None
    summary: str = ""
    until: str | None = None


def user_file() -> Path:
    return config_file().with_name("api-models.json")


def profile(service: Service) -> Profile:
    """What is known of a model: of its own name, or of the name before a date, or of any model of its protocol.

    Raises UsageError where the user's file cannot be read.
    """
    shipped, own = _shipped(), _users()
    base: Mapping[str, object] = shipped["elsewhere" if service.url else "protocols"]
    if not service.url or service.protocol == "ollama":
        base = shipped["protocols"][service.protocol]
    stated = dict(base)
    for entries in (shipped["models"], own):
        stated |= entries.get(_known_as(service, entries), {})
    return _profile(service.name, stated)


def profiles() -> list[Profile]:
    """Those with names of their own, by protocol; then Ollama's, whose names only Ollama knows."""
    names = dict.fromkeys([*_shipped()["models"], *_users()])
    return [profile(found) for name in [*names, "ollama:MODEL"] if (found := Service.named(name))]


def _known_as(service: Service, entries: Mapping[str, object]) -> str:
    """The entry that speaks of this model; OpenAI's two protocols share theirs."""
    for protocol in dict.fromkeys((service.protocol, service.protocol.removesuffix("-responses"))):
        for model in (service.model, re.sub(r"-(\d{8}|\d{4}-\d{2}-\d{2})$", "", service.model)):
            name = f"{protocol}:{model}" + (f"@{service.url}" if service.url else "")
            if name in entries:
                return name
    return ""


def _profile(name: str, stated: Mapping[str, Any]) -> Profile:
    unknown = stated.keys() - {one.name for one in fields(_Entry)}
    if unknown:
        raise UsageError(f"{user_file()}: {name} has no {', '.join(sorted(unknown))}", "Leave it out.")
    entry = _Entry(**stated)
    price = None if entry.input is None or entry.output is None else Price(float(entry.input), float(entry.output))
    return Profile(
        name=name,
        image=rule(entry.image),
        price=price,
        options=frozenset(entry.options),
        logprobs=entry.logprobs,
        thinks=entry.thinks,
        effort=entry.effort,
        summary=entry.summary,
        until=entry.until,
        read=_shipped()["read"],
    )


@cache
def _shipped() -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(Path(__file__).with_name("catalogue.json").read_text(encoding="utf-8"))
    return found


def _users() -> Mapping[str, Mapping[str, object]]:
    path = user_file()
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}", "Correct the file, or remove it.") from error
    if not isinstance(found, dict) or not all(isinstance(entry, dict) for entry in found.values()):
        raise UsageError(f"{path} is no table of models", 'Write {"openai:NAME": {"input": 1.0, "output": 4.0}}.')
    return found
