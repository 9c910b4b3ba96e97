"""Alarms: each is caused in a run as it would be by a user's mistake, and none is raised where all is well."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_tuning import KINDS, PLAN, TUNING, captions_of, write_dataset, write_start

from seesay.blip.checkpoint import Checkpoint
from seesay.errors import ModelError
from seesay.training.check import Checked
from seesay.training.diagnostics import (
    MATCHING_PRIOR,
    Alarm,
    CollapsedMatching,
    Monitor,
    RisingLoss,
    UnseenImages,
    agreement,
    check_captions,
    detectors,
    mean_similarity,
)
from seesay.training.pictures import Pixels
from seesay.training.tune import tune
from seesay.training.tuning_recipe import Contrastive, Tuning

Rows = list[dict[str, object]]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return write_start(tmp_path_factory.mktemp("start") / "tiny")


def split(rows: Rows) -> None:
    """Every fourth row is held out: twelve of 48, one of each kind."""
    for number, row in enumerate(rows):
        row["split"] = "val" if number // len(KINDS) == 3 else "train"


def run(recipe: Tuning, start: Checkpoint, data: Path, output: Path) -> list[Alarm]:
    told: list[Alarm | Checked] = []
    tune(recipe, start, data, output, tell=told.append)
    return [one for one in told if isinstance(one, Alarm)]


def lasting(steps: int, validations: int, rate: float = 3e-3, **changes: object) -> Tuning:
    plan = replace(PLAN, steps=steps, validate_every=steps // validations, learning_rate=rate, save_every=steps)
    return replace(TUNING, optimisation=replace(plan, patience=99), dropout=0.0, augment=False, **changes)  # type: ignore[arg-type]


def test_a_learning_rate_that_is_too_high(start: Checkpoint, tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data").parent
    alarm = run(lasting(25, 1, rate=1.0), start, data, tmp_path / "run")[-1]
    assert alarm.what == "the learning rate is too high"
    assert "at a learning rate of" in alarm.why
    assert "a third of the learning rate" in alarm.remedy
    lines = [json.loads(line) for line in (tmp_path / "run" / "tuning" / "log.jsonl").read_text().splitlines()]
    assert alarm.record() in [line.get("alarm") for line in lines]
    assert f"- alarm: {alarm.what}" in (tmp_path / "run" / "model" / "README.md").read_text()


@pytest.mark.parametrize("shuffled", [True, False])
def test_captions_that_do_not_match_their_images(start: Checkpoint, tmp_path: Path, shuffled: bool) -> None:
    def shuffle(rows: Rows) -> None:
        split(rows)
        captions = [row["captions"] for row in rows]
        random.Random(1).shuffle(captions)
        if shuffled:
            for row, others in zip(rows, captions, strict=True):
                row["captions"] = others

    data = write_dataset(tmp_path / "data", 48, shuffle).parent
    alarms = run(lasting(120, 4), start, data, tmp_path / "run")
    said = {alarm.what: alarm for alarm in alarms if alarm.since}
    if shuffled:
        assert "shifted column" in said["the captions do not match their images"].remedy
    else:
        assert not said  # a sound run raises nothing


def test_one_caption_for_all(start: Checkpoint, tmp_path: Path) -> None:
    def flatten(rows: Rows) -> None:
        split(rows)
        for row in rows:
            row["captions"] = ["a small boat in the water", captions_of("red", "boat")[1]]

    data = write_dataset(tmp_path / "data", 48, flatten).parent
    alarms = {alarm.what: alarm for alarm in run(lasting(60, 2), start, data, tmp_path / "run")}
    assert "100 % of the images" in alarms["captions are repeated"].why
    assert alarms["captions are repeated"].since == 0
    assert "of its captions of held-out images differ" in alarms["the model says the same of every image"].why


def test_single_captions() -> None:
    [alarm] = check_captions([[f"caption {i}"] for i in range(40)])
    assert alarm.what == "every image has a single caption"
    assert check_captions([[f"caption {i}", f"words {i}"] for i in range(40)]) == []


def test_numbers_that_are_not_finite_name_step_and_sample(
    start: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = Pixels.pixels

    def poisoned(self: Pixels, place: int, rng: np.random.Generator | None) -> np.ndarray:
        found = pixels(self, place, rng)
        return found * np.float32("nan") if self.samples[place].name == "13.png" else found

    monkeypatch.setattr(Pixels, "pixels", poisoned)
    data = write_dataset(tmp_path / "data").parent
    told = r"Step \d: the gradients of .* samples whose own loss is not: 13\.png"
    with pytest.raises(ModelError, match=told) as raised:
        tune(lasting(6, 1), start, data, tmp_path / "run")
    assert "Look at these samples" in raised.value.remedy
    last = json.loads((tmp_path / "run" / "tuning" / "log.jsonl").read_text().splitlines()[-1])
    assert last["alarm"]["what"] == "numbers are not finite"


def test_heads_that_have_nothing_to_tell_apart_collapse(
    start: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One picture and one caption under 24 names: matching can but say 1/3, and all embeddings are one."""

    def one(rows: Rows) -> None:
        for row in rows:
            row["captions"] = ["a boat"]

    monkeypatch.setattr("seesay.training.diagnostics.PATIENCE", 50)
    data = write_dataset(tmp_path / "data", 24, one).parent
    for path in (data / "images").iterdir():
        Image.new("RGB", (40, 40), "red").save(path)
    recipe = lasting(80, 1, rate=1e-3, task="retrieval", texts_per_image=1, contrastive=Contrastive(queue=0))
    alarms = {alarm.what: alarm for alarm in run(recipe, start, data, tmp_path / "run")}
    assert "0.6365 is what answering 1/3 to everything costs" in alarms["the matching head has collapsed"].why
    assert any("features have collapsed to one direction" in what for what in alarms)


@pytest.mark.parametrize("fast", [True, False])
def test_a_queue_full_of_stale_features(
    start: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast: bool
) -> None:
    """Towers that follow at once, at a high learning rate, disown what they put into a long queue."""
    monkeypatch.setattr("seesay.training.pairing.ASKED_AGAIN", 5)
    data = write_dataset(tmp_path / "data", 48).parent
    contrastive = Contrastive(queue=40, momentum=0.0 if fast else 0.995)
    rate = 1e-2 if fast else 1e-4
    recipe = lasting(25, 1, rate=rate, task="retrieval", contrastive=contrastive)
    alarms = [alarm.what for alarm in run(recipe, start, data, tmp_path / "run")]
    assert ("the queue is full of stale features" in alarms) is fast


def test_detectors_wait_for_evidence_and_speak_once() -> None:
    monitor = Monitor([CollapsedMatching(0, 5), RisingLoss(window=3)])
    assert [monitor.observe(step, {"itm": MATCHING_PRIOR}) for step in range(1, 5)] == [[]] * 4
    [alarm] = monitor.observe(5, {"itm": MATCHING_PRIOR + 0.001})
    assert alarm.since == 1
    assert monitor.observe(6, {"itm": MATCHING_PRIOR}) == []
    learning = Monitor([CollapsedMatching(0, 5)])
    assert not any(learning.observe(step, {"itm": MATCHING_PRIOR + 0.1 * (-1) ** step}) for step in range(9))
    images = UnseenImages(patience=2)
    figures = [0.0, 0.5, 0.01, -0.02]
    assert [images.observe(step, {"image_gain": gain}) is not None for step, gain in enumerate(figures)] == [
        *(False, False, False, True)
    ]
    assert Monitor(detectors(2, 90)).observe(1, {"anything else": 3.0}) == []


def test_similarity_and_agreement() -> None:
    rows = torch.eye(4)
    assert mean_similarity(rows) == pytest.approx(0)
    assert mean_similarity(torch.ones(3, 5) * torch.tensor([[1.0], [2.0], [3.0]])) == pytest.approx(1)
    assert mean_similarity(torch.tensor([[1.0, 0.0], [-1.0, 0.0]])) == pytest.approx(-1)
    assert mean_similarity(rows[:1]) == 0
    assert agreement(rows, -rows) == pytest.approx(-1)
