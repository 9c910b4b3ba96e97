"""Flickr8k and Flickr30k as their authors publish them: a token file of captions, lists of names as splits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from seesay.data.example import Example, Report, check_folder, locate, log_broken, numbered_lines
from seesay.errors import DataError


def read_flickr(
    captions: Path, images: Path | None = None, split: Path | None = None, report: Report = log_broken
) -> Iterator[Example]:
    """Examples of a token file (`name.jpg#k<TAB>caption` a line), photos in the order they first appear.

    `split` is a list of names, one a line; then only these come, in its order. Photos without captions, and lines that
    break the format, are reported and skipped.
    """
    if images:
        check_folder(images)
    found = _captions_by_name(captions, report)
    if split:
        wanted = [(name.strip(), f"{split}:{number}") for number, name in numbered_lines(split, report)]
    else:
        wanted = [(name, f"{captions}:{number}") for name, (number, _) in found.items()]
    for name, place in wanted:
        try:
            if name not in found:
                raise DataError(f"{place}: {name} has no caption in {captions}", "take it off the list")
            path = locate(images, name, place)
        except DataError as error:
            report(error)
            continue
        yield Example(name, path, tuple(found[name][1]), split=split.stem if split else None, place=place)


def _captions_by_name(path: Path, report: Report) -> dict[str, tuple[int, list[str]]]:
    """Name -> the line that has it first, and its captions in the order of the file."""
    found: dict[str, tuple[int, list[str]]] = {}
    for number, line in numbered_lines(path, report):
        key, tab, caption = line.partition("\t")
        name, hash_sign, index = key.rpartition("#")
        if not (tab and hash_sign and name and index.isdecimal() and caption.strip()):
            report(DataError(f"{path}:{number}: not `name.jpg#k<TAB>caption`: {line[:60]!r}", "correct the line"))
            continue
        found.setdefault(name, (number, []))[1].append(caption.strip())
    return found
