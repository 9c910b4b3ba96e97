"""Recipes are checked entry by entry, and those of the repository are good."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_training import RECIPES

from seesay.errors import UsageError
from seesay.training.concepts import read_concepts
from seesay.training.recipe import Mixture, read_recipe

GOOD = (RECIPES / "seesay-small.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_published_recipes_can_be_run(path: Path) -> None:
    recipe = read_recipe(path)
    assert recipe.name == path.stem
    assert len(read_concepts(recipe.concepts).classes) == 1000


def test_entries_arrive_where_they_belong() -> None:
    recipe = read_recipe(RECIPES / "seesay-small.yaml")
    assert recipe.language.mixture[0] == Mixture(until=400, photos=0.35, objects=0.0)
    assert recipe.self_critical.optimisation.decay == "linear"
    assert recipe.concepts == RECIPES / "concepts.json"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("  warm_up: 150", "  warmup: 150", "language.optimisation.warmup"),
        ("name: seesay-small", "title: seesay-small", "title"),
        ("    learning_rate: 5.0e-4\n", "", "language.optimisation.learning_rate"),
        ("captions_per_photo: 5", "captions_per_photo: five", "language.captions_per_photo is 'five'"),
        ("captions_per_photo: 5", "captions_per_photo: 0", "language.captions_per_photo is 0"),
        ("captions_per_photo: 5", "captions_per_photo: true", "language.captions_per_photo is True"),
        ("dropout: 0.1", "dropout: 1.5", "model.dropout is 1.5"),
        ("decay: linear", "decay: steep", "self_critical.optimisation.decay is 'steep'"),
        ("until: 3200", "until: 3100", r"mixture ends at \[400, 1000, 3100\]"),
        ("until: 1000", "until: 400", r"mixture ends at \[400, 400, 3200\]"),
        ("photos: 0.66", "photos: 0.96", r"mixture\[2\]"),
        ("samples: 5", "samples: 1", "self_critical.samples is 1"),
        ("warm_up: 20", "warm_up: -1", "self_critical.optimisation.warm_up is -1"),
        ("questions_share: 0.14", "questions_share: 0.85", "objects, texts and questions"),
        ("objects_share: 0.5", "objects_share: 0.8", "objects, texts and questions"),  # beside the reward
        ("concepts: concepts.json", "concepts: 3", "concepts is 3"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in GOOD
    path = tmp_path / "recipe.yaml"
    path.write_text(GOOD.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(UsageError, match=told) as caught:
        read_recipe(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(("content", "told"), [("a: [", "not YAML"), ("- a list", "holds"), ("", "holds None")])
def test_what_is_no_recipe_is_refused(tmp_path: Path, content: str, told: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=told):
        read_recipe(path)
    with pytest.raises(UsageError, match="cannot be read"):
        read_recipe(tmp_path / "none.yaml")
