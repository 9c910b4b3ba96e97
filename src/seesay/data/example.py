"""One sample of a data set, whatever format it came in, and what readers do about rows that cannot be used."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from seesay.errors import DataError

Report = Callable[[DataError], None]
"""Called with each row that a reader skips."""

log = logging.getLogger("seesay.data")


@dataclass(frozen=True, slots=True)
class Question:
    """Something asked about a picture."""

    text: str
    answers: Mapping[str, float] = field(default_factory=dict)
    """Answer -> weight: the share of the people asked who gave it. Empty where a test set holds the answers back."""
    question_id: int | None = None
    """VQAv2's number for the question."""
    answer_type: str = ""
    """VQAv2's kind of its answers: "yes/no", "number" or "other"."""


@dataclass(frozen=True, slots=True)
class Example:
    """A picture and what is known of it.

    `name` is what results and references call it: the file's name, with its folder where the format has one. `image`
    is a file, the bytes of one, an http(s) address, or None where the reader was given no folder of images (captions as
    references).
    """

    name: str
    image: Path | bytes | str | None = field(repr=False)
    captions: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    """Kinds of object in the picture."""
    split: str | None = None
    image_id: int | None = None
    """COCO's number for the picture."""
    wordnet_id: str | None = None
    """ImageNet's name for the class: "n" and the offset of a WordNet 3.0 noun."""
    questions: tuple[Question, ...] = ()
    extra: Mapping[str, object] = field(default_factory=dict)
    """What else the format says of it, by its own names: "url", "width", "license"."""
    place: str = field(default="", compare=False)
    """Where it stands, for messages: "train.jsonl:12", "shard-003.tar/000123.jpg"."""


def log_broken(error: DataError) -> None:
    """What readers do with a broken row unless told otherwise: a warning in the log."""
    log.warning("skipped: %s", error)


def numbered_lines(path: Path, report: Report) -> Iterator[tuple[int, str]]:
    """Lines of a UTF-8 file that are not blank, with their numbers from 1; one that is not UTF-8 is reported."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
                except UnicodeDecodeError as error:
                    report(DataError(f"{path}:{number}: not UTF-8 ({error.reason})", "save the file as UTF-8"))
                    continue
                if text.strip():
                    yield number, text
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})", "check the path") from error


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file, or DataError."""
    return an_object(path, load_json(path))


def load_json(path: Path) -> Any:
    """The value in a JSON file, or DataError."""
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})", "check the path") from error
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}:{error.lineno}: not JSON ({error.msg})", "check that the download is complete"
        ) from error
    except (ValueError, RecursionError) as error:  # not UTF-8, numbers of thousands of digits, endless nesting
        raise DataError(f"{path}: damaged JSON ({error})", "save the file as UTF-8") from error


def an_object(path: Path, value: Any) -> dict[str, Any]:
    """The value of a JSON file if it is an object, or DataError."""
    if not isinstance(value, dict):
        raise DataError(f"{path}: a JSON object is needed, not a {type(value).__name__}", "check the file's format")
    return value


def check_folder(folder: Path) -> None:
    """Raises DataError unless `folder` is one: better now than once for each of its files."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder", "give the folder that holds the images")


def locate(images: Path | None, name: str, place: str) -> Path | None:
    """The file of the image called `name`; DataError, which names `place`, if it is not there.

    A name that leads out of the folder is refused: data sets come from strangers. Links inside the folder are followed.
    """
    if images is None:
        return None
    if not stays_inside(name):
        raise DataError(f"{place}: {name} leads out of the folder {images}", "use names relative to the folder")
    path = images / name
    if not os.path.isfile(path):  # unlike Path.is_file, also of names that no file could have
        raise DataError(f"{place}: no image {name[:200]} in {images}", "download it, or leave the row out")
    return path


def stays_inside(name: str) -> bool:
    """Whether a name leads to no place outside the folder that it is relative to."""
    return not PurePosixPath(name).is_absolute() and ".." not in PurePosixPath(name).parts
