"""Verdicts of small random models: what decides, what is said of it, and what a policy may hold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import seesay
from scripted import Scripted
from seesay.describe import Blip
from seesay.moderation import Label, Moderator, Policy, read_policy, shipped_policies
from tiny_models import tiny_model

LABELS = (
    Label("cats", ("a red cat", "a small cat"), 0.5, "block"),
    Label("boats", ("a boat on the water",), 0.5),
    Label("trees", ("a green tree",), 0.5),
)
POLICY = Policy("test", LABELS)


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("models")

    def load(task: str) -> Blip:
        path = folder / task
        if not path.exists():
            tiny_model(path, task)
        return seesay.load(path, precision="fp32", threads=1, cache=folder / "cache")

    return load


@pytest.fixture
def picture() -> Image.Image:
    return Image.fromarray(np.random.default_rng(2).integers(0, 255, (40, 60, 3), np.uint8))


def at(policy: Policy, **thresholds: float) -> Policy:
    labels = [replace(label, threshold=thresholds.get(label.name, 1.0)) for label in policy.labels]
    return replace(policy, labels=tuple(labels))


def test_scores_are_those_of_the_matching_head(load, picture: Image.Image) -> None:
    model = load("match")
    told = Moderator(model, POLICY).judge(picture)
    for score, label in zip(told.scores, LABELS, strict=True):
        chances = {text: model.match(picture, text).probability for text in label.descriptions}
        assert score.probability == pytest.approx(max(chances.values()), abs=1e-5)
        assert score.description == max(chances, key=chances.__getitem__)
        assert score.reached == (score.probability >= label.threshold)
    assert told.provenance is not None
    assert told.provenance.model == model.name
    assert told.policy == "test"


def test_the_hardest_of_the_reached_decides(load, picture: Image.Image) -> None:
    model = load("match")
    chances = {one.label: one.probability for one in Moderator(model, POLICY).judge(picture).scores}
    assert max(chances.values()) < 1
    nothing = Moderator(model, at(POLICY)).judge(picture)
    nearest = max(chances, key=chances.__getitem__)
    assert nothing.decision == "allow"
    assert nothing.reason == f"no label reached its threshold; nearest was {nearest} with {chances[nearest]:.2f} of 1"
    review = Moderator(model, at(POLICY, boats=chances["boats"])).judge(picture)
    assert (review.decision, [one.label for one in review.scores if one.reached]) == ("review", ["boats"])
    assert review.reason.startswith(f"boats: {chances['boats']:.2f} that it shows 'a boat on the water', review from")
    both = Moderator(model, at(POLICY, boats=chances["boats"], cats=chances["cats"])).judge(picture)
    assert both.decision == "block"
    assert both.reason.startswith("cats:")
    assert "; boats:" in both.reason


def test_a_model_that_answers_judges_by_its_yes(load, picture: Image.Image) -> None:
    told = Moderator(load("answer"), POLICY).judge(picture)
    assert [one.probability for one in told.scores] == pytest.approx([0.5] * 3), "yes and no are one unknown word here"
    asked: list[str] = []

    def reply(question: str) -> str:
        asked.append(question)
        return "yes" if "boat" in question else "no"

    told = Moderator(Scripted(reply), POLICY).judge(picture)
    assert [one.probability for one in told.scores] == [0, 1, 0]
    assert "does this picture show a small cat?" in asked
    assert len(asked) == 4


def test_a_model_that_declines_has_not_allowed(picture: Image.Image) -> None:
    judge = Moderator(Scripted(lambda question: "I cannot help with that" if "boat" in question else "no"), POLICY)
    with pytest.raises(seesay.ImageUnanswered, match=r"neither yes nor no to .*boat") as told:
        judge.judge(picture)
    assert told.value.remedy
    assert isinstance(judge.verdicts([picture])[0], seesay.ImageError)


def test_the_picture_is_described_by_whoever_can(load, picture: Image.Image) -> None:
    both, match, captioner = load("pretrain"), load("match"), load("caption")
    own = Moderator(both, POLICY, captioner).judge(picture)
    assert own.description is not None
    assert own.description.text == both.caption(picture).text
    other = Moderator(match, POLICY, captioner).judge(picture)
    assert other.description is not None
    assert other.description.text == captioner.caption(picture).text
    assert Moderator(match, POLICY).judge(picture).description is None


def test_a_model_that_only_captions_cannot_judge(load) -> None:
    with pytest.raises(seesay.CapabilityError, match="cannot judge") as told:
        Moderator(load("caption"), POLICY)
    assert "blip-itm-base-coco" in told.value.remedy


def test_the_built_in_model_judges_by_no_thresholds_but_its_own() -> None:
    """It may say of a cat that it is violent; so it says nothing until somebody measured where it can be believed."""
    model = seesay.load()
    for name in shipped_policies():
        with pytest.raises(seesay.CapabilityError, match=rf"{model.name} is too small .* {name}") as told:
            Moderator(model, read_policy(name))
        assert "blip-itm-base-coco" in told.value.remedy
        assert "measured_for" in told.value.remedy
    cat = Path(seesay.__file__).parent / "builtin" / "cat.jpg"
    labels = (Label("cats", ("a cat",), 0.5, "block"), Label("bikes", ("a man rides a bike",), 0.5))
    own = Moderator(model, Policy("own", labels, measured_for=(model.name,))).judge(cat)
    assert (own.decision, [one.label for one in own.scores if one.reached]) == ("block", ["cats"])


def test_thresholds_that_were_measured_for_other_models_are_not_used(load) -> None:
    model = load("match")
    with pytest.raises(seesay.CapabilityError, match=rf"measured for blip-itm-base-coco, not for {model.name}") as told:
        Moderator(model, replace(POLICY, measured_for=("blip-itm-base-coco",)))
    assert told.value.remedy.startswith("Use blip-itm-base-coco, or measure them")
    Moderator(model, replace(POLICY, measured_for=("blip-itm-base-coco", model.name)))


def test_a_broken_picture_costs_only_its_own_verdict(load, picture: Image.Image) -> None:
    good, broken = Moderator(load("match"), POLICY).verdicts([picture, b"no picture"])
    assert not isinstance(good, seesay.ImageError)
    assert isinstance(broken, seesay.ImageUnreadable)


@pytest.mark.parametrize("name", shipped_policies())
def test_every_shipped_policy_can_be_judged_by(name: str, load, picture: Image.Image) -> None:
    policy = read_policy(name)
    assert policy.name == name
    assert policy.summary
    told = Moderator(load("match"), policy).judge(picture)
    assert len(told.scores) == len(policy.labels)


def test_there_are_shipped_policies() -> None:
    assert shipped_policies() == ["family-site", "marketplace"]


GOOD = '[[labels]]\nname = "a"\ndescriptions = ["a cat"]\nthreshold = 0.5\n'


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        ("", "labels"),
        ("labels = 3", "labels"),
        ("labels = [3]", "tables"),
        (GOOD + "surprise = 1", "surprise"),
        ('measured_for = "seesay-small"\n' + GOOD, "measured_for"),
        (GOOD + GOOD, "'a', 'a'"),
        (GOOD.replace("0.5", "1.5"), "1.5"),
        (GOOD.replace("0.5", "true"), "threshold"),
        (GOOD.replace("threshold = 0.5\n", ""), "no threshold"),
        (GOOD.replace('["a cat"]', "[]"), "describes nothing"),
        (GOOD.replace('["a cat"]', '" a cat"'), "descriptions"),
        (GOOD + 'action = "delete"', "delete"),
        ("name = [", "cannot be read"),
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused_with_its_place(tmp_path: Path, content: str, wrong: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(content)
    with pytest.raises(seesay.UsageError, match=wrong) as told:
        read_policy(path)
    assert str(path) in str(told.value)
    assert told.value.remedy


def test_a_policy_without_a_name_is_called_as_its_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('measured_for = ["blip-base"]\n' + GOOD)
    assert read_policy(path).name == "mine"
    assert read_policy(path).measured_for == ("blip-base",)
    with pytest.raises(seesay.UsageError, match="nowhere") as told:
        read_policy("nowhere.toml")
    assert "marketplace" in told.value.remedy
