"""The language-modelling loss and the sources of its steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_training import CONFIG, NAMES, PHOTO_CAPTIONS, RECIPE, small_model
from torch.nn import functional as F

from seesay.training.batches import Captions, Photos
from seesay.training.objectives import Source, language_plan, language_steps, photo_loss, text_loss
from seesay.training.recipe import Mixture

TEXT = CONFIG.text


@torch.no_grad()
def test_photo_loss_is_the_mean_over_tokens_of_their_cross_entropy(photos: Photos) -> None:
    model = small_model().eval()
    batch = next(photos.batches(2, 2, TEXT))
    features = model.encode_map(batch.maps)
    losses = []
    for index in range(4):  # each caption in a row of its own
        own = batch.rows.captions == index
        logits = model.decode(batch.rows.ids[own][None], None, features[index // 2][None])
        losses += F.cross_entropy(logits[0], batch.rows.targets[own], label_smoothing=0.1, reduction="none").tolist()
    assert photo_loss(model, batch, 0.1, 0.0).item() == pytest.approx(np.mean(losses), rel=1e-4)


@torch.no_grad()
def test_text_loss_reads_concepts(texts: Captions) -> None:
    model = small_model().eval()
    batch = next(texts.batches(4, TEXT))
    features = model.concept_features(batch.concepts, batch.probabilities)
    logits = model.decode(batch.rows.ids, None, features)
    expected = F.cross_entropy(logits.flatten(0, 1), batch.rows.targets.flatten(), ignore_index=-1)
    assert text_loss(model, batch, 0.0).item() == pytest.approx(expected.item(), rel=1e-4)


@torch.no_grad()
def test_hiding_makes_blind_to_patches_or_to_concepts(photos: Photos) -> None:
    model = small_model().eval()
    batch = next(photos.batches(2, 1, TEXT))
    shown = photo_loss(model, batch, 0.0, 0.0).item()
    torch.manual_seed(0)
    hidden = {round(photo_loss(model, batch, 0.0, 0.5).item(), 6) for _ in range(30)}
    assert 2 <= len(hidden) <= 4  # each of two photographs lacks either its patches or its concepts
    assert all(loss != pytest.approx(shown, abs=1e-7) for loss in hidden)


def test_a_handful_of_captions_is_learned_by_heart(photos: Photos) -> None:
    model = small_model()
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    batch = next(photos.batches(5, 1, TEXT))
    before = photo_loss(model, batch, 0.0, 0.0).item()
    for _ in range(60):
        optimizer.zero_grad()
        loss = photo_loss(model, batch, 0.0, 0.0)
        loss.backward()
        optimizer.step()
    assert before > 3
    assert loss.item() < 0.3  # nats; ln 5 = 1.6 would be left if it could not tell the five photographs apart


def test_the_plan_keeps_the_shares_of_each_part() -> None:
    plan = replace(RECIPE.language.optimisation, steps=4000)
    mixture = (Mixture(until=2000, photos=0.3), Mixture(until=4000, photos=0.5, objects=0.2))
    sources = language_plan(replace(RECIPE.language, optimisation=plan, mixture=mixture), seed=3)
    shares = [[np.mean(half == source.value) for source in Source] for half in np.split(sources, 2)]
    assert shares == [pytest.approx([0.3, 0, 0.7], abs=0.04), pytest.approx([0.5, 0.2, 0.3], abs=0.04)]


def test_steps_started_later_are_the_same_steps(photos: Photos, texts: Captions, maps: Path) -> None:
    stage, model = RECIPE.language, small_model()
    objects = Photos(NAMES, PHOTO_CAPTIONS, maps, seed=2)
    steps = language_steps(model, replace(stage, hide=0.0), photos, objects, texts, 3, (0, 1))
    whole = [dict(step.figures) for step in steps(0)]
    assert len(whole) == stage.optimisation.steps
    assert [dict(step.figures) for step in steps(4)] == whole[4:]
    assert {name for figures in whole for name in figures} == {"photos", "objects", "texts"}
