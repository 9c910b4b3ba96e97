"""Questions that are answered by yes or no: POPE (does the model see what is not there?) and MME."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from seesay.errors import UsageError

Verdict = Literal["yes", "no", "other"]

PERCEPTION = "existence count position color posters celebrity scene landmark artwork OCR".split()
COGNITION = "commonsense_reasoning numerical_calculation text_translation code_reasoning".split()
"""MME's subtasks; a perfect model has 200 points in each."""


def pope_verdict(answer: str) -> Verdict:
    """As POPE reads an answer: "no" where its first sentence has the word no or not, "yes" for anything else."""
    words = answer.split(".")[0].replace(",", "").split(" ")
    return "no" if {"No", "no", "not"} & set(words) else "yes"


def mme_verdict(answer: str) -> Verdict:
    """As MME reads an answer: by its first four letters, "other" where they hold neither word."""
    start = answer.strip().lower()[:4]
    return "yes" if "yes" in start else "no" if "no" in start else "other"


@dataclass(frozen=True, slots=True)
class PopeScores:
    """In 0..1; "yes" is the positive class. Where nothing can be divided by, a score is 0."""

    accuracy: float
    precision: float
    recall: float
    f1: float
    yes_ratio: float
    """Share of questions that the model says yes to; of POPE's, half are."""
    questions: int


def pope_scores(answers: Sequence[str], labels: Sequence[str]) -> PopeScores:
    """Scores of answers in words; labels are "yes" and "no"."""
    if not answers or set(labels) - {"yes", "no"}:
        raise UsageError("POPE needs answers, and labels that are yes or no", "check the file of questions")
    pairs = [(pope_verdict(answer) == "yes", label == "yes") for answer, label in zip(answers, labels, strict=True)]
    hits = sum(said and true for said, true in pairs)
    said_yes, are_yes = sum(said for said, _ in pairs), sum(true for _, true in pairs)
    precision, recall = _ratio(hits, said_yes), _ratio(hits, are_yes)
    return PopeScores(
        accuracy=sum(said == true for said, true in pairs) / len(pairs),
        precision=precision,
        recall=recall,
        f1=_ratio(2 * precision * recall, precision + recall),
        yes_ratio=said_yes / len(pairs),
        questions=len(pairs),
    )


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


@dataclass(frozen=True, slots=True)
class Asked:
    """One of MME's questions: of a subtask, about an image, with the right answer and the model's."""

    subtask: str
    image: str
    label: str
    answer: str


@dataclass(frozen=True, slots=True)
class MmeScores:
    """In 0..1: questions answered right, and images all of whose questions (MME has two for each) are."""

    accuracy: float
    accuracy_plus: float
    questions: int

    @property
    def points(self) -> float:
        """MME's score of a subtask, up to 200: both in per cent, added up."""
        return 100 * (self.accuracy + self.accuracy_plus)


def mme_scores(asked: Sequence[Asked]) -> dict[str, MmeScores]:
    """Scores of each subtask, in the order they come."""
    if not asked:
        raise UsageError("there are no answers to score", "give at least one")
    right: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for one in asked:
        right[one.subtask][one.image].append(mme_verdict(one.answer) == one.label.strip().lower())
    return {
        subtask: MmeScores(
            accuracy=sum(map(sum, images.values())) / sum(map(len, images.values())),
            accuracy_plus=sum(map(all, images.values())) / len(images),
            questions=sum(map(len, images.values())),
        )
        for subtask, images in right.items()
    }


def mme_totals(scores: dict[str, MmeScores]) -> dict[str, float]:
    """Points of perception (up to 2,000) and cognition (up to 800), each only where all its subtasks were asked."""
    parts = {"perception": PERCEPTION, "cognition": COGNITION}
    return {
        name: sum(scores[one].points for one in subtasks)
        for name, subtasks in parts.items()
        if all(one in scores for one in subtasks)
    }
