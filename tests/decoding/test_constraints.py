"""Constrained search against enumeration, and its automaton against a plain reading of its definition."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from table_model import EOS, PROMPT, TableModel

from seesay.decoding import Constraint, SearchOptions, rows_per_image
from seesay.decoding.constraints import Machine
from seesay.decoding.constraints import meets as said
from seesay.decoding.hypothesis import Floats, Hypothesis
from seesay.errors import UsageError

CONTINUES = frozenset({4})  # token 4 belongs to the word before


def names(sentence: Sequence[int], word: Sequence[int]) -> bool:
    """The definition: the word stands somewhere in the sentence, and no continuation follows it."""
    return any(
        list(sentence[start : start + len(word)]) == list(word)
        and (start + len(word) == len(sentence) or sentence[start + len(word)] not in CONTINUES)
        for start in range(len(sentence))
    )


def meets(sentence: Sequence[int], constraint: Constraint) -> bool:
    return all(any(names((*PROMPT, *sentence), word) for word in group) for group in constraint)


words = st.lists(st.integers(1, 4), min_size=1, max_size=3)
groups = st.lists(st.lists(words, min_size=1, max_size=3), min_size=1, max_size=3)


@given(groups, st.lists(st.integers(1, 4), max_size=12))
def test_the_machine_names_what_the_definition_names(constraint: Constraint, sentence: list[int]) -> None:
    machine, state = Machine(constraint, CONTINUES), (0, 0)
    for token in sentence:
        state = machine.read(state, token)
    expected = sum(1 << g for g, group in enumerate(constraint) if any(names(sentence, word) for word in group))
    assert machine.named(state) == expected
    assert 0 <= machine.kind(state) < machine.kinds
    assert (machine.kind(state) == machine.goal) == (expected == machine.everything)


@settings(deadline=None, max_examples=30)
@given(groups, st.integers(0, 30), st.sampled_from([0.0, 1.0, 2.0]))
def test_wide_beams_find_the_best_sentence_that_meets_the_constraint(
    constraint: Constraint, picture: int, penalty: float
) -> None:
    model = TableModel(vocabulary=5)
    options = SearchOptions(
        beams=150, max_new_tokens=4, length_penalty=penalty, early_stopping="never", forbidden=((2, 2),)
    )
    scored = [
        (sum(model.log_probabilities(picture, sentence)) / len(sentence) ** penalty, sentence)
        for sentence in model.sentences(4)
        if (2, 2) not in pairwise(sentence)
    ]
    able = [pair for pair in scored if meets(pair[1], constraint)]
    [[found]] = model.search([picture], options, constraints=[constraint], continuations=CONTINUES)
    assert found.satisfied == bool(able)
    score, best = max(able or scored)
    assert found.score == pytest.approx(score, abs=1e-5)
    assert spoken(found) == best


def spoken(hypothesis: Hypothesis) -> tuple[int, ...]:
    return (*hypothesis.tokens, EOS) if hypothesis.ended else hypothesis.tokens


class Reluctant(TableModel):
    """Says 2, 3 and ends. Nothing leads to 5, though 6 follows it, and the end is near from there."""

    def table(self, picture: int) -> Floats:
        table = super().table(picture) * 0.1
        for last, following in ((1, 2), (2, 3), (3, EOS), (5, 6), (6, 3)):
            table[:, last, following] += 7.0
        return table


@pytest.mark.parametrize("beams", [1, 2, 3])
def test_narrow_beams_name_a_rare_word_of_two_pieces(beams: int) -> None:
    model = Reluctant(vocabulary=60)
    options = SearchOptions(beams=beams, max_new_tokens=10)
    [[free]] = model.search([0], options)
    assert free.tokens == (2, 3)
    [[found]] = model.search([0], options, constraints=[[[(5, 6)]]], continuations=frozenset({6}))
    assert found.satisfied
    assert found.ended
    assert (5, 6) in pairwise(found.tokens)


class Unspelled(Reluctant):
    """Does not lead from 5 to 6 either: to say 5 anew is likelier at every step than to go on with the word."""

    def table(self, picture: int) -> Floats:
        table = super().table(picture)
        table[:, 5, 6] -= 14.0
        return table


@pytest.mark.parametrize("beams", [1, 2, 3])
def test_a_word_that_is_under_way_does_not_compete_with_its_beginning(beams: int) -> None:
    model = Unspelled(vocabulary=60)
    options = SearchOptions(beams=beams, max_new_tokens=10)
    [[found]] = model.search([0], options, constraints=[[[(5, 6, 7, 8)]]], continuations=frozenset({6, 7, 8}))
    assert found.satisfied
    assert names(found.tokens, (5, 6, 7, 8))


def test_a_word_that_is_under_way_does_not_compete_with_a_longer_one() -> None:
    machine = Machine([[(1, 2, 3, 4), (2, 3, 5)]], CONTINUES)
    after = [machine.kind(state) for state in reading(machine, (1, 2, 3))]
    assert len({machine.kind((0, 0)), *after}) == 4
    assert [machine.kind(state) for state in reading(machine, (2, 3))] == after[:2]


def reading(machine: Machine, tokens: Sequence[int]) -> list[tuple[int, int]]:
    """The states after each of the tokens."""
    states = [(0, 0)]
    for token in tokens:
        states.append(machine.read(states[-1], token))
    return states[1:]


def test_a_word_that_goes_on_is_another_word() -> None:
    model = TableModel(vocabulary=5)
    options = SearchOptions(beams=3, max_new_tokens=6)
    longer = 0
    for picture in range(40):
        [[found]] = model.search([picture], options, constraints=[[[(3,)]]], continuations=CONTINUES)
        assert found.satisfied
        assert names(found.tokens, (3,))
        [[careless]] = model.search([picture], options, constraints=[[[(3,)]]])
        assert 3 in careless.tokens
        longer += not names(careless.tokens, (3,))
    assert longer  # without the set, some sentences do go on


def test_what_the_prompt_names_is_named() -> None:
    model = TableModel(vocabulary=5)
    options = SearchOptions(beams=2, max_new_tokens=5)
    for picture in range(10):
        free = model.search([picture], options, prompt=(1, 3, 2))
        assert model.search([picture], options, prompt=(1, 3, 2), constraints=[[[(3,)]]]) == free


def test_what_cannot_be_named_is_said_to_be_missing() -> None:
    model = TableModel(vocabulary=5)
    options = SearchOptions(beams=3, count=3, max_new_tokens=6, forbidden=((3,),))
    [found] = model.search([0], options, constraints=[[[(3,)]]])
    assert len(found) == 3
    assert not any(one.satisfied for one in found)
    assert found == sorted(found, key=lambda one: -one.score)
    short = SearchOptions(beams=3, max_new_tokens=2)
    [[found]] = model.search([0], short, constraints=[[[(3, 2, 3)]]])
    assert not found.satisfied


@pytest.mark.parametrize(
    ("constraint", "kinds"),
    [
        ([], 1),
        ([[(1,)]], 2),
        ([[(1,), (2,)]], 2),
        ([[(1,), (2, 3)]], 3),
        ([[(1,)], [(2,)]], 4),
        ([[(1,)], [(2, 3)]], 6),
        ([[(1, 2)], [(2, 3)]], 7),
        ([[(1, 2)], [(2, 3)], [(3, 4)]], 15),
        ([[(1, 2, 3, 4)]], 5),
        ([[(1, 2, 3)], [(2,)]], 8),
        ([[(1, 2, 3)], [(2, 3, 4)], [(3, 4, 5)]], 22),
    ],
)
def test_rows_to_open_a_session_with(constraint: Constraint, kinds: int) -> None:
    options = SearchOptions(beams=3)
    assert rows_per_image(options, [constraint]) == 3 * kinds
    assert rows_per_image(options, [[], constraint, []]) == 3 * kinds
    assert rows_per_image(options) == rows_per_image(options, []) == 3
    assert rows_per_image(SearchOptions(nucleus=True, count=5)) == 5


@pytest.mark.parametrize(
    ("constraints", "message"),
    [
        ([], "0 constraints for 1 images"),
        ([[], []], "2 constraints for 1 images"),
        ([[[]]], "without alternatives"),
        ([[[()]]], "asks for the tokens"),
        ([[[(5,)]]], "asks for the tokens"),
        ([[[(-1,)]]], "asks for the tokens"),
        ([[[(1, EOS)]]], "asks for the tokens"),
        ([[[(1,)]] * 4], "4 groups"),
    ],
)
def test_constraints_that_make_no_sense(constraints: list[Constraint], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        TableModel(vocabulary=5).search([0], SearchOptions(), constraints=constraints)
    assert caught.value.remedy


def test_samples_are_not_constrained() -> None:
    with pytest.raises(UsageError, match="Samples"):
        TableModel(vocabulary=5).search([0], SearchOptions(nucleus=True), constraints=[[[(1,)]]])


def test_a_sentence_meets_what_its_whole_words_name() -> None:
    """3 4 is a word of two tokens, 9 continues a word: so 3 4 9 is another word."""
    constraint = (((3, 4), (5,)),)
    continuations = frozenset({4, 9})
    assert said([1, 3, 4], constraint, continuations)
    assert said([1, 5, 2], constraint, continuations)
    assert not said([1, 3, 4, 9, 2], constraint, continuations)
    assert not said([3, 2, 4], constraint, continuations)
    assert said([1], (), continuations)
