"""What training's tests train on: a small model with data for it, and a data folder of scikit-image's photographs."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage import data as photographs

from seesay.blip.config import BlipConfig, TextConfig, VisionConfig
from seesay.blip.model import Blip
from seesay.training.recipe import (
    DataRecipe,
    JointStage,
    LanguageStage,
    Mixture,
    ModelRecipe,
    Optimisation,
    Recipe,
    SelfCriticalStage,
)

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


# A model small enough to train in a test, and data for it that need neither photographs nor towers.

CONFIG = BlipConfig(
    task="caption",
    vision=VisionConfig(
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        image_size=64,
        embedding="efficientnet_lite2",
        concept_tokens=2,
        concept_words=("cat", "dog", "boat"),
    ),
    text=TextConfig(
        vocab_size=40,
        hidden_size=32,
        encoder_hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=16,
        bos_token_id=38,
        eos_token_id=3,
        pad_token_id=0,
        enc_token_id=39,
    ),
)
CLASSES_OF_WORDS = np.zeros((1000, 3), np.float32)
CLASSES_OF_WORDS[0:5, 0] = CLASSES_OF_WORDS[3:9, 1] = CLASSES_OF_WORDS[20, 2] = 1


def small_model(dropout: float = 0.0) -> Blip:
    """Fresh weights, the same each time; image network and classifier frozen as in a run."""
    torch.manual_seed(0)
    model = Blip(CONFIG, dropout)
    model.vision_model.embeddings.backbone.requires_grad_(False)
    concepts = model.vision_model.concepts
    concepts.classifier.requires_grad_(False)
    concepts.words.copy_(torch.from_numpy(CLASSES_OF_WORDS))
    concepts.table.normal_()
    return model


def write_maps(folder: Path) -> None:
    """Two views of six photographs' maps, drawn at random; those of one photograph are alike."""
    rng = np.random.default_rng(0)
    each = rng.integers(0, 200, (6, 1, 1280))
    for view in range(2):
        noise = rng.integers(0, 55, (6, CONFIG.vision.grid_side**2, 1280))
        np.save(folder / f"view{view}.npy", (each + noise).astype(np.uint8))


NAMES = [f"photo {i}" for i in range(6)]
"""Of the photographs in `maps`."""
PHOTO_CAPTIONS = {name: [[5 + i, 12, 20 + i], [6 + i, 13, 14, 21 + i]] for i, name in enumerate(NAMES[:5])}
"""The sixth has none."""


# The data folder and a recipe that uses both towers.


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


def write_questions(folder: Path) -> None:
    """Of the coffee, in DAQUAR's form: pictures go without their suffix, several things are one answer."""
    (folder / "images").mkdir(parents=True)
    pictures()["coffee"].save(folder / "images" / "image1.jpg")
    rows = ["question,answer,image_id", "what is on the saucer,cup_of_coffee,image1"]
    rows.append('what is on the table,"cup, spoon",image1')
    (folder / "qa_train.csv").write_text("\n".join(rows), encoding="utf-8")


def write_data(root: Path) -> None:
    """A folder in the layout that `prepare` reads."""
    write_flickr(root / "flickr8k")
    write_coco(root / "coco")
    write_labelled(root)
    write_questions(root / "daquar")
    (root / "text").mkdir()
    with gzip.open(root / "text" / "captions_text.txt.gz", "wt", encoding="utf-8") as file:
        file.write("".join(f"{text}\n" for text in (*TEXTS, *TEXTS, "too short")))


PLAN = Optimisation(steps=6, learning_rate=5e-4, warm_up=2, averaging=0.5, validate_every=3, save_every=3, log_every=1)
RECIPE = Recipe(  # both towers as they are, with two layers of text and one over the map
    name="tiny",
    seed=3,  # with which each stage has steps on all its sources
    concepts=RECIPES / "concepts.json",
    data=DataRecipe(views=3, least_count=1),
    model=ModelRecipe(image_layers=1, text_layers=2),
    language=LanguageStage(
        optimisation=replace(PLAN, validate_every=6),
        mixture=(Mixture(until=2, photos=0.5), Mixture(until=6, photos=0.4, objects=0.3)),
        images=2,
        captions_per_photo=2,
        captions_per_object=2,
        texts=4,
    ),
    joint=JointStage(
        optimisation=replace(PLAN, steps=8, validate_every=8),
        images=2,
        captions=2,
        objects_share=0.2,
        texts_share=0.2,
        questions_share=0.3,
        captions_per_object=2,
        texts=4,
        questions=2,
        queue=8,
        ramp=2,
    ),
    self_critical=SelfCriticalStage(
        optimisation=replace(PLAN, steps=2, learning_rate=1e-5, decay="linear", averaging=0.9),
        images=4,
        samples=3,
        longest=8,
        beside_share=0.5,
    ),
)
