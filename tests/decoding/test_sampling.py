"""Sampling: what is drawn, how often, and that it repeats. The distribution itself: test_parity.py."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from table_model import EOS, PROMPT, TableModel

from seesay.decoding import SearchOptions, search
from seesay.errors import UsageError

samplings = st.builds(
    SearchOptions,
    nucleus=st.just(True),
    count=st.integers(1, 4),
    seed=st.integers(0, 1000),
    top_p=st.sampled_from([1.0, 0.9, 0.4]),
    top_k=st.sampled_from([0, 3]),
    temperature=st.sampled_from([0.7, 1.0, 1.5]),
    max_new_tokens=st.integers(1, 9),
    min_new_tokens=st.sampled_from([0, 1]),
    no_repeat_ngram=st.sampled_from([0, 2]),
    repetition_penalty=st.sampled_from([1.0, 1.4]),
    forbidden=st.sampled_from([(), ((2,), (3, 4))]),
)


@settings(deadline=None, max_examples=60)
@given(samplings, st.lists(st.integers(0, 30), min_size=2, max_size=4))
def test_an_image_has_the_same_samples_alone_and_among_others(options: SearchOptions, pictures: list[int]) -> None:
    model = TableModel(vocabulary=6)
    for picture, found in zip(pictures, model.search(pictures, options), strict=True):
        assert found == model.search([picture], options)[0]


@settings(deadline=None, max_examples=60)
@given(samplings, st.integers(0, 30))
def test_what_a_sample_says_of_itself_is_true(options: SearchOptions, picture: int) -> None:
    model = TableModel(vocabulary=6)
    [found] = model.search([picture], options)
    assert len(found) == options.count
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    for one in found:
        spoken = (*one.tokens, EOS) if one.ended else one.tokens
        assert list(one.token_scores) == pytest.approx(model.log_probabilities(picture, spoken), abs=1e-5)
        assert one.score == one.mean
        assert options.min_new_tokens <= len(one.token_scores) <= options.max_new_tokens


def test_samples_follow_the_model() -> None:
    model, count = TableModel(vocabulary=6), 4000
    options = SearchOptions(nucleus=True, count=count, top_p=1.0, max_new_tokens=2, seed=1)
    [found] = model.search([0], options)
    seen = Counter((*one.tokens, EOS) if one.ended else one.tokens for one in found)
    for sentence in model.sentences(2):
        share = float(np.exp(sum(model.log_probabilities(0, sentence))))
        assert abs(seen[sentence] / count - share) < 4.5 * np.sqrt(share * (1 - share) / count) + 1e-9


def test_more_samples_leave_the_first_ones_as_they_were() -> None:
    model = TableModel(vocabulary=30)
    few = SearchOptions(nucleus=True, count=2, seed=5)
    [found] = model.search([0], few)
    [more] = model.search([0], replace(few, count=6))
    assert set(found) < set(more)
    assert len(set(more)) == 6
    [other] = model.search([0], replace(few, seed=6))
    assert set(found).isdisjoint(other)


def test_without_a_seed_samples_are_new_and_images_independent() -> None:
    model = TableModel(vocabulary=30)
    options = SearchOptions(nucleus=True, count=3, top_p=1.0, min_new_tokens=10)  # too long to come twice by chance
    twins = model.search([0, 0], options)
    again = model.search([0], options)
    assert len({one.tokens for image in (*twins, *again) for one in image}) == 9


def test_one_choice_is_greedy() -> None:
    model = TableModel(vocabulary=6)
    for picture in range(10):
        [[greedy]] = model.search([picture], SearchOptions(beams=1))
        for narrow in ({"top_k": 1, "top_p": 1.0}, {"top_p": 1e-6}):
            [found] = model.search([picture], SearchOptions(nucleus=True, temperature=1.7, count=2, **narrow))
            assert {one.tokens for one in found} == {greedy.tokens}


def test_images_whose_samples_all_ended_leave_the_batch() -> None:
    model = TableModel(vocabulary=4)
    options = SearchOptions(nucleus=True, count=2, seed=0, max_new_tokens=40)
    calls = {}
    for picture in range(12):
        session = model.session([picture], PROMPT, 2)
        search(session, PROMPT, options, EOS)
        calls[picture] = session.calls
    quick, slow = min(calls, key=calls.__getitem__), max(calls, key=calls.__getitem__)
    assert calls[quick] < calls[slow]
    batch = model.session([quick, slow], PROMPT, 2)
    search(batch, PROMPT, options, EOS)
    assert batch.calls == calls[slow]
    assert len(batch.tables) == 1


def test_no_token_left() -> None:
    model = TableModel(vocabulary=4)
    with pytest.raises(UsageError, match="no token to begin with"):
        model.search([0], SearchOptions(nucleus=True, min_new_tokens=2, forbidden=((1,), (2,), (3,))))
    [[found]] = model.search([0], SearchOptions(nucleus=True, min_new_tokens=9, no_repeat_ngram=1))
    assert sorted(found.tokens) == [2, 3]  # the prompt says 1
    assert not found.ended
