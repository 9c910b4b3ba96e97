"""How a sentence is searched for: one frozen record, checked when made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from seesay.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOptions:
    """Search over token ids. Names and meanings follow transformers' `GenerationConfig`, whose results we match.

    Raises UsageError for values out of range and for options that contradict each other.
    """

    beams: int = 3
    """Beams kept; 1 is greedy."""
    nucleus: bool = False
    """Sample instead of searching (then `beams`, `length_penalty` and `early_stopping` are not used)."""
    top_p: float = 0.9
    """Sample among the likeliest tokens that together hold this much probability; 1 is no limit."""
    top_k: int = 0
    """Sample among the k likeliest only; 0 is no limit."""
    temperature: float = 1.0
    seed: int | None = None
    """Samples repeat for the same seed and picture, whatever stands beside it in a batch; None draws anew each time."""
    count: int = 1
    """Sentences per image: samples, or the best beams."""
    min_new_tokens: int = 0
    max_new_tokens: int = 20
    """Tokens after the prompt, the end token included."""
    length_penalty: float = 1.0
    """A beam's score is its summed log-probability over its length (end token included) to this power."""
    early_stopping: bool | Literal["never"] = False
    """When beams stop: True, as soon as `beams` sentences ended; False, when the best open beam scores no better than
    the worst of them at its present length; "never", when it could not even at the length that suits it best."""
    repetition_penalty: float = 1.0
    no_repeat_ngram: int = 0
    """No n-gram of this length appears twice, prompt included; 0 is no limit."""
    forbidden: tuple[tuple[int, ...], ...] = ()
    """Token sequences that never appear (bad words). The end token alone cannot be forbidden and is passed over."""

    def __post_init__(self) -> None:
        _whole("beams", self.beams, 1)
        _whole("count", self.count, 1)
        _whole("top_k", self.top_k, 0)
        _whole("min_new_tokens", self.min_new_tokens, 0)
        _whole("max_new_tokens", self.max_new_tokens, 1)
        _whole("no_repeat_ngram", self.no_repeat_ngram, 0)
        if self.seed is not None:
            _whole("seed", self.seed, 0)
        # the outer bounds keep powers, products and quotients within floating point
        _number("top_p", self.top_p, 1e-6, 1.0)
        _number("temperature", self.temperature, 1e-3, 1e3)
        _number("repetition_penalty", self.repetition_penalty, 1e-3, 1e3)
        _number("length_penalty", self.length_penalty, -100.0, 100.0)
        if not isinstance(self.early_stopping, bool) and self.early_stopping != "never":
            raise UsageError(f"early_stopping is {self.early_stopping!r}", 'Give True, False or "never".')
        for sequence in self.forbidden:
            if not sequence or not isinstance(sequence, tuple) or not all(_is_whole(i) and i >= 0 for i in sequence):
                raise UsageError(f"forbidden holds {sequence!r}", "Give non-empty tuples of token ids.")
        self._refuse_contradictions()

    def _refuse_contradictions(self) -> None:
        if self.min_new_tokens > self.max_new_tokens:
            raise UsageError(
                f"min_new_tokens is {self.min_new_tokens}, more than max_new_tokens, {self.max_new_tokens}",
                "Lower the first or raise the second.",
            )
        if self.nucleus:
            return
        if self.count > self.beams:
            raise UsageError(
                f"{self.count} sentences were asked of {self.beams} beams",
                f"Search with beams={self.count} or more, or sample with nucleus=True.",
            )
        for name, value, idle in (
            ("top_p", self.top_p, 0.9),
            ("top_k", self.top_k, 0),
            ("temperature", self.temperature, 1.0),
        ):
            if value != idle:
                raise UsageError(f"{name} has no meaning for beams", "Add nucleus=True to sample, or leave it out.")


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _whole(name: str, value: int, least: int) -> None:
    if not _is_whole(value) or value < least:
        raise UsageError(f"{name} is {value!r}", f"Give a whole number, {least} or more.")


def _number(name: str, value: float, least: float, most: float) -> None:
    if not (_is_whole(value) or isinstance(value, float)) or not least <= value <= most:
        raise UsageError(f"{name} is {value!r}", f"Give a number from {least:g} to {most:g}.")
