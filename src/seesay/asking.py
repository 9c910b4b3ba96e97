"""Questions about pictures: the encoder reads a question beside its picture, the decoder answers from what was read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from seesay.decoding import Hypothesis, SearchOptions, rows_per_image, search
from seesay.decoding.logits import log_normalizer
from seesay.engine.base import Engine, Floats
from seesay.errors import UsageError
from seesay.texts import Text, Texts, bundles
from seesay.tokenizer import Tokenizer

RANKED_ROWS = 64
"""Candidates, times questions, that are scored at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskOptions(SearchOptions):
    """How a question is answered: freely, by a search for the likeliest words, or by one of the given `answers`.

    Defaults are those of the paper's code: three beams, nine tokens.
    """

    answers: tuple[str, ...] = ()
    """Answers to choose from; nothing is searched then. They are ranked by their log-likelihood: the sum over an
    answer's tokens and its end. (The paper's code ranks so the 128 whose first token is likeliest; here all are.)"""
    max_new_tokens: int = 9
    """Tokens of a free answer, the end token included."""

    def __post_init__(self) -> None:
        SearchOptions.__post_init__(self)  # super() is lost where slots make a class anew
        if isinstance(self.answers, str) or not all(isinstance(one, str) and one.strip() for one in self.answers):
            raise UsageError(f"answers are {self.answers!r}", 'Give a tuple of texts, such as ("yes", "no").')
        if twice := {one for one in self.answers if self.answers.count(one) > 1}:
            raise UsageError(f"the answer {min(twice)!r} is given twice", "Name each once.")
        if self.answers and (self.nucleus or self.count > 1):
            raise UsageError("given answers are ranked, not searched for", "Leave nucleus and count out, or answers.")


def answer(
    engine: Engine,
    tokenizer: Tokenizer,
    reader: Texts,
    features: Sequence[Floats],
    questions: Sequence[Text],
    options: AskOptions,
) -> list[list[Hypothesis]]:
    """Answers to each question, best first, as tokens.

    features: (1, tokens, width) of the picture of each question; a picture may come again, and its part of the work is
    done once for questions of one length.
    """
    found: list[list[Hypothesis]] = [[] for _ in questions]
    for rows, states in _read(engine, reader, features, questions):
        if options.answers:
            answers = _ranked(engine, tokenizer, states, options.answers)
        else:
            answers = _written(engine, tokenizer, states, options)
        for row, one in zip(rows, answers, strict=True):
            found[row] = one
    return found


def flags(found: Hypothesis) -> tuple[str, ...]:
    """What is wrong with an answer."""
    return (*(() if found.tokens else ("empty",)), *(() if found.ended else ("cut off",)))


def _read(
    engine: Engine, reader: Texts, features: Sequence[Floats], questions: Sequence[Text]
) -> Iterator[tuple[list[int], Floats]]:
    """Questions' states (rows, tokens, width), the context of their answers, and the rows that they are of.

    Questions of one length go together: the decoder would see padding, in the paper's code and transformers too, and
    answer by it.
    """
    first_of: dict[int, int] = {}
    pictures = [first_of.setdefault(id(one), row) for row, one in enumerate(features)]
    for call in bundles(pictures, [len(question.ids) for question in questions]):
        rows = [row for one in call for row in one]
        context = np.concatenate([features[one[0]] for one in call])
        yield rows, engine.read(*reader.rows([questions[row] for row in rows]), context)


def _written(engine: Engine, tokenizer: Tokenizer, states: Floats, options: AskOptions) -> list[list[Hypothesis]]:
    prompt = [tokenizer.bos]
    with engine.session(states, np.array(prompt), rows_per_image(options)) as session:
        return search(session, prompt, options, tokenizer.eos)


def _ranked(engine: Engine, tokenizer: Tokenizer, states: Floats, answers: Sequence[str]) -> list[list[Hypothesis]]:
    """The given answers as hypotheses, likeliest first; each one's `score` is its log-likelihood."""
    candidates = [(*tokenizer.encode(text), tokenizer.eos) for text in answers]
    if empty := [text for text, ids in zip(answers, candidates, strict=True) if len(ids) == 1]:
        raise UsageError(f"the answer {empty[0]!r} holds no word", "Give some words.")
    order = sorted(range(len(candidates)), key=lambda i: len(candidates[i]))  # like lengths share their steps
    together = max(1, RANKED_ROWS // len(states))
    ranked: list[list[Hypothesis]] = [[] for _ in states]
    for start in range(0, len(order), together):
        part = [candidates[i] for i in order[start : start + together]]
        for hypotheses, scores in zip(ranked, _scores(engine, tokenizer.bos, states, part), strict=True):
            for ids, row in zip(part, scores, strict=True):
                said = tuple(map(float, row[: len(ids)]))
                hypotheses.append(Hypothesis(tokens=ids[:-1], token_scores=said, ended=True, score=sum(said)))
    return [sorted(hypotheses, key=lambda one: -one.score) for hypotheses in ranked]


def _scores(engine: Engine, bos: int, states: Floats, candidates: Sequence[tuple[int, ...]]) -> Floats:
    """Log-probability of each token of each candidate after each question, (questions, candidates, tokens)."""
    questions, each = len(states), len(candidates)
    targets = np.zeros((each, max(map(len, candidates))), np.int64)
    for row, ids in enumerate(candidates):
        targets[row, : len(ids)] = ids
    scores = np.zeros((questions, *targets.shape), np.float32)
    with engine.session(states, np.array([bos]), each) as session:
        first = session.first
        scores[:, :, 0] = first[:, targets[:, 0]] - log_normalizer(first)[:, None]
        every = np.arange(questions * each)
        for step in range(1, targets.shape[1]):
            said, wanted = (np.tile(targets[:, place], questions) for place in (step - 1, step))
            logits = session.logits(said)
            scores[:, :, step] = (logits[every, wanted] - log_normalizer(logits)).reshape(questions, each)
    return scores
