"""A trainer that says what is wrong: figures of a run go in, alarms come out, each with its reason and what to try.

Each `Detector` watches for one thing over the figures that steps and validations bring, and speaks once. What it
cannot see: a fault whose figures look right, such as captions of the right photographs that say nothing true of them.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import inf, isfinite, log
from statistics import fmean
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

MATCHING_PRIOR = log(3) - 2 / 3 * log(2)
"""0.6365 nats: the entropy of 1/3. The matching loss sees one pair that fits and two that do not, and a head that knows
nothing but that has exactly this loss."""

PATIENCE = 200
"""Steps after which a head that has learnt nothing has collapsed: at a class prior every head stays for a while."""

Figures = Mapping[str, float]
"""What a step or a validation says of itself, by name; detectors take what they know and leave the rest."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something is wrong with a run."""

    what: str
    since: int
    """The step from which it was seen; 0 is before the first."""
    why: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what} (since step {self.since}): {self.why} Try: {self.remedy}"

    def record(self) -> dict[str, str | int]:
        """For the log."""
        return asdict(self)


class Detector(Protocol):
    """Watches for one thing."""

    def observe(self, step: int, figures: Figures) -> Alarm | None:
        """The alarm, where these figures complete the evidence."""
        ...


class Monitor:
    """All detectors, each of which speaks once in a run."""

    def __init__(self, detectors: Iterable[Detector]) -> None:
        self.waiting = list(detectors)

    def observe(self, step: int, figures: Figures) -> list[Alarm]:
        """Alarms that these figures raise."""
        heard = [(detector, detector.observe(step, figures)) for detector in self.waiting]
        raised = [alarm for _, alarm in heard if alarm]
        self.waiting = [detector for detector, alarm in heard if alarm is None]
        return raised


def detectors(warm_up: int, steps: int) -> list[Detector]:
    """Those that any run of so many steps can have; figures that it does not bring raise nothing.

    What is drawn at random begins collapsed: such heads are judged after the warm-up, over a twentieth of the run.
    """
    patience = max(PATIENCE, steps // 20)
    return [
        CollapsedMatching(warm_up, patience),
        CollapsedFeatures(warm_up, patience),
        StaleQueue(warm_up),
        RisingLoss(),
        UnseenImages(),
        OneCaption(),
    ]


def no_gain(score: str, first: float) -> Alarm:
    """For a stage whose best validation was that of the weights it began with."""
    return Alarm(
        "the model is as it began",
        0,
        f"no validation had a better {score} than the {first:.2f} of the weights that the stage began with, so these "
        "are what it leaves.",
        "other data than the model was already trained on; a lower learning rate; for captions --self-critical STEPS.",
    )


# ------------------------------------------------------------------------------------------------------ one by one


@dataclass(slots=True)
class CollapsedMatching:
    """The matching head says the class prior whatever it is shown: figure "itm", its loss in nats."""

    warm_up: int = 0
    window: int = PATIENCE
    tolerance: float = 0.012
    _recent: deque[float] = field(default_factory=deque)

    def observe(self, step: int, figures: Figures) -> Alarm | None:
        if "itm" not in figures or step <= self.warm_up:
            return None
        _push(self._recent, figures["itm"], self.window)
        if len(self._recent) < self.window:
            return None
        mean = fmean(self._recent)
        spread = fmean(abs(value - mean) for value in self._recent)
        if abs(mean - MATCHING_PRIOR) > self.tolerance or spread > self.tolerance:
            return None
        return Alarm(
            "the matching head has collapsed",
            step - self.window + 1,
            f"Its loss stays at {mean:.4f} nats; {MATCHING_PRIOR:.4f} is what answering 1/3 to everything costs, one "
            "pair in three being a match. It no longer looks at its input.",
            "a lower learning rate or a longer warm-up; starting the head anew; checking that captions belong to their "
            "images; random negatives instead of hard ones for the first thousand steps.",
        )


@dataclass(slots=True)
class CollapsedFeatures:
    """All embeddings point one way: figures "image_similarity" and "text_similarity" (`mean_similarity`)."""

    warm_up: int = 0
    window: int = PATIENCE
    limit: float = 0.97
    _recent: dict[str, deque[float]] = field(default_factory=dict)

    def observe(self, step: int, figures: Figures) -> Alarm | None:
        for side in ("image", "text"):
            if (name := f"{side}_similarity") not in figures or step <= self.warm_up:
                continue
            recent = self._recent.setdefault(name, deque())
            _push(recent, figures[name], self.window)
            if len(recent) == self.window and min(recent) > self.limit:
                return Alarm(
                    f"the {side} features have collapsed to one direction",
                    step - self.window + 1,
                    f"Two different {side}s of a batch have embeddings of cosine {fmean(recent):.3f} in the mean, so "
                    "nothing can be told apart by them.",
                    "a lower learning rate; a larger batch or queue (more negatives); checking that the images of a "
                    "batch differ and that the temperature has not grown.",
                )
        return None


@dataclass(slots=True)
class StaleQueue:
    """The queue's features are no longer what the momentum encoder says: figure "queue_agreement" (`QueueProbe`)."""

    warm_up: int = 0
    window: int = 3
    limit: float = 0.5
    _recent: deque[float] = field(default_factory=deque)

    def observe(self, step: int, figures: Figures) -> Alarm | None:
        if "queue_agreement" not in figures or step <= self.warm_up:
            return None
        _push(self._recent, figures["queue_agreement"], self.window)
        if len(self._recent) < self.window or fmean(self._recent) > self.limit:
            return None
        return Alarm(
            "the queue is full of stale features",
            step,
            f"What has waited longest in it has a cosine of {fmean(self._recent):.2f} to what the momentum encoder "
            "says of the same sample today: most negatives are noise.",
            "a shorter queue, a larger momentum (0.995 or more), or a lower learning rate.",
        )


@dataclass(slots=True)
class RisingLoss:
    """The loss has climbed well above where it was: figure "loss", and "learning_rate" for the message.

    The contrastive loss is left out: it rises by itself as its queue fills.
    """

    window: int = 20
    climb: float = 0.3
    """Nats above the lowest mean so far, and ..."""
    factor: float = 1.25
    """... times it: both."""
    _recent: deque[float] = field(default_factory=deque)
    _lowest: float = inf
    _at: int = 0

    def observe(self, step: int, figures: Figures) -> Alarm | None:
        loss = figures["itm"] + figures.get("lm", 0.0) if "itm" in figures else figures.get("loss")
        if loss is None or not isfinite(loss):
            return None
        if self._lowest == inf:
            self._lowest, self._at = loss, step  # no mean yet, but a loss that only rises must be told, too
        _push(self._recent, loss, self.window)
        if len(self._recent) < self.window:
            return None
        mean = fmean(self._recent)
        if mean < self._lowest:
            self._lowest, self._at = mean, step
        if mean < self._lowest + max(self.climb, (self.factor - 1) * abs(self._lowest)):
            return None
        rate = figures.get("learning_rate")
        return Alarm(
            "the learning rate is too high",
            self._at,
            f"The loss, {self._lowest:.2f} around step {self._at}, is {mean:.2f} now"
            + (f" at a learning rate of {rate:.1e}: steps overshoot." if rate else ": steps overshoot."),
            "a third of the learning rate, a longer warm-up, or a smaller clip.",
        )


@dataclass(slots=True)
class UnseenImages:
    """Captions are no likelier with their own image than with another's: figure "image_gain" in nats a token; or no
    better found by it than by chance: figure "recall_gain", recall by that of chance.

    Judged on data that is not trained on: what was learnt by heart proves nothing.
    """

    gain: float = 0.02
    recall: float = 1.3
    patience: int = 3
    """Measurements in a row. A model that has never seen images needs some training before it can be judged."""
    _poor: int = 0
    _since: int = 0

    def observe(self, step: int, figures: Figures) -> Alarm | None:
        if "recall_gain" in figures:
            poor = figures["recall_gain"] <= self.recall
            why = (
                f"Held-out captions and images find each other {figures['recall_gain']:.2f} times as often as by chance"
            )
        elif "image_gain" in figures:
            poor = figures["image_gain"] <= self.gain
            gain = f"{figures['image_gain']:+.3f} nats a token"
            why = f"A held-out caption is {gain} likelier with its own image than with another's"
        else:
            return None
        if not poor:
            self._poor = 0
            return None
        self._since = self._since if self._poor else step
        self._poor += 1
        if self._poor < self.patience:
            return None
        return Alarm(
            "the captions do not match their images",
            self._since,
            f"{why}: what is learnt is language, not what images show.",
            "checking some pairs by eye (a shifted column or a wrong image folder is the usual cause), or cleaning the "
            "data first.",
        )


@dataclass(slots=True)
class OneCaption:
    """The model says the same of every image: figure "distinct", the share of its captions that differ."""

    limit: float = 0.1
    patience: int = 2
    """Validations in a row: in the beginning every model does."""
    _poor: int = 0
    _since: int = 0

    def observe(self, step: int, figures: Figures) -> Alarm | None:
        if "distinct" not in figures:
            return None
        if figures["distinct"] > self.limit:
            self._poor = 0
            return None
        self._since = self._since if self._poor else step
        self._poor += 1
        if self._poor < self.patience:
            return None
        return Alarm(
            "the model says the same of every image",
            self._since,
            f"Only {100 * figures['distinct']:.0f} % of its captions of held-out images differ from one another.",
            "longer training or a higher learning rate if the loss still falls; else a lower one; and checking that "
            "captions are not all alike and that images reach the model.",
        )


# ------------------------------------------------------------------------------------------------- before the first


def check_captions(captions: Sequence[Sequence[str]]) -> list[Alarm]:
    """What is wrong with a data set's captions, given those of each image: repeated over images, or single ones."""
    found: list[Alarm] = []
    images = [set(each) for each in captions if each]
    if len(images) < 10:
        return found
    owners = Counter(caption for each in images for caption in each)
    repeated = sum(any(owners[caption] > max(2, len(images) / 100) for caption in each) for each in images)
    if repeated > len(images) / 5:
        [(commonest, count)] = owners.most_common(1)
        found.append(
            Alarm(
                "captions are repeated",
                0,
                f"{100 * repeated / len(images):.0f} % of the images have a caption that many others have, too; "
                f"{count} have {commonest!r}.",
                "leaving such captions out: they teach one sentence for every image.",
            )
        )
    if sum(len(each) == 1 for each in images) > 0.95 * len(images) and max(map(len, captions)) == 1:
        found.append(
            Alarm(
                "every image has a single caption",
                0,
                f"Each of the {len(images)} images comes with one caption, which is soon known by heart, and CIDEr "
                "against one reference is low and noisy.",
                "fewer steps with stronger augmentation, further captions (several people's, or a captioner's that a "
                "filter lets through), or patience 1.",
            )
        )
    return found


# --------------------------------------------------------------------------------------------- figures from tensors


@torch.no_grad()
def mean_similarity(vectors: Tensor) -> float:
    """Mean cosine of two different rows of (B, D); 1 where all point one way, 0 for a single row."""
    count = len(vectors)
    if count < 2:
        return 0.0
    unit = F.normalize(vectors.float(), dim=-1)
    together = unit.sum(dim=0).square().sum() - unit.square().sum()  # all ordered pairs of different rows
    return together.item() / (count * (count - 1))


@torch.no_grad()
def agreement(stored: Tensor, fresh: Tensor) -> float:
    """Mean cosine of corresponding rows, (B, D) each."""
    return F.cosine_similarity(stored.float(), fresh.float(), dim=-1).mean().item()


def _push(recent: deque[float], value: float, most: int) -> None:
    recent.append(value)
    while len(recent) > most:
        recent.popleft()
