"""The road of a photo: what goes in, what comes out, and what stands beside it."""

from __future__ import annotations

import sys
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import seesay
from seesay.blip.config import VisionConfig
from seesay.describe import CERTAIN, Blip, CaptionOptions, _forms
from seesay.engine.base import Encoded


@pytest.fixture(scope="module")
def model(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Blip:
    return seesay.load(checkpoint, precision="fp32", threads=1, cache=tmp_path_factory.mktemp("cache"))


@pytest.fixture
def red() -> Image.Image:
    return Image.new("RGB", (40, 30), "red")


def test_a_caption_says_how_sure_and_how_made(model: Blip, red: Image.Image) -> None:
    caption = model.caption(red, max_new_tokens=5)
    assert caption.text == str(caption)
    assert caption.text.split()
    assert caption.score == pytest.approx(np.mean(caption.token_scores))
    assert caption.score < 0
    made = caption.provenance
    assert made is not None
    assert (made.model, made.precision, made.engine) == (model.name, "fp32", "onnx")
    assert made.options["max_new_tokens"] == 5
    assert made.milliseconds > 0
    assert made.versions["seesay"] == seesay.__version__
    assert "onnxruntime" in made.versions
    with pytest.raises(FrozenInstanceError):
        caption.text = "mine"  # type: ignore[misc]


def test_paths_bytes_arrays_and_pictures_are_the_same_picture(model: Blip, red: Image.Image, tmp_path: Path) -> None:
    path = tmp_path / "red.png"
    red.save(path)
    sources = [path, str(path), path.read_bytes(), np.asarray(red), red]
    assert len({model.caption(source).text for source in sources}) == 1


def test_a_seen_picture_is_not_encoded_again(model: Blip, red: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = model.caption(red)
    seen = model.see(red)
    monkeypatch.setattr(type(model.engine), "encode", lambda *_: pytest.fail("was encoded again"))
    again = model.caption(seen)
    assert (again.text, again.token_scores) == (whole.text, whole.token_scores)


def test_another_models_seen_picture_is_refused(model: Blip, red: Image.Image) -> None:
    other = replace(model.see(red), model="somebody else")
    with pytest.raises(seesay.UsageError, match="somebody else"):
        model.caption(other)


def test_count_gives_alternatives_best_first(model: Blip, red: Image.Image) -> None:
    caption = model.caption(red, count=3, beams=4)
    assert len(caption.all) == 3
    assert len({one.tokens for one in caption.all}) == 3
    first, second = (model.caption(red, count=3, nucleus=True, seed=1) for _ in range(2))
    assert [one.tokens for one in first.all] == [one.tokens for one in second.all]


def test_the_prompt_opens_the_caption(model: Blip, red: Image.Image) -> None:
    assert model.caption(red, prompt="The red boat").text.startswith("the red boat")


def test_a_prompt_that_cannot_be_spelled_is_said_to_be_lost(model: Blip, red: Image.Image) -> None:
    assert "prompt not kept" not in model.caption(red, prompt="the red boat").flags
    assert all("prompt not kept" in one.flags for one in model.caption(red, prompt="the \u2603", count=2).all)


@pytest.mark.parametrize("changes", [{"bad_words": "cup"}, {"bad_words": ("",)}, {"prompt": 5}])
def test_texts_of_another_kind_are_refused(model: Blip, red: Image.Image, changes: dict[str, object]) -> None:
    """A text is no tuple of words: its letters would be forbidden, and the word not."""
    with pytest.raises(seesay.UsageError, match=next(iter(changes))):
        model.caption(red, **changes)


def test_bad_words_never_come(model: Blip, red: Image.Image) -> None:
    usual = model.caption(red).text.split()
    without = model.caption(red, bad_words=tuple(set(usual)))
    assert not set(usual) & set(without.text.split())


def test_a_batch_gives_errors_their_places(model: Blip, red: Image.Image) -> None:
    first, broken, missing, last = model.captions([red, b"no picture", "nowhere.jpg", model.see(red)])
    assert isinstance(broken, seesay.ImageUnreadable)
    assert isinstance(missing, seesay.ImageNotFound)
    assert isinstance(first, seesay.Caption)
    assert isinstance(last, seesay.Caption)
    assert first.text == last.text == model.caption(red).text


def test_a_batch_of_nothing_is_nothing(model: Blip) -> None:
    assert model.captions([]) == []


def test_unknown_options_are_named(model: Blip, red: Image.Image) -> None:
    with pytest.raises(seesay.UsageError, match="beem"):
        model.caption(red, beem=3)


def test_degenerate_captions_are_tried_again_and_marked(model: Blip) -> None:
    """This random model goes on for ever; under the rules of the second attempt it comes to an end for this colour."""
    caption = model.caption(Image.new("RGB", (40, 30), "blue"))
    assert "retried" in caption.flags
    assert "cut off" not in caption.flags


def test_a_second_attempt_keeps_the_length_that_was_asked_for(model: Blip, red: Image.Image) -> None:
    caption = model.caption(red, max_new_tokens=2)
    assert "cut off" in caption.flags
    assert len(caption.tokens) == 2


def test_what_the_image_network_is_certain_of_must_be_named(model: Blip, red: Image.Image) -> None:
    """The constraint as the hybrid model sets it, on a plain model that is told what it saw."""
    words = ("horse", "boat")
    vision = replace(model.checkpoint.config.vision, embedding="efficientnet_lite2", concept_words=words)
    config = replace(model.checkpoint.config, vision=vision)
    knowing = Blip(replace(model.checkpoint, config=config), model.engine, model.name)
    features = model.see(red).encoded.features

    def told(horse: float, boat: float) -> seesay.Seen:
        return seesay.Seen(Encoded(features, np.array([[horse, boat]], np.float32)), model.name)

    def said(horse: float, boat: float, **options: object) -> set[str]:
        return set(knowing.caption(told(horse, boat), max_new_tokens=8, **options).text.split())

    usual = set(model.caption(red, max_new_tokens=8).text.split())
    for word, seen in (("horse", (CERTAIN + 0.1, 0.0)), ("boat", (0.0, CERTAIN + 0.1))):
        assert word not in usual, "choose another seed: the test shows nothing"
        assert word in said(*seen)
        assert word not in said(*seen, name_objects=False)
    assert said(CERTAIN - 0.1, 0.0) == usual


def test_words_that_the_vocabulary_cannot_spell_are_not_demanded(model: Blip) -> None:
    assert _forms("cat", model.tokenizer) == ((model.tokenizer.encode("cat")[0],),), "cats cannot be spelled here"
    assert _forms("zebra", model.tokenizer) == ()


def test_options_keep_what_the_search_checks() -> None:
    with pytest.raises(seesay.UsageError):
        CaptionOptions(beams=0)
    assert VisionConfig().concept_words == ()


def test_the_torch_engine_without_torch_names_the_extra(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "seesay.engine.torch", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(seesay.MissingExtra) as caught:
        seesay.load(checkpoint, engine="torch")
    assert "seesay[torch]" in caught.value.remedy
