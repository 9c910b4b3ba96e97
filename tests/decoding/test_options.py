from dataclasses import replace

import pytest

from seesay.decoding import SearchOptions
from seesay.errors import UsageError


@pytest.mark.parametrize(
    "bad",
    [
        {"beams": 0},
        {"beams": 2.0},
        {"beams": True},
        {"count": 0},
        {"top_k": -1},
        {"min_new_tokens": -1},
        {"max_new_tokens": 0},
        {"no_repeat_ngram": -1},
        {"seed": -1},
        {"seed": 0.5},
        {"top_p": 0.0},
        {"top_p": 1.01},
        {"top_p": "most"},
        {"temperature": 0.0},
        {"temperature": 1e-40},
        {"temperature": float("inf")},
        {"temperature": float("nan")},
        {"repetition_penalty": 0.0},
        {"repetition_penalty": -1.0},
        {"length_penalty": float("nan")},
        {"length_penalty": float("inf")},
        {"length_penalty": "long"},
        {"length_penalty": 1e6},
        {"repetition_penalty": 1e40},
        {"early_stopping": "sometimes"},
        {"early_stopping": None},
        {"early_stopping": 1},
        {"forbidden": ((),)},
        {"forbidden": ((1, -2),)},
        {"forbidden": (7,)},
        {"forbidden": ("word",)},
        {"min_new_tokens": 5, "max_new_tokens": 4},
    ],
)
@pytest.mark.parametrize("nucleus", [False, True])
def test_bad_values_are_refused_with_a_remedy(bad: dict[str, object], nucleus: bool) -> None:
    with pytest.raises(UsageError) as caught:
        SearchOptions(nucleus=nucleus, **bad)  # type: ignore[arg-type]
    assert caught.value.remedy


@pytest.mark.parametrize("idle", [{"top_p": 0.5}, {"top_k": 5}, {"temperature": 0.7}, {"count": 4}])
def test_what_only_sampling_understands_is_refused_for_beams(idle: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=r"beams") as caught:
        SearchOptions(beams=3, **idle)  # type: ignore[arg-type]
    assert "nucleus=True" in caught.value.remedy
    assert SearchOptions(nucleus=True, **idle)  # type: ignore[arg-type]


def test_changed_options_are_checked_again() -> None:
    options = SearchOptions(beams=5, count=5)
    with pytest.raises(UsageError):
        replace(options, beams=2)
