"""A data folder in miniature, of scikit-image's photographs, and a recipe that runs through all stages in seconds."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from skimage import data as photographs

from seesay.training.recipe import DataRecipe, LanguageStage, Mixture, ModelRecipe, Optimisation, Recipe
from seesay.training.recipe import SelfCriticalStage

RECIPES = Path(__file__).parents[2] / "recipes"

CAPTIONS = {
    "cat": ("A cat looks at the camera .", "a close up of a cat", "A brown cat with green eyes ."),
    "coffee": ("A cup of coffee on a saucer .", "a cup of coffee with a spoon", "Coffee in a cup ."),
    "astronaut": ("A woman in an orange suit smiles .", "an astronaut in a suit", "A woman smiles ."),
    "rocket": ("A rocket stands at night .", "a rocket on its pad", "A rocket before its start ."),
    "man": ("A man with a camera .", "a man takes a photo", "A man stands on the grass ."),
}
TEXTS = [
    *("a dog runs on the grass", "a small bird sits on a tree", "two dogs play with a ball", "a red car on the road"),
    *("a plate of food on a table", "a man rides a horse", "a boat on the water", "a cat sleeps on a bed"),
]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def pictures() -> dict[str, Image.Image]:
    """The photographs that the captions speak of."""
    found = {
        "cat": photographs.chelsea(),
        "coffee": photographs.coffee(),
        "astronaut": photographs.astronaut(),
        "rocket": photographs.rocket(),
        "man": photographs.camera(),
    }
    return {name: Image.fromarray(array).convert("RGB").resize((320, 240)) for name, array in found.items()}


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In the layout that `prepare` reads: each photograph in every part, mirrored here and there."""
    root = tmp_path_factory.mktemp("data")
    write_flickr(root / "flickr8k")
    write_coco(root / "coco")
    write_labelled(root)
    (root / "text").mkdir()
    with gzip.open(root / "text" / "captions_text.txt.gz", "wt", encoding="utf-8") as file:
        file.write("".join(f"{text}\n" for text in (*TEXTS, *TEXTS, "too short")))
    return root


def write_flickr(folder: Path) -> None:
    """cat to man, and the cat and the rocket mirrored for validation."""
    (folder / "images").mkdir(parents=True)
    lines, names = [], []
    for name, picture in pictures().items():
        for suffix, image in (("", picture), ("-mirrored", picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT))):
            file = f"{name}{suffix}.jpg"
            image.save(folder / "images" / file)
            names.append(file)
            lines += [f"{file}#{k}\t{caption}\n" for k, caption in enumerate(CAPTIONS[name])]
    (folder / "captions.txt").write_text("".join(lines), encoding="utf-8")
    held_out = ["cat-mirrored.jpg", "rocket-mirrored.jpg"]
    (folder / "val.txt").write_text("".join(f"{name}\n" for name in held_out), encoding="utf-8")
    (folder / "train.txt").write_text("".join(f"{name}\n" for name in names if name not in held_out), encoding="utf-8")


def write_coco(folder: Path) -> None:
    """The coffee with captions and an object, the cat with an object alone."""
    (folder / "images").mkdir(parents=True)
    images, annotations = [], []
    for number, name in enumerate(("coffee", "cat")):
        pictures()[name].save(folder / "images" / f"{number:012}.jpg")
        images.append({"id": number, "file_name": f"{number:012}.jpg", "objects": [name], "split": "val"})
    for caption in CAPTIONS["coffee"]:
        annotations.append({"image_id": 0, "caption": caption})
    content = {"images": images, "annotations": annotations}
    (folder / "captions.json").write_text(json.dumps(content), encoding="utf-8")


def write_labelled(root: Path) -> None:
    """Caltech's label for a camera; ImageNet's tiger cat (class 282, even) and Egyptian cat (285, odd)."""
    (root / "caltech101" / "images" / "camera").mkdir(parents=True)
    pictures()["man"].save(root / "caltech101" / "images" / "camera" / "image_0001.jpg")
    folder = root / "imagenet_sample"
    (folder / "images").mkdir(parents=True)
    rows = []
    for wordnet_id, label in (("n02124075", "Egyptian cat"), ("n02123159", "tiger cat")):
        pictures()["cat"].save(folder / "images" / f"{wordnet_id}.jpg")
        rows.append(f"{wordnet_id}.jpg\t{label}\t{wordnet_id}\n")
    (folder / "labels.tsv").write_text("".join(rows), encoding="utf-8")


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    """Both towers as they are, with two layers of text and one over the map; eight steps in all."""
    plan = Optimisation(
        steps=6, learning_rate=5e-4, warm_up=2, averaging=0.5, validate_every=3, save_every=3, log_every=1
    )
    return Recipe(
        name="tiny",
        concepts=RECIPES / "concepts.json",
        data=DataRecipe(views=3, least_count=1),
        model=ModelRecipe(image_layers=1, text_layers=2, positions=64),
        language=LanguageStage(
            optimisation=plan,
            mixture=(Mixture(until=2, photos=0.5), Mixture(until=6, photos=0.4, objects=0.3)),
            images=2,
            captions_per_photo=2,
            captions_per_object=2,
            texts=4,
        ),
        self_critical=SelfCriticalStage(
            optimisation=replace(plan, steps=2, learning_rate=1e-5, decay="linear", averaging=0.9),
            images=2,
            samples=3,
            longest=8,
            objects_share=0.5,
            texts_share=0.5,
            objects=2,
            texts=4,
        ),
    )
