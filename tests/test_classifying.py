"""Labels for pictures: what the probabilities are, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import seesay
from seesay.classifying import Classifier
from seesay.describe import Blip
from tiny_models import tiny_model

RED, GREEN = (Image.new("RGB", (40, 30), colour) for colour in ("red", "green"))
LABELS = ("cat", "red boat", "dog", "man on grass")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Blip:
    folder = tmp_path_factory.mktemp("classifier")
    path = tiny_model(folder / "model", "match", seed=1)
    return seesay.load(path, precision="fp32", threads=1, cache=folder / "cache")


def told(found: object) -> dict[str, float]:
    assert isinstance(found, seesay.Classification)
    return {one.label: one.probability for one in found.all}


def softmax(scores: list[float], temperature: float) -> list[float]:
    shares = np.exp(np.array(scores) / temperature)
    return list(shares / shares.sum())


def test_by_contrast_labels_share_one_probability(model: Blip) -> None:
    found = told(Classifier(model, LABELS, ["the {}"]).classify(RED))
    similarities = [model.match(RED, f"the {label}").similarity for label in LABELS]
    expected = softmax(similarities, 0.07)  # type: ignore[arg-type]
    assert found == pytest.approx(dict(zip(LABELS, expected, strict=True)), abs=1e-5)
    assert list(found.values()) == sorted(found.values(), reverse=True)
    assert max(found.values()) - min(found.values()) > 0.05, "labels that are all alike would prove little"


def test_the_temperature_is_the_checkpoints(model: Blip) -> None:
    warmer = replace(model.checkpoint, config=replace(model.checkpoint.config, temperature=0.5))
    one = told(Classifier(model, LABELS).classify(RED))
    other = told(Classifier(Blip(warmer, model.engine, model.name), LABELS).classify(RED))
    assert np.log(one["cat"] / one["dog"]) * 0.07 == pytest.approx(np.log(other["cat"] / other["dog"]) * 0.5, abs=1e-5)


def test_by_match_each_label_has_its_own(model: Blip) -> None:
    found = told(Classifier(model, LABELS, ["the {}"], head="match").classify(GREEN))
    expected = {label: model.match(GREEN, f"the {label}").probability for label in LABELS}
    assert found == pytest.approx(expected, abs=1e-5)
    assert sum(found.values()) > 1.01


def test_of_several_templates_the_mean_counts(model: Blip) -> None:
    templates = ["the {}", "a small {} in the water"]
    by_match = told(Classifier(model, LABELS, templates, head="match").classify(RED))
    vectors = []
    for label in LABELS:
        texts = [template.replace("{}", label) for template in templates]
        mean = np.mean([model.match(RED, text).probability for text in texts])  # type: ignore[list-item]
        assert by_match[label] == pytest.approx(mean, abs=1e-5)
        vector = np.mean([model.embed_text(text).vector for text in texts], axis=0)
        vectors.append(vector / np.linalg.norm(vector))
    similarities = [float(model.embed_image(RED).vector @ vector) for vector in vectors]
    by_contrast = told(Classifier(model, LABELS, templates).classify(RED))
    assert list(map(by_contrast.get, LABELS)) == pytest.approx(softmax(similarities, 0.07), abs=1e-5)


def test_labels_are_read_once_and_errors_keep_their_places(model: Blip, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = Classifier(model, LABELS)
    first = classifier.classify(RED)
    monkeypatch.setattr(type(model.engine), "embed_text", lambda *_: pytest.fail("was read again"))
    again, broken, other = classifier.classifications([RED, b"no picture", model.see(GREEN)])
    assert told(again) == told(first)
    assert isinstance(broken, seesay.ImageUnreadable)
    assert told(other) != told(first)
    assert classifier.classifications([b"no picture", b"nor this"])[1:] != []
    with pytest.raises(seesay.ImageUnreadable):
        classifier.classify(b"no picture")


def test_it_says_how_it_was_made(model: Blip) -> None:
    made = Classifier(model, LABELS).classify(RED).provenance
    assert made is not None
    assert made.options == {"head": "contrast", "templates": ("a photo of a {}",), "temperature": 0.07}
    assert made.milliseconds > 0


@pytest.mark.parametrize(
    ("labels", "changes"),
    [
        ((), {}),
        ("cat", {}),
        (("cat", "cat"), {}),
        (LABELS, {"templates": ()}),
        (LABELS, {"templates": "a {}"}),
        (LABELS, {"templates": ["a photo"]}),
    ],
)
def test_what_cannot_be_meant(model: Blip, labels: Any, changes: dict[str, Any]) -> None:
    with pytest.raises(seesay.UsageError):
        Classifier(model, labels, **changes)


def test_a_captioner_has_no_head_for_it(checkpoint: Path) -> None:
    captioner = seesay.load(checkpoint, precision="fp32", threads=1)
    with pytest.raises(seesay.CapabilityError):
        Classifier(captioner, LABELS)
