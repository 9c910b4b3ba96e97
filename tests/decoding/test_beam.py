"""Beam search against enumeration, and against itself in other batches. Parity with transformers: test_parity.py."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from table_model import EOS, PROMPT, TableModel

from seesay.decoding import SearchOptions, search
from seesay.decoding.hypothesis import Hypothesis
from seesay.errors import ModelError, UsageError

LENGTH = 4


def spoken(hypothesis: Hypothesis) -> tuple[int, ...]:
    return (*hypothesis.tokens, EOS) if hypothesis.ended else hypothesis.tokens


def ranking(model: TableModel, picture: int, penalty: float) -> list[tuple[float, tuple[int, ...]]]:
    """Every sentence and its score, best first, by enumeration."""
    scored = [
        (sum(model.log_probabilities(picture, sentence)) / len(sentence) ** penalty, sentence)
        for sentence in model.sentences(LENGTH)
    ]
    return sorted(scored, reverse=True)


@pytest.mark.parametrize("penalty", [-1.0, 0.0, 1.0, 2.0])
@pytest.mark.parametrize("picture", range(3))
def test_wide_beams_find_the_best_sentences_there_are(penalty: float, picture: int) -> None:
    model = TableModel(vocabulary=4)
    width = 4**LENGTH
    options = SearchOptions(
        beams=width, count=10, max_new_tokens=LENGTH, length_penalty=penalty, early_stopping="never"
    )
    [found] = model.search([picture], options)
    best = ranking(model, picture, penalty)[:10]
    assert [spoken(hypothesis) for hypothesis in found] == [sentence for _, sentence in best]
    assert [hypothesis.score for hypothesis in found] == pytest.approx([score for score, _ in best], abs=1e-5)


def test_wide_beams_know_all_sentences() -> None:
    model = TableModel(vocabulary=3)
    options = SearchOptions(beams=100, count=100, max_new_tokens=LENGTH, early_stopping="never")
    [found] = model.search([0], options)
    assert {spoken(hypothesis) for hypothesis in found} == set(model.sentences(LENGTH))
    assert all(hypothesis.satisfied for hypothesis in found)


@given(st.integers(0, 50), st.integers(1, 8))
def test_greedy_takes_the_likeliest_token_each_time(picture: int, most: int) -> None:
    model = TableModel(vocabulary=5)
    table = model.table(picture)
    before, last, expected = 0, PROMPT[-1], []
    for _ in range(most):
        token = int(table[before, last].argmax())
        before, last = last, token
        if token == EOS:
            break
        expected.append(token)
    [[found]] = model.search([picture], SearchOptions(beams=1, max_new_tokens=most))
    assert list(found.tokens) == expected
    assert found.ended == (last == EOS)


searches = st.builds(
    lambda beams, count, **other: SearchOptions(beams=beams, count=min(beams, count), max_new_tokens=9, **other),
    beams=st.integers(1, 4),
    count=st.integers(1, 4),
    min_new_tokens=st.integers(0, 5),
    length_penalty=st.sampled_from([-1.0, 0.0, 1.0, 2.0]),
    early_stopping=st.sampled_from([True, False, "never"]),
    repetition_penalty=st.sampled_from([1.0, 1.5]),
    no_repeat_ngram=st.sampled_from([0, 2, 3]),
    forbidden=st.sampled_from([(), ((2,),), ((2, 3), (4,))]),
)
words = st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=3), min_size=1, max_size=3)
wishes = st.lists(words, max_size=2)


@settings(deadline=None, max_examples=40)
@given(searches, st.lists(st.tuples(st.integers(0, 30), wishes), min_size=2, max_size=4), st.booleans())
def test_an_image_is_searched_alike_alone_and_among_others(
    options: SearchOptions, images: list[tuple[int, list[list[list[int]]]]], constrained: bool
) -> None:
    model = TableModel(vocabulary=6)
    asked = {"continuations": frozenset({5})}
    constraints = [wish if constrained else [] for _, wish in images]
    together = model.search([picture for picture, _ in images], options, constraints=constraints, **asked)
    for (picture, _), wish, found in zip(images, constraints, together, strict=True):
        assert found == model.search([picture], options, constraints=[wish], **asked)[0]
        if not wish:
            assert found == model.search([picture], options)[0]


@settings(deadline=None, max_examples=40)
@given(searches, st.integers(0, 100))
def test_what_a_hypothesis_says_of_itself_is_true(options: SearchOptions, picture: int) -> None:
    model = TableModel(vocabulary=6)
    [found] = model.search([picture], options)
    assert 1 <= len(found) <= options.count
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert len({spoken(one) for one in found}) == len(found)
    for one in found:
        assert list(one.token_scores) == pytest.approx(model.log_probabilities(picture, spoken(one)), abs=1e-5)
        assert one.mean == pytest.approx(np.mean(one.token_scores))
        assert EOS not in one.tokens
        assert one.satisfied
        if options.repetition_penalty == 1.0:
            raw = sum(one.token_scores) / len(one.token_scores) ** options.length_penalty
            assert one.score == pytest.approx(raw, abs=1e-5)


def test_sentences_that_end_early_leave_the_batch() -> None:
    model = TableModel(vocabulary=5)
    options = SearchOptions(beams=2, max_new_tokens=30)
    lengths = {}
    for picture in range(12):
        session = model.session([picture], PROMPT, 2)
        search(session, PROMPT, options, EOS)
        lengths[picture] = session.calls
    quick, slow = min(lengths, key=lengths.__getitem__), max(lengths, key=lengths.__getitem__)
    assert lengths[quick] < lengths[slow]
    batch = model.session([quick, slow], PROMPT, 2)
    search(batch, PROMPT, options, EOS)
    assert batch.calls == lengths[slow]
    assert len(batch.tables) == 1


def test_no_token_left() -> None:
    model = TableModel(vocabulary=4)
    mute = SearchOptions(beams=2, min_new_tokens=2, forbidden=((1,), (2,), (3,)))
    with pytest.raises(UsageError, match="no token to begin with"):
        model.search([0], mute)
    once = SearchOptions(beams=2, min_new_tokens=9, no_repeat_ngram=1)  # the prompt says 1, so 2 and 3 are left
    [[found]] = model.search([0], once)
    assert sorted(found.tokens) == [2, 3]
    assert not found.ended


def test_nonsense_is_refused() -> None:
    model = TableModel(vocabulary=4)
    with pytest.raises(UsageError, match="forbidden holds token 4"):
        model.search([0], SearchOptions(forbidden=((4,),)))
    with pytest.raises(UsageError, match="end token"):
        search(model.session([0], PROMPT, 3), PROMPT, SearchOptions(), 4)


def test_a_broken_model_is_named() -> None:
    class Broken(TableModel):
        def table(self, picture: int) -> np.ndarray:
            return np.full_like(super().table(picture), np.nan)

    with pytest.raises(ModelError):
        Broken(vocabulary=4).search([0], SearchOptions())
