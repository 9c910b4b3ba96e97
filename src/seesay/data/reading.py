"""A data set by its name: what is there tells the format."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from seesay.data.blip import blip_examples
from seesay.data.coco import coco_examples, karpathy_examples
from seesay.data.daquar import is_daquar, read_daquar
from seesay.data.example import Example, Report, load_json, log_broken
from seesay.data.flickr import read_flickr
from seesay.data.folders import (
    METADATA,
    metadata_of,
    pictures_below,
    read_image_folder,
    read_labels,
    read_metadata,
    read_sidecars,
)
from seesay.data.shards import BESIDE, expand_braces, matching, read_shards
from seesay.data.tables import names_pictures, read_table
from seesay.data.vqa import annotations_beside, vqa_examples
from seesay.errors import DataError
from seesay.images.sources import natural
from seesay.images.tables import TABLES
from seesay.images.tars import TARS

FORMATS = f"""\
Give a file: shards of WebDataset ({" ".join(TARS)}), a table ({" ".join(sorted(TABLES))}, or .txt with a header),
a .json of COCO's captions, of Karpathy, of VQAv2's questions or of BLIP, Flickr's name.jpg#0<TAB>caption, labels as
file<TAB>class<TAB>n01234567, DAQUAR's questions; or a folder: {", ".join(METADATA)}, shards, pictures with or without
side-cars ({" ".join(sorted("." + suffix for suffix in BESIDE))}), a folder a class, Parquet tables.""".replace(
    "\n", " "
)
SPLITS = frozenset({"train", "restval", "val", "valid", "validation", "dev", "test"})
"""Names of folders that are taken for splits."""


def read_dataset(
    source: str | Path, *, images: Path | None = None, split: str | None = None, report: Report = log_broken
) -> Iterator[Example]:
    """Examples of a data set in any format that Seesay knows, as a stream in the data set's order.

    `source` is a file, a folder, several files of a kind (`shard-{000..009}.tar`, `data/train-*.parquet`), or a table
    whose columns are named: `shop.csv::image_url`, `shop.csv::image_url::title`. `images` is the folder that the names
    of pictures are relative to; tables and folders have a default. `split` takes only the examples of that split, or of
    several: "train+restval"; of Flickr's token files it may be the path of a list of names. Each format also has a
    reader of its own, with its own choices.

    Broken rows go to `report`. Raises DataError where nothing is recognised, or nothing is of that split.
    """
    name, *columns = str(source).split("::")
    wanted = split.split("+") if split else []
    if Path(name).is_dir():
        examples = _folder(Path(name), wanted, report)
    else:
        first, *others = map(Path, _files(name))
        rest = (_file(path, columns, images, wanted, report) for path in others)
        examples = chain(_file(first, columns, images, wanted, report), chain.from_iterable(rest))
    return _of_split(examples, str(source), wanted) if wanted else examples


def _of_split(examples: Iterator[Example], source: str, wanted: list[str]) -> Iterator[Example]:
    others: set[str] = set()
    found = False
    for example in examples:
        if example.split in wanted:
            found = True
            yield example
        else:
            others.add(str(example.split))
    if not found:
        there = f"; its examples are of {', '.join(sorted(others))}" if others - {"None"} else "; it tells no splits"
        remedy = "name another split, or none"
        if any(Path(one).is_file() for one in wanted):
            remedy += "; a list of names is a split of Flickr's token files only"
        raise DataError(f"{source}: no example of split {'+'.join(wanted)}{there}", remedy)


def _files(name: str) -> list[str]:
    """All files that a name stands for. Raises DataError where one is missing."""
    patterns = [name] if Path(name).is_file() else expand_braces(name)
    found = [path for one in patterns for path in matching(one)]
    missing = [path for path in found if not Path(path).is_file()] or ([] if found else [name])
    if missing:
        raise DataError(f"{missing[0]}: no such file or folder", "check the path")
    return sorted(found, key=natural)


def _file(path: Path, columns: list[str], images: Path | None, wanted: list[str], report: Report) -> Iterator[Example]:
    """The examples of one file."""
    name = path.name.lower()
    if name.endswith(TARS):
        return read_shards(path, report)
    if name.endswith(".json"):
        return _json(path, load_json(path), images, report)
    line, second = _first_lines(path) if path.suffix.lower() != ".parquet" else ("", "")
    if re.match(r"[^\t]+#\d+\t", line):
        return _flickr(path, images, wanted, report)
    if re.fullmatch(r"[^\t]+\t[^\t]+\tn\d{8}", line):
        return read_labels(path, images, report)
    if is_daquar(line, second) and not columns:
        return read_daquar(path, images, report)
    if path.suffix.lower() in TABLES or names_pictures(re.split(r"[,;\t|]", line)):
        image, caption = [*columns, None, None][:2]
        return read_table(path, images, report, image=image, caption=caption)
    raise _unknown(path)


def _unknown(path: Path) -> DataError:
    return DataError(f"{path}: not recognised as a data set", " ".join(FORMATS.split()))


def _first_lines(path: Path) -> tuple[str, str]:
    with path.open("rb") as file:
        first, second = (file.readline(10_000).decode("utf-8-sig", "replace").rstrip("\r\n") for _ in range(2))
    return first, second


def _json(path: Path, document: Any, images: Path | None, report: Report) -> Iterator[Example]:
    match document:
        case list():
            return blip_examples(path, document, images, report)
        case {"questions": list()}:
            return vqa_examples(path, document, annotations_beside(path), images, report)
        case {"images": list(), "annotations": list()}:
            return coco_examples(path, document, images, None, report)
        case {"images": [{"sentences": _}, *_]}:
            return karpathy_examples(path, document, images, None, report)
        case {"annotations": [{"answers": _}, *_]}:
            raise DataError(f"{path}: VQAv2's answers without their questions", "name the file of questions")
    raise _unknown(path)


def _flickr(path: Path, images: Path | None, wanted: list[str], report: Report) -> Iterator[Example]:
    if not wanted:
        yield from read_flickr(path, images, report=report)
    for split in wanted:
        for example in read_flickr(path, images, _flickr_split(path, split), report):
            yield replace(example, split=split)


def _flickr_split(captions: Path, split: str) -> Path:
    """The list of names that is a split: val.txt beside captions.txt, or as Flickr8k's authors call it, or a path."""
    names = (f"{split}.txt", f"Flickr_8k.{split}Images.txt")
    beside = (captions.parent / name for name in names)
    found = next((path for path in (*beside, Path(split)) if path.is_file()), None)
    if found is None:
        raise DataError(
            f"{captions}: none of {', '.join(names)} beside it, and {split} is no file",
            "put the split's list of names there, or give its path",
        )
    return found


def _folder(root: Path, wanted: list[str], report: Report) -> Iterator[Example]:
    """The examples of a folder, or of the folders of splits in it."""
    inner = sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    splits = [name for name in inner if name in SPLITS and (not wanted or name in wanted)]
    if splits and set(inner) <= SPLITS and metadata_of(root) is None:
        return chain.from_iterable(
            (replace(example, split=name) for example in _whole_folder(root / name, report)) for name in splits
        )
    return _whole_folder(root, report)


def _whole_folder(root: Path, report: Report) -> Iterator[Example]:
    if metadata_of(root):
        return read_metadata(root, report)
    if any(path.name.lower().endswith(TARS) for path in root.iterdir()):
        return read_shards(root, report)
    if first := next(pictures_below(root), None):
        folder, pictures, others = first
        beside = {f"{Path(name).stem}.{suffix}" for name in pictures for suffix in BESIDE}
        if folder.parent == root and beside.isdisjoint(others):
            return read_image_folder(root)
        return read_sidecars(root, report)
    if tables := sorted(root.rglob("*.parquet"), key=lambda path: natural(str(path))):
        return chain.from_iterable(_parquet(path, report) for path in tables)
    raise _unknown(root)


def _parquet(path: Path, report: Report) -> Iterator[Example]:
    """A table of a Hugging Face data set, whose name says the split: train-00000-of-00002.parquet."""
    named = re.match(r"(\w+)-\d+-of-\d+", path.name)
    for example in read_table(path, None, report):
        yield replace(example, split=named[1]) if named and not example.split else example
