"""Photos that come with the name of their class: a folder a class, or a table of labels."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from seesay.data.example import Example, Report, check_folder, locate, log_broken, numbered_lines
from seesay.errors import DataError

IMAGE_SUFFIXES = frozenset(
    [".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif"]
)


def read_image_folder(root: Path) -> Iterator[Example]:
    """Examples of an ImageFolder (`root/CLASS/photo.jpg`): the folder's name, underscores as spaces, is the label.

    In the order of their names. Passed over: hidden files, those whose suffix is no picture's, and any not in a class's
    folder.
    """
    check_folder(root)
    for folder in sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")):
        label = folder.name.replace("_", " ")
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith("."):
                yield Example(f"{folder.name}/{path.name}", path, labels=(label,))


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
            example = Example(name, locate(images, name, place), labels=(label,), wordnet_id=wordnet_id)
        except DataError as error:
            report(error)
        else:
            yield example
