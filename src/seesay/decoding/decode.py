"""The front door of decoding: options decide which search runs over a session."""

from __future__ import annotations

from collections.abc import Sequence

from seesay.decoding.beam import search_beams
from seesay.decoding.constraints import Constraint, Machine, check
from seesay.decoding.hypothesis import Hypothesis, Session
from seesay.decoding.options import SearchOptions
from seesay.decoding.sampling import sample
from seesay.errors import UsageError


def rows_per_image(options: SearchOptions, constraints: Sequence[Constraint] | None = None) -> int:
    """How many rows for each image a session must be opened with, for `search` with the same arguments."""
    if options.nucleus:
        return options.count
    return options.beams * max((Machine(constraint).kinds for constraint in constraints or ()), default=1)


def search(
    session: Session,
    prompt: Sequence[int],
    options: SearchOptions,
    eos: int,
    constraints: Sequence[Constraint] | None = None,
    continuations: frozenset[int] = frozenset(),
) -> list[list[Hypothesis]]:
    """`count` sentences for each image of the session, best first.

    session: opened after `prompt`, with `rows_per_image(options, constraints)` rows for each image.
    prompt: its tokens; the rules see them.
    eos: the token that ends a sentence.
    constraints: for each image, words that its sentence must name (see `constraints`); () leaves an image free. Where
    no sentence of `max_new_tokens` can name them, the best that does not is given, with `satisfied` False.
    continuations: ids of tokens that belong to the word before ("##ing"): a word is named only if none follows it.

    An image's sentences do not depend on its neighbours in the batch. Raises UsageError for a request that makes no
    sense or rules that leave no token, ModelError where the model returns no numbers.
    """
    images, vocabulary = session.first.shape
    if not 0 <= eos < vocabulary:
        raise UsageError(
            f"The end token is {eos}, but the model knows only {vocabulary}", "Use this model's own tokenizer."
        )
    if options.nucleus:
        if constraints is not None and any(constraints):
            raise UsageError("Samples cannot be constrained", "Search with beams, or leave the constraints out.")
        return sample(session, prompt, options, eos)
    if constraints is None:
        constraints = [()] * images
    check(constraints, images, eos, vocabulary)
    machines = [Machine(constraint, continuations) for constraint in constraints]
    return search_beams(session, prompt, options, eos, machines)
