"""COCO's JSON, captions in and results out, and Karpathy's JSON of COCO, Flickr8k and Flickr30k."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, TypeVar

from seesay.data.example import Example, Report, check_folder, locate, log_broken, read_json
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
    if images:
        check_folder(images)
    document = read_json(annotations)
    captions = _captions_by_image(_rows(annotations, document, "annotations"), report)
    listed: set[int] = set()
    for place, row in _rows(annotations, document, "images"):
        try:
            image_id, name = _field(row, "id", int, place), _field(row, "file_name", str, place)
            if image_id in listed:
                raise DataError(f"{place}: a second image with id {image_id}", CHECK_FORMAT)
            listed.add(image_id)
            split = _field(row, "split", str, place) if "split" in row else None
            if splits is not None and split not in splits:
                continue
            labels = _field(row, "objects", list, place) if "objects" in row else []
            example = Example(
                name,
                locate(images, name, place),
                tuple(captions.get(image_id, ())),
                labels=tuple(map(str, labels)),
                split=split,
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
            captions.setdefault(_field(row, "image_id", int, place), []).append(_text(row, "caption", place))
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
    if images:
        check_folder(images)
    for place, row in _rows(path, read_json(path), "images"):
        try:
            split = _field(row, "split", str, place)
            if splits is not None and split not in splits:
                continue
            name = _field(row, "filename", str, place)
            if "filepath" in row:
                name = f"{_field(row, 'filepath', str, place)}/{name}"
            sentences = _field(row, "sentences", list, place)
            example = Example(
                name,
                locate(images, name, place),
                tuple(_text(sentence, "raw", f"{place}.sentences[{i}]") for i, sentence in enumerate(sentences)),
                split=split,
                image_id=_field(row, "cocoid", int, place) if "cocoid" in row else None,
            )
        except DataError as error:
            report(error)
        else:
            yield example


def write_coco_results(path: Path, results: Mapping[int, str]) -> None:
    """Writes image id -> caption as the results file that COCO's evaluation and server read, whole or not at all."""
    rows = [{"image_id": image_id, "caption": caption} for image_id, caption in results.items()]
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_text(json.dumps(rows, ensure_ascii=False) + "\n", encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror})", "choose a folder you may write to") from error
    finally:
        partial.unlink(missing_ok=True)


def _rows(path: Path, document: dict[str, Any], key: str) -> Iterator[tuple[str, Any]]:
    """The list under `key`, each entry with its place, as in `captions.json: images[3]`."""
    rows = document.get(key)
    if not isinstance(rows, list):
        raise DataError(f"{path}: no list {key!r}", CHECK_FORMAT)
    return ((f"{path}: {key}[{i}]", row) for i, row in enumerate(rows))


def _field(row: Any, key: str, kind: type[Kind], place: str) -> Kind:
    """`row[key]`, or DataError unless it is there and of that kind."""
    if not isinstance(row, dict) or not isinstance(row.get(key), kind) or isinstance(row[key], bool):
        raise DataError(f"{place}: needs {key!r} of type {kind.__name__}", CHECK_FORMAT)
    value: Kind = row[key]
    return value


def _text(row: Any, key: str, place: str) -> str:
    text = _field(row, key, str, place).strip()
    if not text:
        raise DataError(f"{place}: {key!r} is empty", "leave it out")
    return text
