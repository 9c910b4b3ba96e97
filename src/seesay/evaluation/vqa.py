"""Answers to questions beside people's: VQAv2's accuracy with its normalisation, quirks included, and exact match.

The rules are those of the evaluation code that VQAv2's authors publish (GT-Vision-Lab/VQA, vqaEval.py), which every
published figure was made with; what looks like a fault here is one there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from seesay.errors import UsageError

PEOPLE = 10
"""People who answered each of VQAv2's questions."""
VISUAL_GENOME = 0.2
"""Weight of the one unchecked answer to each of Visual Genome's questions, in BLIP's files."""

NUMBERS = {"none": "0"} | {
    word: str(n) for n, word in enumerate("zero one two three four five six seven eight nine ten".split())
}
ARTICLES = frozenset(["a", "an", "the"])
PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
"""No period, which has a rule of its own, and no apostrophe or colon, which stay."""

CONTRACTED = """
    ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've
    he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've needn't not've
    o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's
    someone'd someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've
    there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's
    what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've
    wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're you've
""".split()


def _lacking_one_apostrophe(word: str) -> list[str]:
    return [word[:i] + word[i + 1 :] for i, letter in enumerate(word) if letter == "'"]


# Words that are words without it (we'd, she'll, I'm in lower case) are not in the list. One entry is turned round.
CONTRACTIONS = {lacking: word for word in CONTRACTED for lacking in _lacking_one_apostrophe(word)} | {
    "somebody'd": "somebodyd"
}

_PERIOD = re.compile(r"(?!<=\d)\.(?!\d)")
"""A period that no digit follows. (`(?!<=` was meant as `(?<!`, and holds everywhere: "3." loses its period too.)"""
_COMMA_IN_NUMBER = re.compile(r"\d,\d")


def normalise_answer(answer: str) -> str:
    """The answer in lower case, without articles and most punctuation, numbers as digits, contractions repaired."""
    return _words(_punctuation(_one_line(answer)))


def _one_line(answer: str) -> str:
    return answer.replace("\n", " ").replace("\t", " ").strip()


def _punctuation(text: str) -> str:
    """A mark goes without a trace if it stands beside a space anywhere, or if there is a comma in any number; otherwise
    a space takes its place. At most 32 periods are removed."""
    anywhere = _COMMA_IN_NUMBER.search(text)
    cleaned = text
    for mark in PUNCTUATION:
        without_trace = anywhere or f"{mark} " in text or f" {mark}" in text
        cleaned = cleaned.replace(mark, "" if without_trace else " ")
    return _PERIOD.sub("", cleaned, count=32)  # re.UNICODE, which is 32, stands where the count goes


def _words(text: str) -> str:
    numbered = (NUMBERS.get(word, word) for word in text.lower().split())
    return " ".join(CONTRACTIONS.get(word, word) for word in numbered if word not in ARTICLES)


def vqa_accuracy(answer: str, given: Sequence[str]) -> float:
    """VQAv2's accuracy of an answer beside those that people gave: 1 where at least three others gave it.

    It is the mean over the people of min(1, others who gave this answer / 3). Both sides are normalised, unless all
    people said the very same: then the answer must be theirs to the letter. (Copies of that code, such as the one in
    LAVIS, normalise the model's answer always and people's by punctuation only; figures differ in rare answers.)
    """
    if not given:
        raise UsageError("a question without answers cannot be scored", "leave it out")
    truth, answer = [_one_line(one) for one in given], _one_line(answer)
    if len(set(truth)) > 1:
        truth, answer = [normalise_answer(one) for one in truth], normalise_answer(answer)
    agree = truth.count(answer)
    return sum(min(1.0, (agree - (one == answer)) / 3) for one in truth) / len(truth)


def exact_match(answer: str, given: Sequence[str]) -> float:
    """1 where somebody gave this answer, both normalised, else 0."""
    return float(normalise_answer(answer) in {normalise_answer(one) for one in given})


def people(shares: Mapping[str, float]) -> tuple[str, ...]:
    """The answers one by one, of an answer's share of those who were asked: ten people, where tenths allow it.

    A single answer counts as everybody's, as does one of Visual Genome's, which BLIP's files give the weight 0.2.
    Raises UsageError for shares of more than a hundred people, or that do not add up to 1.
    """
    if [*shares.values()] == [VISUAL_GENOME]:
        return tuple(shares) * PEOPLE
    if abs(sum(shares.values()) - 1) > 1e-6:
        raise UsageError(f"shares of answers add up to {sum(shares.values()):.3f}, not to 1", "give each its share")
    for count in (PEOPLE, *range(2, 101)):
        numbers = {answer: share * count for answer, share in shares.items()}
        if all(abs(number - round(number)) < 1e-6 for number in numbers.values()):
            return tuple(answer for answer, number in numbers.items() for _ in range(round(number)))
    raise UsageError(f"shares of answers that no number of people can have: {dict(shares)}", "give whole people")


@dataclass(frozen=True, slots=True)
class Answered:
    """A question's answer by the model, and those that people gave."""

    answer: str
    given: tuple[str, ...]
    kind: str = ""
    """Of question or answer, such as VQAv2's "yes/no", "number" and "other"."""


@dataclass(frozen=True, slots=True)
class VqaScores:
    """Means over questions, in 0..1."""

    accuracy: float
    exact: float
    questions: int


def evaluate_answers(answered: Sequence[Answered]) -> dict[str, VqaScores]:
    """Scores of all questions under "all", then those of each kind, in alphabetical order."""
    if not answered:
        raise UsageError("there are no answers to score", "give at least one")
    kinds = sorted({one.kind for one in answered} - {""})
    groups = {"all": list(answered)} | {kind: [one for one in answered if one.kind == kind] for kind in kinds}
    return {
        kind: VqaScores(
            accuracy=sum(vqa_accuracy(one.answer, one.given) for one in group) / len(group),
            exact=sum(exact_match(one.answer, one.given) for one in group) / len(group),
            questions=len(group),
        )
        for kind, group in groups.items()
    }


@dataclass(frozen=True, slots=True)
class Commonest:
    """The answers that are given most: what a model must beat to be said to look, or to read."""

    overall: str
    by_form: Mapping[str, str]
    """The commonest answer to each form of question."""

    @classmethod
    def of(cls, answered: Iterable[tuple[str, Mapping[str, float]]]) -> Commonest:
        """Of questions, such as those of a training set, with their weighted answers. Ties go to the first given."""
        forms: dict[str, dict[str, float]] = {}
        overall: dict[str, float] = {}
        for question, given in answered:
            for counts in (overall, forms.setdefault(form_of(question), {})):
                for answer, weight in given.items():
                    counts[answer] = counts.get(answer, 0) + weight
        if not overall:
            raise UsageError("no question has an answer", "give questions with answers")
        by_form = {form: max(counts, key=counts.__getitem__) for form, counts in forms.items() if counts}
        return cls(max(overall, key=overall.__getitem__), by_form)

    def answer(self, question: str) -> str:
        """The commonest answer to questions of this one's form; the commonest of all where there were none."""
        return self.by_form.get(form_of(question), self.overall)


def form_of(question: str) -> str:
    """The question's first two words, such as "how many"."""
    return " ".join(question.lower().split()[:2])


LIST = "list"
"""The kind of a question that DAQUAR answers with several things, as one answer: "book, tape"."""


def kind_of(given: Sequence[str]) -> str:
    """ "yes/no", "number" or "other", by the commonest answer: VQAv2's kinds, which its annotations name themselves."""
    commonest = max(given, key=given.count)
    return "yes/no" if commonest in ("yes", "no") else "number" if commonest.isdigit() else "other"
