"""The joint stage: one model learns to embed, match, caption and answer, its steps taken on several sources in turn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import torch
from numpy.typing import NDArray

from seesay.blip.model import Blip
from seesay.training.answering import answer_loss
from seesay.training.batches import Captions, Drawn, Part, Photos, draw_captions
from seesay.training.loop import Step
from seesay.training.objectives import photo_loss, text_loss
from seesay.training.prepare import Asked
from seesay.training.pretraining import PairObjective, Pairs
from seesay.training.recipe import JointStage

TERSE = 0.2
"""Share of the questions that are asked without their question mark, as people do."""


class Source(Enum):
    """What a step is taken on."""

    PAIRS = 0
    OBJECTS = 1
    TEXTS = 2
    QUESTIONS = 3


@dataclass(frozen=True, slots=True)
class Sources:
    """What there is to learn from."""

    photos: Photos
    objects: Photos
    texts: Captions
    asked: Photos
    """Photographs with questions; those that only have people's come several times."""
    questions: Mapping[str, Sequence[Asked]]


class Joint:
    """Steps without end of the joint stage; which source a step is taken on depends on its number alone."""

    def __init__(
        self,
        model: Blip,
        stage: JointStage,
        sources: Sources,
        objective: PairObjective,
        question_mark: int,
        seed: int,
        part: Part,
    ) -> None:
        self.model, self.stage, self.sources, self.objective = model, stage, sources, objective
        self.question_mark, self.seed, self.part = question_mark, seed, part

    def plan(self, steps: int) -> NDArray[np.int64]:
        """(steps,) the `Source` of each of the first steps."""
        stage = self.stage
        ends = np.cumsum([stage.objects_share, stage.texts_share, stage.questions_share])
        draws = np.random.default_rng(self.seed).random(steps)
        found: NDArray[np.int64] = (np.searchsorted(ends, draws, side="right") + 1) % len(Source)
        return found

    def steps(self, start: int, count: int) -> Iterator[Step]:
        """Those from the `start`-th to the `count`-th."""
        stage, part, config = self.stage, self.part, self.model.config.text
        plan = self.plan(count)
        taken = {source: int((plan[:start] == source.value).sum()) for source in Source}
        pairs = self.sources.photos.draws(stage.images, taken[Source.PAIRS], part)
        each = stage.captions_per_object
        objects = self.sources.objects.batches(stage.images, each, config, taken[Source.OBJECTS], part)
        texts = self.sources.texts.batches(stage.texts, config, taken[Source.TEXTS], part)
        asked = self.sources.asked.draws(stage.images, taken[Source.QUESTIONS], part)
        number = taken[Source.PAIRS]
        for source in map(Source, plan[start:]):
            if source is Source.PAIRS:
                yield self._pairs(next(pairs), number)
                number += 1
            elif source is Source.QUESTIONS:
                yield self._questions(next(asked))
            elif source is Source.OBJECTS:
                shown = next(objects)
                loss = photo_loss(self.model, shown, stage.smoothing, stage.hide)
                yield Step(loss * shown.share, {"objects": loss.item()})
            else:
                told = next(texts)
                loss = text_loss(self.model, told, stage.smoothing)
                yield Step(loss * told.share, {"texts": loss.item()})

    def _pairs(self, drawn: Drawn, number: int) -> Step:
        photos, stage = self.sources.photos, self.stage
        captions = [draw_captions(drawn.rng, photos.captions[name], stage.captions) for name in drawn.names]
        ids = torch.tensor([photos.rows[name] for name in drawn.names[drawn.mine]])
        chosen = [caption for own in captions[drawn.mine] for caption in own]
        return self.objective(Pairs(drawn.maps, ids, chosen, stage.matched), number)

    def _questions(self, drawn: Drawn) -> Step:
        drawn_for = [self._draw(drawn.rng, self.sources.questions[name]) for name in drawn.names]
        mine = drawn_for[drawn.mine]
        flat = [(image, *question) for image, own in enumerate(mine) for question in own]
        features = self.model.encode_map(drawn.maps)
        images, questions, answers = zip(*flat, strict=True)
        loss = answer_loss(self.model, features, questions, images, answers, self.stage.smoothing)
        return Step(loss * len(flat) / sum(map(len, drawn_for)), {"answers": loss.item()})

    def _draw(self, rng: np.random.Generator, questions: Sequence[Asked]) -> list[Asked]:
        """Some of a photograph's questions, each once."""
        chosen = rng.permutation(len(questions))[: self.stage.questions]
        found = []
        for i in chosen:
            ids, answers = questions[int(i)]
            terse = ids[-1] == self.question_mark and rng.random() < TERSE
            found.append((ids[:-1] if terse else ids, answers))
        return found
