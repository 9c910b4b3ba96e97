"""Questions of a data set, and a step on some of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from seesay.blip.model import Blip
from seesay.training.answering import answer_loss
from seesay.training.batches import Drawn
from seesay.training.loop import Step
from seesay.training.prepare import Asked

TERSE = 0.2
"""Share of the questions that are asked without their question mark, as people do."""


@dataclass(frozen=True, slots=True)
class Questions:
    """What is asked about photographs."""

    of: Mapping[str, Sequence[Asked]]
    """Each photograph's questions with their answers."""
    mark: int
    """The token of the question mark."""

    def step(self, model: Blip, drawn: Drawn, each: int, smoothing: float) -> Step:
        """A step on `each` questions of every photograph, or as many as it has."""
        asked = [self._draw(drawn.rng, self.of[name], each) for name in drawn.names]
        flat = [(image, *question) for image, own in enumerate(asked[drawn.mine]) for question in own]
        images, questions, answers = zip(*flat, strict=True)
        loss = answer_loss(model, model.encode_map(drawn.maps), questions, images, answers, smoothing)
        return Step(loss * len(flat) / sum(map(len, asked)), {"answers": loss.item()})

    def _draw(self, rng: np.random.Generator, questions: Sequence[Asked], each: int) -> list[Asked]:
        """Some of a photograph's questions, each once."""
        found = []
        for i in rng.permutation(len(questions))[:each]:
            ids, answers = questions[int(i)]
            terse = ids[-1] == self.mark and rng.random() < TERSE
            found.append((ids[:-1] if terse else ids, answers))
        return found
