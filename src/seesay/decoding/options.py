"""How a sentence is searched for: one frozen record, checked when made."""

from __future__ import annotations

from dataclasses import dataclass

from seesay.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOptions:
    """Search over token ids. Names and meanings follow transformers' `GenerationConfig`, whose results we match.

    Raises UsageError for values out of range and for options that contradict each other.
    """

    beams: int = 3
    """Beams kept; 1 is greedy."""
    nucleus: bool = False
    """Sample instead of searching (then `beams` is not used)."""
    top_p: float = 0.9
    top_k: int = 0
    """Sample among the k likeliest only; 0 is no limit."""
    temperature: float = 1.0
    seed: int | None = None
    count: int = 1
    """Sentences per image: samples, or the best beams."""
    min_new_tokens: int = 0
    max_new_tokens: int = 20
    length_penalty: float = 1.0
    early_stopping: bool = False
    repetition_penalty: float = 1.0
    no_repeat_ngram: int = 0
    forbidden: tuple[tuple[int, ...], ...] = ()
    """Token sequences that never appear (bad words)."""

    def __post_init__(self) -> None:
        raise NotImplementedError
