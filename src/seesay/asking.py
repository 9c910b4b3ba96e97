"""Questions about pictures: the encoder reads a question beside its picture, the decoder answers from what was read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from seesay.decoding import Hypothesis, SearchOptions, rows_per_image, search
from seesay.decoding.logits import log_normalizer
from seesay.engine.base import Engine, Floats
from seesay.errors import UsageError
from seesay.records import Answer
from seesay.texts import Text, TextReader, bundles
from seesay.tokenizer import Tokenizer

RANKED_ROWS = 64
"""Answers to choose from, times questions, that are scored at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskOptions(SearchOptions):
    """How a question is answered: by a search for words, or by one of the `answers` that are given.

    Defaults are those of the paper's code: three beams, nine tokens.
    """

    answers: tuple[str, ...] = ()
    """Answers to choose from; nothing is searched for then. They are ranked by their log-likelihood, summed over an
    answer's tokens and its end. (The paper's code takes the 128 whose first token is likeliest, and ranks them by the
    smoothed loss that it trains with, which costs long answers more; here it is all, and likelihood alone.)"""
    max_new_tokens: int = 9
    """Tokens of an answer that is searched for, the end token included."""

    def __post_init__(self) -> None:
        SearchOptions.__post_init__(self)  # super() is lost where slots make the class anew
        if not isinstance(self.answers, tuple) or not all(isinstance(one, str) for one in self.answers):
            raise UsageError(f"answers are {self.answers!r}", 'Give a tuple of texts, such as ("yes", "no").')
        if len(set(self.answers)) < len(self.answers):
            raise UsageError("An answer to choose from is given twice", "Name each once.")
        if self.answers and (self.nucleus or self.count > 1):
            raise UsageError("Given answers are ranked, not searched for", "Leave answers out, or nucleus and count.")


def answer(
    engine: Engine,
    tokenizer: Tokenizer,
    reader: TextReader,
    features: Sequence[Floats],
    questions: Sequence[Text],
    options: AskOptions,
) -> list[Answer]:
    """The best answer to each question, with the others as its alternatives.

    features: (1, tokens, width) of the picture of each question; a picture may come again, and its part of the work is
    done once for questions of one length.
    """
    candidates = [_tokens(text, tokenizer) for text in options.answers]
    answers: dict[int, Answer] = {}
    for rows, states in _read(engine, reader, features, questions):
        if candidates:
            found = _ranked(_scores(engine, tokenizer.bos, states, candidates), options.answers, candidates)
        else:
            found = _written(engine, tokenizer, states, options)
        answers |= zip(rows, found, strict=True)
    return [
        replace(answers[row], flags=(*answers[row].flags, *question.flags)) for row, question in enumerate(questions)
    ]


def _read(
    engine: Engine, reader: TextReader, features: Sequence[Floats], questions: Sequence[Text]
) -> Iterator[tuple[list[int], Floats]]:
    """Rows of questions that were read together, and their states (rows, tokens, width): the context of answers.

    Only questions of one length go together: the decoder would see padding, and answer by it. (In the paper's code and
    in transformers it does.)
    """
    first_with: dict[int, int] = {}
    pictures = [first_with.setdefault(id(one), row) for row, one in enumerate(features)]
    for call in bundles(pictures, [len(question.ids) for question in questions]):
        rows = [row for one in call for row in one]
        ids, mask = reader.beside_pictures([questions[row] for row in rows])
        yield rows, engine.read(ids, mask, np.concatenate([features[one[0]] for one in call]))


# -------------------------------------------------------------------------------------------------- answers in words


def _written(engine: Engine, tokenizer: Tokenizer, states: Floats, options: AskOptions) -> list[Answer]:
    prompt = [tokenizer.bos]
    with engine.answer_session(states, np.array(prompt), rows_per_image(options)) as session:
        found = search(session, prompt, options, tokenizer.eos)
    return [_first([_in_words(one, tokenizer) for one in hypotheses]) for hypotheses in found]


def _in_words(found: Hypothesis, tokenizer: Tokenizer) -> Answer:
    flags = (*(() if found.tokens else ("empty",)), *(() if found.ended else ("cut off",)))
    probability = float(np.exp(sum(found.token_scores)))
    text = tokenizer.decode(found.tokens)
    return Answer(text, found.mean, probability, found.tokens, found.token_scores, flags)


def _first(answers: Sequence[Answer]) -> Answer:
    """The first answer, which carries the others."""
    return replace(answers[0], alternatives=tuple(answers[1:]))


# --------------------------------------------------------------------------------------------- answers to choose from


def _tokens(text: str, tokenizer: Tokenizer) -> tuple[int, ...]:
    """An answer's tokens, end token included."""
    ids = tokenizer.encode(text)
    if not ids:
        raise UsageError(f"The answer {text!r} holds no word", "Give some words.")
    return (*ids, tokenizer.eos)


def _ranked(
    scores: Sequence[Sequence[tuple[float, ...]]], texts: Sequence[str], candidates: Sequence[tuple[int, ...]]
) -> list[Answer]:
    """For each question the likeliest answer, with the others behind it."""
    ranked = []
    for told in scores:
        totals = np.array([sum(one) for one in told])
        chances = np.exp(totals - np.logaddexp.reduce(totals))
        answers = [
            Answer(text, sum(one) / len(one), float(chance), ids[:-1], one)
            for text, ids, one, chance in zip(texts, candidates, told, chances, strict=True)
        ]
        ranked.append(_first([answers[i] for i in np.argsort(-totals, kind="stable")]))
    return ranked


def _scores(
    engine: Engine, bos: int, states: Floats, candidates: Sequence[tuple[int, ...]]
) -> list[list[tuple[float, ...]]]:
    """For each question, for each candidate, the log-probability of each of its tokens."""
    found: list[list[tuple[float, ...]]] = [[()] * len(candidates) for _ in states]
    order = sorted(range(len(candidates)), key=lambda place: len(candidates[place]))  # like lengths share their steps
    together = max(1, RANKED_ROWS // len(states))
    for start in range(0, len(order), together):
        part = order[start : start + together]
        scores = _score(engine, bos, states, [candidates[place] for place in part])
        for question, rows in zip(found, scores, strict=True):
            for place, row in zip(part, rows, strict=True):
                question[place] = tuple(row[: len(candidates[place])].tolist())
    return found


def _score(engine: Engine, bos: int, states: Floats, candidates: Sequence[tuple[int, ...]]) -> Floats:
    """(questions, candidates, tokens): log-probabilities, of nothing behind a candidate's end."""
    questions, each = len(states), len(candidates)
    wanted = np.zeros((each, max(map(len, candidates))), np.int64)
    for row, ids in enumerate(candidates):
        wanted[row, : len(ids)] = ids
    scores = np.zeros((questions, *wanted.shape), np.float32)
    rows = np.arange(questions * each)
    with engine.answer_session(states, np.array([bos]), each) as session:
        scores[:, :, 0] = session.first[:, wanted[:, 0]] - log_normalizer(session.first)[:, None]
        for step in range(1, wanted.shape[1]):
            said, follows = (np.tile(wanted[:, place], questions) for place in (step - 1, step))
            logits = session.logits(said)
            told = logits[rows, follows] - log_normalizer(logits)
            scores[:, :, step] = told.reshape(questions, each)
    return scores
