"""Answers to questions about images: the question is read beside its image, and its people's answers are written."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from seesay.errors import UsageError
from seesay.evaluation.vqa import Answered, evaluate_answers, people
from seesay.records import Answer
from seesay.training.answering import answer_loss
from seesay.training.loop import Beside, Step
from seesay.training.pictures import Draw
from seesay.training.samples import Asked
from seesay.training.setup import Setup

TOGETHER = 50  # questions answered at a time


class Answering:
    """Each answer's loss counts as often as people gave it."""

    def __init__(self, setup: Setup) -> None:
        self.setup, self.beside = setup, Beside()

    def step(self, draw: Draw) -> Step:
        setup = self.setup
        each = setup.recipe.texts_per_image
        asked = []
        for place in draw.places:
            own = setup.samples[place].questions
            order = [i for _ in range(-(-each // len(own))) for i in draw.rng.permutation(len(own))]
            asked.append([own[i] for i in order[:each]])
        mine, features = asked[draw.mine], setup.features(draw.images)
        loss = self._loss(mine, features, setup.recipe.smoothing)

        @torch.no_grad()
        def blame() -> list[str]:
            rows = range(len(features))
            lost = [i for i in rows if not self._loss(mine[i : i + 1], features[i : i + 1], 0.0).isfinite()]
            return [setup.samples[draw.places[draw.mine][i]].name for i in lost]

        return Step(loss * len(mine) / len(asked), {"loss": loss.item()}, blame)

    def validate(self, most: int | None) -> dict[str, float]:
        """VQAv2's accuracy where it is known how many people gave each answer, and how often one of them was met."""
        setup = self.setup
        pairs = [(place, asked) for place in list(setup.held_out)[:most] for asked in setup.samples[place].questions]
        answered, said = [], []
        with setup.describer() as describer:
            for start in range(0, len(pairs), TOGETHER):
                some = pairs[start : start + TOGETHER]
                places = list(dict.fromkeys(place for place, _ in some))
                seen = dict(zip(places, setup.seen(places), strict=True))
                found = describer.answers([seen[place] for place, _ in some], [asked.text for _, asked in some])
                for (_, asked), answer in zip(some, found, strict=True):
                    assert isinstance(answer, Answer)  # what is seen already cannot be a broken picture
                    said.append(answer.text)
                    answered.append(Answered(answer.text, _given(asked)))
        scores = evaluate_answers(answered)["all"]
        figures = {"accuracy": round(100 * scores.accuracy, 2), "exact": round(100 * scores.exact, 2)}
        return figures | ({"distinct": len(set(said)) / len(said)} if len(said) >= 100 else {})

    def _loss(self, asked: Sequence[Sequence[Asked]], features: Tensor, smoothing: float) -> Tensor:
        """Mean loss of the questions of each row of features."""
        flat = [(image, one) for image, own in enumerate(asked) for one in own]
        return answer_loss(
            self.setup.model,
            features,
            [one.ids for _, one in flat],
            [image for image, _ in flat],
            [one.answers for _, one in flat],
            smoothing,
        )


def _given(asked: Asked) -> tuple[str, ...]:
    """The answers, as often as people gave them where that can be told."""
    try:
        return people(asked.weights)
    except UsageError:
        return tuple(asked.weights)
