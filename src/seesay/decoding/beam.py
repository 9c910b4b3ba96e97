"""Beam search as transformers 5 defines it, greedy search as its case of one beam, and both under a constraint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from operator import itemgetter

import numpy as np

from seesay.decoding.constraints import Machine, State
from seesay.decoding.hypothesis import Floats, Hypothesis, Session
from seesay.decoding.logits import log_normalizer, top
from seesay.decoding.options import SearchOptions
from seesay.decoding.rules import Rules
from seesay.errors import UsageError


@dataclass(frozen=True, slots=True)
class Beam:
    """An open sentence. Its row in the session is its place among the open beams of its image."""

    tokens: tuple[int, ...]
    token_scores: tuple[float, ...]
    total: float
    """Sum of log-probabilities after the rules: what beams are ranked by."""
    source: int
    """The row that its last token was added to."""
    state: State


Candidate = tuple[float, int, int, State]
"""One more token for an open beam: the total then, the beam's row, the token, and the constraint's state then."""


@dataclass(slots=True)
class Pool:
    """The beams of one kind of constraint state, best first; without a constraint there is one pool."""

    open: list[Beam] = field(default_factory=list)
    closed: list[Hypothesis] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Scores:
    """What the model says of the next token of one image's rows."""

    logits: Floats
    """(rows, vocabulary)"""
    ruled: Floats
    """(rows, vocabulary): after the rules."""
    normalizer: list[float]
    """(rows,)"""


class ImageSearch:
    """The beams of one image.

    A step takes the 2 x beams best continuations of a pool. Those that end close a sentence if they are among the best
    `beams`; of the others the best `beams` stay open. So it is in transformers' `_beam_search`, from which the rule
    when to stop comes as well (`_check_early_stop_heuristic`).

    Under a constraint each kind of state has a pool, sentences close in any, and those of the goal are the result: the
    others are given only where these are too few. Whether to stop is asked of the goal's pool alone; except that with
    `early_stopping="never"` an open beam of any pool keeps the search alive.
    """

    def __init__(self, options: SearchOptions, eos: int, prompt: Sequence[int], machine: Machine) -> None:
        self._options = options
        self._eos = eos
        self._machine = machine
        state: State = (0, 0)
        for token in prompt:  # what the prompt names is named
            state = machine.read(state, token)
        self._pools = [Pool() for _ in range(machine.kinds)]
        self.open = [Beam((), (), 0.0, 0, state)]
        """Open beams in the order of their rows."""
        self.done = False

    @property
    def best(self) -> list[Hypothesis]:
        """`count` sentences, best first: fewer only where vocabulary and rules allow no more."""
        goal = self._pools[self._machine.goal]
        others = [found for pool in self._pools if pool is not goal for found in pool.closed]
        return [*goal.closed, *sorted(others, key=lambda one: -one.score)][: self._options.count]

    def advance(self, scores: Scores, length: int) -> None:
        """Take one step, after which sentences have `length` tokens."""
        candidates = self._candidates(scores)
        if not any(candidates):
            self._give_up()
            return
        for position, found in enumerate(candidates):
            found.sort(key=itemgetter(0), reverse=True)
            self._fill(position, found[: 2 * self._options.beams], scores, length)
        self.open = [beam for pool in self._pools for beam in pool.open]
        self.done = not self.open or self._settled(length)

    def _candidates(self, scores: Scores) -> list[list[Candidate]]:
        """For each pool, every continuation that can be among its 2 x beams best."""
        machine, states = self._machine, [beam.state for beam in self.open]
        bases = [beam.total - scores.normalizer[row] for row, beam in enumerate(self.open)]
        candidates: list[list[Candidate]] = [[] for _ in self._pools]
        table, owners = scores.ruled[: len(states)], list(range(len(states)))
        if machine.everything:
            table, owners = machine.uniform_rows(table, states)
            for row, state in enumerate(states):
                moves = machine.telling(state)
                values = scores.ruled[row, [move.token for move in moves]].tolist()
                for value, move in zip(values, moves, strict=True):
                    if value > -inf:
                        candidates[move.kind].append((bases[row] + value, row, move.token, move.state))
        for row, (best, ids) in zip(owners, top(table, 2 * self._options.beams), strict=True):
            state = machine.read(states[row], int(ids[0]))
            candidates[machine.kind(state)] += [
                (bases[row] + value, row, token, state)
                for value, token in zip(best.tolist(), ids.tolist(), strict=True)
                if value > -inf
            ]
        return candidates

    def _fill(self, position: int, candidates: list[Candidate], scores: Scores, length: int) -> None:
        """Close and continue sentences of one pool; candidates are sorted."""
        pool, beams = self._pools[position], self._options.beams
        pool.open = []
        for rank, (total, row, token, state) in enumerate(candidates):
            ended = token == self._eos
            closes = ended or length == self._options.max_new_tokens
            if rank >= beams if closes else len(pool.open) == beams:
                continue
            beam = self.open[row]
            token_scores = (*beam.token_scores, float(scores.logits[row, token]) - scores.normalizer[row])
            tokens = beam.tokens if ended else (*beam.tokens, token)
            if closes:
                pool.closed.append(self._close(tokens, token_scores, total, ended, position))
            else:
                pool.open.append(Beam(tokens, token_scores, total, row, state))
        pool.closed = sorted(pool.closed, key=lambda one: -one.score)[:beams]

    def _close(
        self, tokens: tuple[int, ...], token_scores: tuple[float, ...], total: float, ended: bool, position: int
    ) -> Hypothesis:
        return Hypothesis(
            tokens=tokens,
            token_scores=token_scores,
            ended=ended,
            score=total / len(token_scores) ** self._options.length_penalty,
            satisfied=position == self._machine.goal,
        )

    def _settled(self, length: int) -> bool:
        """Whether no open beam is expected to beat the sentences that closed."""
        options, goal = self._options, self._pools[self._machine.goal]
        if len(goal.closed) < options.beams:
            return False
        if options.early_stopping is True or options.beams == 1:
            return True
        never = options.early_stopping == "never"
        rivals = [pool.open[0].total for pool in (self._pools if never else [goal]) if pool.open]
        reach = options.max_new_tokens if never and options.length_penalty > 0 else length
        return not rivals or max(rivals) / reach**options.length_penalty <= goal.closed[-1].score

    def _give_up(self) -> None:
        """The rules leave no token to any beam: what closed stands, or else what is open is cut off."""
        self.done = True
        if any(pool.closed for pool in self._pools):
            return
        for beam in self.open:
            if not beam.tokens:
                raise UsageError("The rules leave no token to begin with", "Forbid fewer tokens.")
            kind = self._machine.kind(beam.state)
            self._pools[kind].closed.append(self._close(beam.tokens, beam.token_scores, beam.total, False, kind))


def search_beams(
    session: Session, prompt: Sequence[int], options: SearchOptions, eos: int, machines: Sequence[Machine]
) -> list[list[Hypothesis]]:
    """The best sentences of each image; `session` has `beams` rows for each kind of state of the largest machine."""
    searches = [ImageSearch(options, eos, prompt, machine) for machine in machines]
    logits, height, live = session.first, 1, searches
    rules = Rules(options, eos, logits.shape[1])
    for length in range(1, options.max_new_tokens + 1):
        normalizer = log_normalizer(logits)
        histories = (
            (image * height + row, (*prompt, *beam.tokens))
            for image, search in enumerate(live)
            for row, beam in enumerate(search.open)
        )
        # transformers penalises logits in greedy search, and log-probabilities in beam search
        ruled = rules.apply(logits, histories, length - 1, None if options.beams == 1 else normalizer)
        offsets = normalizer.tolist()
        for image, search in enumerate(live):
            rows = slice(image * height, (image + 1) * height)
            search.advance(Scores(logits[rows], ruled[rows], offsets[rows]), length)
        kept = [image for image, search in enumerate(live) if not search.done]
        if not kept:
            break
        if len(kept) < len(live):
            session.keep(np.array(kept, dtype=np.int64))
            live = [live[image] for image in kept]
        height = options.beams * max(machine.kinds for machine in machines)
        logits = _grow(session, live, height, eos)
    return [search.best for search in searches]


def _grow(session: Session, live: Sequence[ImageSearch], height: int, idle: int) -> Floats:
    """Give the session the last token of every open beam, and return the logits after it; spare rows get `idle`."""
    sources = np.arange(len(live) * height, dtype=np.int64)
    ids = np.full(len(live) * height, idle, dtype=np.int64)
    for image, search in enumerate(live):
        for row, beam in enumerate(search.open, start=image * height):
            sources[row] = image * height + beam.source
            ids[row] = beam.tokens[-1]
    session.reorder(sources)
    return session.logits(ids)
