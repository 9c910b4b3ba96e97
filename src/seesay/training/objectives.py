"""What is minimised: the language-modelling loss, on photographs and on captions alone."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from seesay.blip.model import Blip
from seesay.training.batches import Captions, Part, PhotoBatch, Photos, Rows, TextBatch
from seesay.training.loop import Step, Steps
from seesay.training.recipe import LanguageStage


class Source(Enum):
    """What a step of language modelling is taken on."""

    PHOTOS = 0
    OBJECTS = 1
    TEXTS = 2


def language_modelling(
    model: Blip, rows: Rows, features: Tensor, features_mask: Tensor | None, smoothing: float
) -> Tensor:
    """Mean cross-entropy per token in nats, labels smoothed (paper, section 3.3: 0.1)."""
    return token_loss(
        model, model.decode_states(rows.ids, rows.seen, features, features_mask, rows.positions), rows, smoothing
    )


def token_loss(model: Blip, states: Tensor, rows: Rows, smoothing: float) -> Tensor:
    """The same of the decoder's states (R, T, D)."""
    wanted = rows.targets >= 0
    logits = model.text_decoder.logits(states[wanted])
    return F.cross_entropy(logits.float(), rows.targets[wanted], label_smoothing=smoothing)


def photo_loss(model: Blip, batch: PhotoBatch, smoothing: float, hide: float) -> Tensor:
    """Loss of captions given their photographs, some of them hidden in part."""
    features = model.encode_map(batch.maps)
    return language_modelling(model, batch.rows, features, left_to_see(model, features, hide), smoothing)


def left_to_see(model: Blip, features: Tensor, hide: float) -> Tensor:
    """(B, N) bool of features (B, N, D): with probability `hide` each, an image's patches or its concepts are hidden.

    So the decoder learns to read both, instead of the one that is easier.
    """
    images, tokens, _ = features.shape
    concepts = model.config.vision.concept_tokens
    draw = torch.rand(images, 1, device=features.device)
    concept = torch.arange(tokens, device=features.device)[None] >= tokens - concepts
    return ~(((draw < hide) & ~concept) | ((draw > 1 - hide) & concept))


def text_loss(model: Blip, batch: TextBatch, smoothing: float) -> Tensor:
    """Loss of captions given only the concept words that a classifier might have seen."""
    features = model.concept_features(batch.concepts, batch.probabilities)
    return language_modelling(model, batch.rows, features, None, smoothing)


def language_steps(
    model: Blip, stage: LanguageStage, photos: Photos, objects: Photos, texts: Captions, seed: int, part: Part
) -> Steps:
    """Steps of the language-modelling stage, each on one of its three sources."""
    sources = language_plan(stage, seed)

    def steps(start: int) -> Iterator[Step]:
        config = model.config.text
        taken = {source: int((sources[:start] == source.value).sum()) for source in Source}
        of_photos = photos.batches(stage.images, stage.captions_per_photo, config, taken[Source.PHOTOS], part)
        of_objects = objects.batches(stage.images, stage.captions_per_object, config, taken[Source.OBJECTS], part)
        of_texts = texts.batches(stage.texts, config, taken[Source.TEXTS], part)
        for source in map(Source, sources[start:]):
            if source is Source.TEXTS:
                told = next(of_texts)
                loss, share = text_loss(model, told, stage.smoothing), told.share
            else:
                shown = next(of_photos if source is Source.PHOTOS else of_objects)
                loss, share = photo_loss(model, shown, stage.smoothing, stage.hide), shown.share
            yield Step(loss * share, {source.name.lower(): loss.item()})

    return steps


def language_plan(stage: LanguageStage, seed: int) -> NDArray[np.int64]:
    """(steps,) the `Source` of each step, drawn with the shares that its part of the stage has."""
    draws = np.random.default_rng(seed).random(stage.optimisation.steps)
    plan = np.full(len(draws), Source.TEXTS.value)
    start = 0
    for mixed in stage.mixture:
        place = slice(start, mixed.until)
        plan[place][draws[place] < mixed.photos + mixed.objects] = Source.OBJECTS.value
        plan[place][draws[place] < mixed.photos] = Source.PHOTOS.value
        start = mixed.until
    return plan
