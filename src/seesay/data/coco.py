"""COCO's JSON, captions in and results out, and Karpathy's JSON of COCO, Flickr8k and Flickr30k."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from seesay.data.example import Example, Report, check_folder, locate, log_broken, read_json
from seesay.data.fields import to_example
from seesay.data.files import whole
from seesay.errors import DataError

CHECK_FORMAT = "compare the file with its format's description, or download it again"

Kind = TypeVar("Kind")


def read_coco(
    annotations: Path,
    images: Path | None = None,
    splits: AbstractSet[str] | None = None,
    report: Report = log_broken,
) -> Iterator[Example]:
    """Examples of a COCO captions file in the order of its images, those without captions among them.

    COCO itself has neither splits nor objects there; where a file's images have `split` and `objects`, they are kept,
    and `splits` takes only the images of those. Broken images and annotations are reported and skipped.
    """
    return coco_examples(annotations, read_json(annotations), images, splits, report)


def coco_examples(
    annotations: Path, document: dict[str, Any], images: Path | None, splits: AbstractSet[str] | None, report: Report
) -> Iterator[Example]:
    """As `read_coco`, of a file whose JSON was read."""
    if images:
        check_folder(images)
    captions = _captions_by_image(rows_of(annotations, document, "annotations"), report)
    listed: set[int] = set()
    for place, row in rows_of(annotations, document, "images"):
        try:
            image_id, name = value_of(row, "id", int, place), value_of(row, "file_name", str, place)
            if image_id in listed:
                raise DataError(f"{place}: a second image with id {image_id}", CHECK_FORMAT)
            listed.add(image_id)
            split = value_of(row, "split", str, place) if "split" in row else None
            if splits is not None and split not in splits:
                continue
            if "objects" in row:
                value_of(row, "objects", list, place)
            rest = {key: value for key, value in row.items() if key not in ("id", "file_name")}
            example = replace(
                to_example(rest, name, locate(images, name, place), place),
                captions=tuple(captions.get(image_id, ())),
                image_id=image_id,
            )
        except DataError as error:
            report(error)
        else:
            yield example
    if strangers := sorted(captions.keys() - listed):
        report(DataError(f"{annotations}: captions of images that are not listed: {strangers[:5]}", CHECK_FORMAT))


def _captions_by_image(rows: Iterator[tuple[str, Any]], report: Report) -> dict[int, list[str]]:
    captions: dict[int, list[str]] = {}
    for place, row in rows:
        try:
            captions.setdefault(value_of(row, "image_id", int, place), []).append(_text(row, "caption", place))
        except DataError as error:
            report(error)
    return captions


def read_karpathy(
    path: Path,
    images: Path | None = None,
    splits: AbstractSet[str] | None = None,
    report: Report = log_broken,
) -> Iterator[Example]:
    """Examples of Karpathy's JSON (`dataset_coco.json`, `dataset_flickr8k.json`), those of `splits` if given.

    Training on COCO usually takes {"train", "restval"}. `name` is `filepath/filename`, or `filename` alone where the
    file has no folders. Broken images are reported and skipped.
    """
    return karpathy_examples(path, read_json(path), images, splits, report)


def karpathy_examples(
    path: Path, document: dict[str, Any], images: Path | None, splits: AbstractSet[str] | None, report: Report
) -> Iterator[Example]:
    """As `read_karpathy`, of a file whose JSON was read."""
    if images:
        check_folder(images)
    for place, row in rows_of(path, document, "images"):
        try:
            split = value_of(row, "split", str, place)
            if splits is not None and split not in splits:
                continue
            name = value_of(row, "filename", str, place)
            if "filepath" in row:
                name = f"{value_of(row, 'filepath', str, place)}/{name}"
            sentences = value_of(row, "sentences", list, place)
            example = Example(
                name,
                locate(images, name, place),
                tuple(_text(sentence, "raw", f"{place}.sentences[{i}]") for i, sentence in enumerate(sentences)),
                split=split,
                image_id=value_of(row, "cocoid", int, place) if "cocoid" in row else None,
                place=place,
            )
        except DataError as error:
            report(error)
        else:
            yield example


def write_coco_results(path: Path, results: Mapping[int, str]) -> None:
    """Writes image id -> caption as the results file that COCO's evaluation and server read, whole or not at all."""
    rows = [{"image_id": image_id, "caption": caption} for image_id, caption in results.items()]
    with whole(path) as file:
        file.write(json.dumps(rows, ensure_ascii=False).encode() + b"\n")


def rows_of(path: Path, document: dict[str, Any], key: str) -> Iterator[tuple[str, Any]]:
    """The list under `key`, each entry with its place, as in `captions.json: images[3]`."""
    rows = document.get(key)
    if not isinstance(rows, list):
        raise DataError(f"{path}: no list {key!r}", CHECK_FORMAT)
    return ((f"{path}: {key}[{i}]", row) for i, row in enumerate(rows))


def value_of(row: Any, key: str, kind: type[Kind], place: str) -> Kind:
    """`row[key]`, or DataError unless it is there and of that kind."""
    if not isinstance(row, dict) or not isinstance(row.get(key), kind) or isinstance(row[key], bool):
        raise DataError(f"{place}: needs {key!r} of type {kind.__name__}", CHECK_FORMAT)
    value: Kind = row[key]
    return value


def _text(row: Any, key: str, place: str) -> str:
    text = value_of(row, key, str, place).strip()
    if not text:
        raise DataError(f"{place}: {key!r} is empty", "leave it out")
    return text
