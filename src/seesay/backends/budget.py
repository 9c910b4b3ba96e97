"""What a run costs: an estimate before it, a meter while it lasts, and a limit that neither may pass."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from threading import Lock

from seesay.backends.catalogue import Profile, user_file
from seesay.backends.pictures import Size
from seesay.backends.wire import Usage
from seesay.errors import CostLimit, ImageRefused, UsageError

REPLY, THOUGHT = 40, 200
"""Tokens that an answer of a sentence and the least thinking are assumed to take, in an estimate."""
LETTERS = 4
"""Letters of an instruction that are assumed to make a token."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What pictures would cost. Pictures' tokens follow the provider's rule; replies are assumed to be a sentence, or
    as long as their prompt lets them be."""

    pictures: int
    usage: Usage
    dollars: float | None
    """None where no price is known."""
    read: str
    """The day the price was read."""

    def __str__(self) -> str:
        tokens = f"{self.usage.input + self.usage.output:,} tokens"
        if self.dollars is None:
            return f"{self.pictures} pictures, about {tokens}; no price is known"
        return f"{self.pictures} pictures, about {dollars(self.dollars)} ({tokens}, prices of {self.read})"


def expected(profile: Profile, size: Size | None, text: str, reply: int = REPLY) -> Usage:
    """Tokens of one request about a picture of this size; None is a picture as large as is looked at."""
    fitted = profile.image.fit(size or (profile.image.edge, profile.image.edge))
    read = profile.image.tokens(fitted) + -(-len(text) // LETTERS)
    return Usage(read, reply + (THOUGHT if profile.thinks else 0))


def estimate(profile: Profile, sizes: Iterable[Size | None], text: str, each: int = 1, reply: int = REPLY) -> Estimate:
    """What `each` requests about each picture would cost."""
    found = [expected(profile, size, text, reply) for size in sizes]
    usage = Usage(each * sum(one.input for one in found), each * sum(one.output for one in found))
    return Estimate(len(found), usage, profile.price.of(usage) if profile.price else None, profile.read)


def dollars(amount: float) -> str:
    """ "$1.25", "$0.0031", "$0"."""
    return f"${amount:.2f}" if amount >= 1 else f"${amount:.2g}" if amount else "$0"


class Meter:
    """Counts what was used, and holds requests back that would lead beyond the limit. Safe to use from threads."""

    def __init__(self, profile: Profile, limit: float | None) -> None:
        """limit: dollars. Raises UsageError where it cannot be kept, for want of a price."""
        if limit is not None and profile.price is None:
            raise UsageError(
                f"No price is known for {profile.name}, so no limit of costs can be kept",
                f'Say it in {user_file()}: {{"{profile.name}": {{"input": 1.0, "output": 4.0}}}} '
                "(dollars per million tokens), or leave the limit out.",
            )
        if limit is not None and not limit >= 0:
            raise UsageError(f"A limit of {limit} dollars makes no sense", "Give a number from 0.")
        self._profile = profile
        self._lock = Lock()
        self._open = 0.0
        self._held_back = False
        self.limit = limit
        self.requests = 0
        self.used = Usage()

    @property
    def dollars(self) -> float | None:
        """What was used so far, at the price that is known."""
        return self._profile.price.of(self.used) if self._profile.price else None

    @property
    def reached(self) -> bool:
        """Whether something was held back, or what was used is the limit."""
        return self._held_back or (self.limit is not None and (self.dollars or 0.0) >= self.limit > 0)

    def check(self, planned: Estimate) -> None:
        """Raises CostLimit where the estimate alone passes the limit."""
        if self.limit is not None and planned.dollars is not None and planned.dollars > self.limit:
            raise CostLimit(
                f"{planned}: more than {dollars(self.limit)}",
                "Raise the limit, take fewer pictures or a cheaper model.",
            )

    def refuse_if_reached(self) -> None:
        """Raises CostLimit once what was used has reached the limit."""
        if self.reached:
            raise CostLimit(
                f"{self._profile.name} has used {dollars(self.dollars or 0.0)} of {dollars(self.limit or 0.0)}",
                "What is done is kept: raise the limit, and go on with --skip-existing.",
            )

    def reserve(self, planned: Usage) -> float:
        """Sets the expected cost of a request aside, and returns it. Raises ImageRefused where too little is left."""
        price = self._profile.price
        cost = price.of(planned) if price else 0.0
        with self._lock:
            if self.limit is not None and (self.dollars or 0.0) + self._open + cost > self.limit:
                self._held_back = True
                raise ImageRefused(
                    f"not sent: it would pass the limit of {dollars(self.limit)}", "raise the limit of costs"
                )
            self._open += cost
        return cost

    def settle(self, reserved: float, used: Usage) -> None:
        """What a request used in the end; nothing where it failed."""
        with self._lock:
            self._open -= reserved
            self.requests += 1
            self.used = Usage(self.used.input + used.input, self.used.output + used.output)

    def __str__(self) -> str:
        spent = "" if self.dollars is None else f", about {dollars(self.dollars)} (prices of {self._profile.read})"
        return f"{self.used.input:,} tokens read, {self.used.output:,} written{spent}"
