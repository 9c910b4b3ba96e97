"""Folders of photos: a folder a class, captions in side-cars or in one table; and a table of labels."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from seesay.data.example import Example, Report, check_folder, locate, log_broken, numbered_lines
from seesay.data.shards import BESIDE, of_files
from seesay.data.tables import read_table
from seesay.errors import DataError
from seesay.images.formats import EXTENSIONS
from seesay.images.sources import natural

METADATA = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
"""Names of Hugging Face's table of a folder, in its `file_name` and any other columns."""


def read_image_folder(root: Path) -> Iterator[Example]:
    """Examples of an ImageFolder (`root/CLASS/photo.jpg`): the folder's name, underscores as spaces, is the label.

    In the order of their names. Passed over: hidden files, those whose suffix is no picture's, and any not in a class's
    folder.
    """
    check_folder(root)
    for folder in sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")):
        label = folder.name.replace("_", " ")
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() in EXTENSIONS and not path.name.startswith("."):
                yield Example(f"{folder.name}/{path.name}", path, labels=(label,), place=str(path))


def read_sidecars(root: Path, report: Report = log_broken) -> Iterator[Example]:
    """Examples of a folder whose pictures have their captions beside them, as kohya's and img2dataset's have.

    photo.jpg, and photo.caption or photo.txt with a caption a line; photo.json with fields, which has the last word.
    Folders are searched through, names in natural order. A picture without side-cars is an example without captions;
    one whose side-cars are damaged is reported and skipped.
    """
    check_folder(root)
    for folder, pictures, others in pictures_below(root):
        for name in pictures:
            path = folder / name
            beside = {suffix: path.with_suffix(f".{suffix}") for suffix in BESIDE if f"{path.stem}.{suffix}" in others}
            try:
                files = {suffix: _bytes(file) for suffix, file in beside.items()}
                yield of_files(path.relative_to(root).as_posix(), path, files, str(path))
            except DataError as error:
                report(error)


def read_metadata(root: Path, report: Report = log_broken) -> Iterator[Example]:
    """Examples of Hugging Face's ImageFolder: a table in the folder says what is in each `file_name`."""
    check_folder(root)
    table = metadata_of(root)
    if table is None:
        raise DataError(f"{root}: none of {', '.join(METADATA)} there", "add one, or read the folder as another format")
    return read_table(table, root, report)


def metadata_of(root: Path) -> Path | None:
    """The table of such a folder."""
    return next((root / name for name in METADATA if (root / name).is_file()), None)


def pictures_below(root: Path) -> Iterator[tuple[Path, list[str], frozenset[str]]]:
    """Each folder that holds pictures: their names in natural order, and the names of all else in it.

    Hidden names are passed over, and linked folders not entered: they may lead in a circle.
    """
    for folder, folders, names in os.walk(root):
        folders[:] = sorted((name for name in folders if not name.startswith(".")), key=natural)
        visible = [name for name in names if not name.startswith(".")]
        pictures = [name for name in visible if Path(name).suffix.lower() in EXTENSIONS]
        if pictures:
            yield Path(folder), sorted(pictures, key=natural), frozenset(visible)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})", "check its permissions") from error


def read_labels(table: Path, images: Path | None = None, report: Report = log_broken) -> Iterator[Example]:
    """Examples of a table `file name<TAB>class name<TAB>WordNet id`, one photo a line, in its order.

    Broken lines and photos that are not there are reported and skipped.
    """
    if images:
        check_folder(images)
    for number, line in numbered_lines(table, report):
        place = f"{table}:{number}"
        try:
            cells = line.split("\t")
            if len(cells) != 3 or not all(cell.strip() for cell in cells) or not re.fullmatch(r"n\d{8}", cells[2]):
                raise DataError(f"{place}: not `file<TAB>class<TAB>n01234567`: {line[:60]!r}", "correct the line")
            name, label, wordnet_id = cells
            example = Example(name, locate(images, name, place), labels=(label,), wordnet_id=wordnet_id, place=place)
        except DataError as error:
            report(error)
        else:
            yield example
