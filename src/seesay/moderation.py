"""Pictures judged by a policy: what they show, which of the policy's labels they reach, what follows, and why.

A policy is a TOML file that people can read and change:

    name = "marketplace"
    summary = "What photographs of goods must not show."

    [[labels]]
    name = "weapon"
    descriptions = ["a gun", "a knife held as a weapon"]
    threshold = 0.6
    action = "block"

`measured_for = ["blip-itm-base-coco"]` beside the name says for which models the thresholds were measured; others are
then refused. The built-in model judges by such a policy alone: what its matching head says is good for comparing texts,
no threshold holds for it, and an edition of it blocked a photograph of a cat as violent by the shipped policies.

A label's score is the probability of its likeliest description, by the matching head (ITM), or, of a model that only
answers questions, that of "yes". It is reached from its threshold on; the hardest action of those reached decides.

Covers what can be said in a sentence about one picture. Does not cover known pictures (use their hashes), text within
the picture (`seesay.ocr`), small models of your own that judge no better than the built-in one, or anything a threshold
was never measured for: try a policy on pictures that you have judged yourself. It is a help for people who decide, and
decides nothing about people.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from seesay.batches import each
from seesay.describe import Describer, Seen
from seesay.errors import CapabilityError, ImageError, ImageUnanswered, UsageError
from seesay.images import ImageLike
from seesay.records import Caption, Provenance
from seesay.settings import BUILTIN

Action = Literal["review", "block"]
Decision = Literal["allow", "review", "block"]
HARDNESS: Mapping[str, int] = {decision: place for place, decision in enumerate(get_args(Decision))}
YES_NO = ("yes", "no")
SHIPPED = Path(__file__).with_name("policies")
"""Policies that come with Seesay: examples, to be copied and changed."""


@dataclass(frozen=True, slots=True)
class Label:
    """Something that a picture may show, and what follows. Raises UsageError for what cannot be meant."""

    name: str
    descriptions: tuple[str, ...]
    """Sentences or phrases, as a caption would say it; the likeliest counts."""
    threshold: float
    """Probability from which it is reached."""
    action: Action = "review"

    def __post_init__(self) -> None:
        if not self.name or not self.descriptions or not all(one.strip() for one in self.descriptions):
            raise UsageError(f"label {self.name!r} describes nothing", "Give it a name and descriptions.")
        if not 0 < self.threshold <= 1:
            raise UsageError(f"label {self.name}: threshold {self.threshold}", "Give a number above 0, up to 1.")
        if self.action not in get_args(Action):
            raise UsageError(f"label {self.name}: action {self.action!r}", f"Use {' or '.join(get_args(Action))}.")


@dataclass(frozen=True, slots=True)
class Policy:
    """Labels, and what they are for. Raises UsageError where there are none, or two of one name."""

    name: str
    labels: tuple[Label, ...]
    summary: str = ""
    measured_for: tuple[str, ...] = ()
    """Models for which somebody measured the thresholds; empty: for none."""

    def __post_init__(self) -> None:
        names = [label.name for label in self.labels]
        if not names or len(set(names)) < len(names):
            raise UsageError(f"policy {self.name} has labels {names}", "Give it some, each of another name.")


@dataclass(frozen=True, slots=True)
class Score:
    """How likely a picture shows what a label means."""

    label: str
    probability: float
    description: str
    """The likeliest of the label's."""
    threshold: float
    action: Action

    @property
    def reached(self) -> bool:
        return self.probability >= self.threshold


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a policy says of one picture."""

    decision: Decision
    reason: str
    scores: tuple[Score, ...]
    """Of each label, in the policy's order."""
    description: Caption | None
    """What the picture shows; None where no model at hand writes captions."""
    policy: str
    provenance: Provenance | None = field(default=None, repr=False)


class Moderator:
    """A policy, and a model that judges pictures by it.

    Raises CapabilityError for a model that neither matches nor answers questions, and for one whose probabilities the
    policy's thresholds do not fit.
    """

    def __init__(self, model: Describer, policy: Policy, captioner: Describer | None = None) -> None:
        """captioner: who describes pictures where the judging model does not caption."""
        if not model.capabilities & {"match", "ask"}:
            raise CapabilityError(
                f"{model.name} cannot judge whether a description fits",
                "Use a model that can, such as blip-itm-base-coco.",
            )
        _check_thresholds(model, policy)
        self._model = model
        self._policy = policy
        self._captioner = model if "caption" in model.capabilities else captioner

    def judge(self, image: ImageLike | Seen) -> Verdict:
        """The policy's verdict on a picture. Raises ImageError."""
        seen = image if isinstance(image, Seen) else self._model.see(image)
        texts = [text for label in self._policy.labels for text in label.descriptions]
        chances, provenance = (self._matched if "match" in self._model.capabilities else self._asked)(seen, texts)
        told = dict(zip(texts, chances, strict=True))
        scores = tuple(_score(label, told) for label in self._policy.labels)
        decision, reason = _decide(scores)
        return Verdict(decision, reason, scores, self._describe(image, seen), self._policy.name, provenance)

    def verdicts(self, images: Sequence[ImageLike]) -> list[Verdict | ImageError]:
        """The verdict on each picture, or the error that says why there is none."""
        return each(self.judge, images)  # one after the other: each is several requests, which run side by side

    def _describe(self, image: ImageLike | Seen, seen: Seen) -> Caption | None:
        if self._captioner is self._model:
            return self._model.caption(seen)
        if self._captioner is None or isinstance(image, Seen):  # what one model saw, no other can read
            return None
        return self._captioner.caption(image)

    def _matched(self, seen: Seen, texts: Sequence[str]) -> tuple[list[float], Provenance | None]:
        [found] = self._model.matches([seen], [texts])
        if isinstance(found, ImageError):
            raise found
        chances = [one.probability for one in found if one.probability is not None]
        if len(chances) < len(texts):  # a similarity has no threshold that means the same for every text
            raise CapabilityError(f"{self._model.name} tells no probability of a match", "Use blip-itm-base-coco.")
        return chances, found[0].provenance

    def _asked(self, seen: Seen, texts: Sequence[str]) -> tuple[list[float], Provenance | None]:
        questions = [f"does this picture show {text}?" for text in texts]
        chances = []
        provenance = None
        for question, found in zip(
            questions, self._model.answers([seen] * len(texts), questions, answers=YES_NO), strict=True
        ):
            if isinstance(found, ImageError):
                raise found
            if found.text not in YES_NO:  # silence is no "no"
                remedy = "Judge this picture yourself, or by another model."
                raise ImageUnanswered(f"{self._model.name} says neither yes nor no to {question!r}", remedy)
            [yes] = [one for one in found.all if one.text == "yes"]
            chances.append(float(found is yes) if yes.probability is None else yes.probability)
            provenance = provenance or found.provenance
        return chances, provenance


def _check_thresholds(model: Describer, policy: Policy) -> None:
    """Raises CapabilityError where thresholds say nothing about this model's probabilities."""
    if model.name in policy.measured_for:
        return
    add = f'or measure them for {model.name}, and name it in the policy\'s "measured_for".'
    if policy.measured_for:
        raise CapabilityError(
            f"the thresholds of {policy.name} were measured for {', '.join(policy.measured_for)}, not for {model.name}",
            f"Use {policy.measured_for[0]}, {add}",
        )
    if model.name == BUILTIN:
        raise CapabilityError(
            f"{model.name} is too small to judge by the thresholds of {policy.name}: it might block a cat",
            f"Use a model that can, such as blip-itm-base-coco or blip-vqa-base, {add}",
        )


def _score(label: Label, told: Mapping[str, float]) -> Score:
    likeliest = max(label.descriptions, key=told.__getitem__)
    return Score(label.name, told[likeliest], likeliest, label.threshold, label.action)


def _decide(scores: Sequence[Score]) -> tuple[Decision, str]:
    """What follows from the scores, and the reason in words."""
    reached = sorted((one for one in scores if one.reached), key=lambda one: -HARDNESS[one.action])
    if reached:
        reasons = [
            f"{one.label}: {one.probability:.2f} that it shows {one.description!r}, "
            f"{one.action} from {one.threshold:g} on"
            for one in reached
        ]
        return reached[0].action, "; ".join(reasons)
    nearest = max(scores, key=lambda one: one.probability / one.threshold)
    return (
        "allow",
        f"no label reached its threshold; nearest was {nearest.label} with {nearest.probability:.2f} of "
        + (f"{nearest.threshold:g}"),
    )


# -------------------------------------------------------------------------------------------------------------- files


def shipped_policies() -> list[str]:
    """Names of the policies that come with Seesay."""
    return sorted(path.stem for path in SHIPPED.glob("*.toml"))


def read_policy(source: str | Path) -> Policy:
    """The policy in a TOML file, or one that comes with Seesay, by its name. Raises UsageError, with the place."""
    path = SHIPPED / f"{source}.toml" if str(source) in shipped_policies() else Path(source)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        names = ", ".join(shipped_policies())
        raise UsageError(f"No policy {source}", f"Name a TOML file, or one that comes with Seesay: {names}.") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}", "Correct the file.") from error
    try:
        return _policy(content, path.stem)
    except UsageError as error:
        raise UsageError(f"{path}: {error}", error.remedy) from error


def _policy(content: Mapping[str, Any], name: str) -> Policy:
    _known(content, {"name": str, "summary": str, "measured_for": list, "labels": list}, "the policy")
    labels = []
    for entry in content.get("labels", ()):
        if not isinstance(entry, dict):
            raise UsageError("labels are tables", "Begin each with [[labels]].")
        kinds = {"name": str, "descriptions": list, "threshold": (int, float), "action": str}
        _known(entry, kinds, f"label {entry.get('name', '')!r}")
        descriptions = tuple(map(str, entry.get("descriptions", ())))
        if "threshold" not in entry:
            raise UsageError(f"label {entry.get('name', '')!r} has no threshold", "Give it one: threshold = 0.5")
        labels.append(
            Label(str(entry.get("name", "")), descriptions, float(entry["threshold"]), entry.get("action", "review"))
        )
    measured_for = tuple(map(str, content.get("measured_for", ())))
    return Policy(str(content.get("name", name)), tuple(labels), str(content.get("summary", "")), measured_for)


def _known(content: Mapping[str, Any], kinds: Mapping[str, Any], where: str) -> None:
    """Raises UsageError for a key that means nothing, or a value of another kind."""
    if unknown := sorted(content.keys() - kinds.keys()):
        raise UsageError(f"{where} has {', '.join(unknown)}", f"Known are {', '.join(kinds)}.")
    for key, value in content.items():
        if not isinstance(value, kinds[key]) or isinstance(value, bool):
            raise UsageError(f"{where}: {key} = {value!r} is of the wrong kind", "Look at the shipped policies.")
