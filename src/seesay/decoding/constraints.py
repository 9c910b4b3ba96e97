"""Words that a caption must name: the finite-state machine of constrained beam search (arXiv 1612.00576).

A constraint is a tuple of groups; a group is a tuple of alternatives; an alternative is a word as its tokens. A caption
meets the constraint when it names, for every group, at least one of its alternatives as a whole word.

The machine reads tokens. It knows which groups were named before (`named`) and how far the last tokens have come into
an alternative (`node` of an Aho-Corasick trie). A word is complete only when the next token does not continue it: "cat"
followed by "##erpillar" names no cat, and "pen ##guin" followed by "##s" does only if "penguins" is an alternative too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from seesay.decoding.hypothesis import Floats
from seesay.errors import UsageError

Constraint = Sequence[Sequence[Sequence[int]]]
"""Groups of alternatives of tokens; empty where an image is free."""
State = tuple[int, int]
"""(named, node): bit set of the groups named by words that are over, and the trie node that the last tokens reach."""

MOST_GROUPS = 3  # beams are kept for every subset of groups, as often as words have tokens: 22 times for three of three


class Move(NamedTuple):
    token: int
    state: State
    kind: int


class Machine:
    """The automaton of one image's constraint, and the kinds of state that get beams of their own.

    A kind is (groups named, tokens that were read of a further word). Beams in the middle of a word must not compete
    with those that name nothing, nor with those that only begin it: the first token of a rare word is as unlikely as
    the word and would never survive, nor would the second, where the first can be said anew at every step.
    """

    def __init__(self, constraint: Constraint, continuations: frozenset[int] = frozenset()) -> None:
        self._continuations = continuations
        self._children: list[dict[int, int]] = [{}]
        self._fallback = [0]  # longest proper suffix that is also in the trie
        self._depth = [0]
        self._complete = [0]  # groups with an alternative that ends here, here or on a fallback
        self._ahead = [0]  # groups with an alternative that goes on from here
        self._telling: dict[State, list[Move]] = {}
        for group, alternatives in enumerate(constraint):
            for word in alternatives:
                self._insert(word, 1 << group)
        self._link()
        self.everything = (1 << len(constraint)) - 1
        longest = [max(map(len, alternatives), default=1) for alternatives in constraint]
        kinds = [
            (named, read)
            for named in range(self.everything + 1)
            for read in range(max((long for g, long in enumerate(longest) if not named >> g & 1), default=1))
        ]
        self._kinds = {kind: position for position, kind in enumerate(kinds)}

    def _insert(self, word: Sequence[int], group: int) -> None:
        node = 0
        for token in word:
            if node:
                self._ahead[node] |= group
            if token not in self._children[node]:
                self._children[node][token] = len(self._children)
                self._children.append({})
                self._fallback.append(0)
                self._depth.append(self._depth[node] + 1)
                self._complete.append(0)
                self._ahead.append(0)
            node = self._children[node][token]
        self._complete[node] |= group

    def _link(self) -> None:
        queue = list(self._children[0].values())
        for node in queue:  # breadth first: a fallback is shorter, so it was linked before
            for token, child in self._children[node].items():
                self._fallback[child] = self._go(self._fallback[node], token)
                queue.append(child)
            self._complete[node] |= self._complete[self._fallback[node]]

    def _go(self, node: int, token: int) -> int:
        while node and token not in self._children[node]:
            node = self._fallback[node]
        return self._children[node].get(token, 0)

    @property
    def kinds(self) -> int:
        """How many beams of beams this constraint needs."""
        return len(self._kinds)

    @property
    def goal(self) -> int:
        """The kind in which everything is named."""
        return self._kinds[self.everything, 0]

    def named(self, state: State) -> int:
        """Groups named, if the sentence ended here."""
        return state[0] | self._complete[state[1]]

    def open(self, state: State) -> bool:
        """Whether the last word counts only if the next token does not continue it."""
        return self.named(state) != state[0]

    def kind(self, state: State) -> int:
        named, node = self.named(state), state[1]
        while node and not self._ahead[node] & ~named:
            node = self._fallback[node]
        return self._kinds[named, self._depth[node]]

    def read(self, state: State, token: int) -> State:
        """The state after one more token."""
        return state[0] if token in self._continuations else self.named(state), self._go(state[1], token)

    def telling(self, state: State) -> list[Move]:
        """The tokens that lead into an alternative from here, and where; all others lead to the same state."""
        if state not in self._telling:
            tokens, node = set(self._children[0]), state[1]
            while node:
                tokens |= self._children[node].keys()
                node = self._fallback[node]
            after = {token: self.read(state, token) for token in sorted(tokens)}
            self._telling[state] = [Move(token, then, self.kind(then)) for token, then in after.items()]
        return self._telling[state]

    def uniform_rows(self, scores: Floats, states: Sequence[State]) -> tuple[Floats, list[int]]:
        """Rows in each of which every token left leads to the same state, and the beam that each row belongs to.

        scores: (beams, vocabulary). The k best of such a row are all that can matter: telling tokens are taken out
        (they are few, and looked at one by one), and where a word is open, its continuations get a row of their own.
        """
        waiting = [beam for beam, state in enumerate(states) if self.open(state)]
        owners = [*range(len(states)), *waiting]
        table = scores[owners]
        for row, beam in enumerate(owners):
            table[row, [move.token for move in self.telling(states[beam])]] = -np.inf
        if waiting:
            apart, together = _sides(self._continuations, scores.shape[1])
            table[len(states) :] += apart
            table[waiting] += together
        return table, owners


@lru_cache(maxsize=8)
def _sides(continuations: frozenset[int], vocabulary: int) -> tuple[Floats, Floats]:
    """(vocabulary,) twice: what takes out the tokens that begin a word, and those that belong to the word before.

    Cached, for a tokenizer gives the same set each time.
    """
    continues = np.zeros(vocabulary, dtype=np.bool_)
    continues[[token for token in continuations if token < vocabulary]] = True
    taken = np.float32(-np.inf)
    return np.where(continues, np.float32(0), taken), np.where(continues, taken, np.float32(0))


def meets(tokens: Sequence[int], constraint: Constraint, continuations: frozenset[int]) -> bool:
    """Whether a sentence that ends after `tokens`, its prompt among them, names what the constraint demands."""
    machine = Machine(constraint, continuations)
    state: State = (0, 0)
    for token in tokens:
        state = machine.read(state, token)
    return machine.named(state) == machine.everything


def check(constraints: Sequence[Constraint], images: int, eos: int, vocabulary: int) -> None:
    """Raise UsageError for constraints that no sentence can meet, or that need more beams than is sane."""
    if len(constraints) != images:
        raise UsageError(
            f"{len(constraints)} constraints for {images} images", "Give one for each image; () leaves an image free."
        )
    for constraint in constraints:
        if len(constraint) > MOST_GROUPS:
            raise UsageError(f"A constraint has {len(constraint)} groups", f"Ask for {MOST_GROUPS} at most.")
        for word in _words(constraint):
            if not word or not all(0 <= token < vocabulary and token != eos for token in word):
                raise UsageError(
                    f"A constraint asks for the tokens {tuple(word)}",
                    f"Give each alternative as one or more ids below {vocabulary}, without the end token.",
                )


def _words(constraint: Iterable[Sequence[Sequence[int]]]) -> Iterator[Sequence[int]]:
    for group in constraint:
        if not group:
            raise UsageError("A constraint has a group without alternatives", "Leave the group out, or name a word.")
        yield from group
