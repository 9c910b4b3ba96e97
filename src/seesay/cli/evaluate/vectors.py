"""BLIP beside CLIP and SigLIP, on the same pictures and texts."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from seesay.cli.evaluate.shared import (
    about,
    clip_option,
    clips,
    data_options,
    digest_of,
    digests,
    embedders,
    examples,
    finish,
    load,
    pictures_of,
    progress,
    read,
    report_options,
)
from seesay.cli.options import machine_options

if TYPE_CHECKING:
    from seesay.evaluation.report import Row


@click.command(
    epilog=examples(
        "retrieval --data captions.json --images photos --split val --model blip-itm-base-coco --rerank 128",
        "retrieval --data captions.jsonl --model blip-itm-base-coco --clip openai/clip-vit-base-patch32",
    )
)
@data_options("Pictures with their captions.")
@machine_options
@clip_option
@click.option("--rerank", type=click.IntRange(min=1), metavar="K", help="The K nearest in a new order.")
@click.option("--captions", type=click.IntRange(min=1), default=5, show_default=True, help="Of each picture, at most.")
@report_options
def retrieval(**given: Any) -> None:
    """R@1, R@5 and R@10: the captions of a picture among all, and the picture of a caption.

    By the similarity of vectors (ITC) and, with --rerank, by reading the K nearest again (ITM). CLIP and SigLIP
    checkpoints stand beside on the same pictures and texts. Captions are cleaned as in BLIP's own evaluation: lower
    case, without full stops and the like.
    """
    from seesay.evaluation.running import rerank, retrieve
    from seesay.texts import tidied

    pairs = [one for one in read(given["data"], given["images"], given["split"]) if one.captions][: given["limit"]]
    texts = [[tidied(caption) for caption in one.captions[: given["captions"]]] for one in pairs]
    pictures = pictures_of(pairs)
    rows: list[Row] = []
    models = []
    if given["model"] or not given["clips"]:
        model = load(given)
        with progress("pictures", len(pictures)) as watch:
            found, similarities = retrieve(model, pictures, texts, watch)
        rows.append(_recalls(f"{model.name} ITC", found))
        if given["rerank"]:
            with progress("pictures read again", len(pictures)) as watch:
                found = rerank(model, pictures, texts, similarities, given["rerank"], watch)
            rows.append(_recalls(f"{model.name} ITM, k = {given['rerank']}", found))
        models.append(about(model))
    for clip in clips(given):
        with progress("pictures", len(pictures)) as watch:
            found, _ = retrieve(clip, pictures, texts, watch)
        rows.append(_recalls(clip.name, found))
        models.append(about(clip))
    data = digests(given["data"], given["split"]) | digest_of(pairs, given["images"])
    details = [{"name": one.name, "captions": beside} for one, beside in zip(pairs, texts, strict=True)]
    finish("retrieval", rows, given, models=models, data=data, details=details)


def _recalls(model: str, found: Any) -> Row:
    text = {f"text R@{k}": 100 * value for k, value in zip((1, 5, 10), found.image_to_text, strict=True)}
    image = {f"image R@{k}": 100 * value for k, value in zip((1, 5, 10), found.text_to_image, strict=True)}
    return {"model": model, **text, **image, "mean": 100 * found.mean}


@click.command(
    "zero-shot",
    epilog=examples("zero-shot --data photos/ --model blip-itm-base-coco --clip openai/clip-vit-base-patch32"),
)
@data_options("Pictures with the name of their class: a folder for each class, or a table of labels.")
@machine_options
@clip_option
@click.option(
    "--template",
    "templates",
    multiple=True,
    default=["a photo of a {}"],
    show_default=True,
    help="Text of a class; with several, their mean.",
)
@report_options
def zero_shot(**given: Any) -> None:
    """Which class a picture is of, told by the similarity of the classes' names alone."""
    from seesay.evaluation.running import image_vectors, text_vectors
    from seesay.evaluation.zero_shot import class_vectors, texts_of_classes, zero_shot_scores

    labelled = [one for one in read(given["data"], given["images"], given["split"]) if one.labels][: given["limit"]]
    classes = sorted({one.labels[0] for one in labelled})
    texts = texts_of_classes(classes, given["templates"])
    truth = [classes.index(one.labels[0]) for one in labelled]
    rows: list[Row] = []
    models = []
    details: list[dict[str, object]] = [{"name": one.name, "class": one.labels[0]} for one in labelled]
    for model in embedders(given):
        with progress("pictures", len(labelled)) as watch:
            images = image_vectors(model, pictures_of(labelled), watch)
        similarities = images @ class_vectors(text_vectors(model, texts), len(classes)).T
        scores = zero_shot_scores(similarities, truth)
        rows.append({"model": model.name} | {name: 100 * value for name, value in asdict(scores).items()})
        models.append(about(model))
        for detail, best in zip(details, similarities.argmax(axis=1).tolist(), strict=True):
            detail[model.name] = classes[best]
    data = digests(given["data"], given["split"]) | digest_of(labelled, given["images"])
    finish("zero-shot", rows, given, models=models, data=data, details=details)
