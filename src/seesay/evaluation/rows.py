"""What models answered, as files hold it: JSON, JSON lines, CSV and TSV, row by row; captions by their image's name."""

from __future__ import annotations

import base64
import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from seesay.data.example import Example
from seesay.errors import DataError

Row = Mapping[str, Any]

NAME_KEYS = ("image_id", "file_name", "path", "image", "name", "id")
"""What rows call the image, the surest first: COCO's number, and the file's name in the words of several tools."""
SHORT = 64
"""Letters of a cell that are too few for a picture in base64; VLMEvalKit's own limit."""
CAPTION_KEYS = ("caption", "text", "prediction")


def read_rows(path: Path) -> Iterator[tuple[str, Row]]:
    """Each row of the file with its place, as in `answers.jsonl:3`.

    A JSON list of objects, COCO's annotations (the list of that name), one JSON object a line, or a table (.csv, .tsv)
    with a heading, which is read row by row. Raises DataError for a file that is none of these.
    """
    try:
        if path.suffix.lower() in (".csv", ".tsv"):
            yield from _table_rows(path)
            return
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})", "check the path") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 ({error.reason})", "save the file as UTF-8") from error
    for place, row in _json_rows(path, text):
        if not isinstance(row, dict):
            raise DataError(f"{place}: a JSON object is needed, not a {type(row).__name__}", "check the file's format")
        yield place, row


def _table_rows(path: Path) -> Iterator[tuple[str, Row]]:
    csv.field_size_limit(2**31 - 1)  # pictures in base64 are longer than the module's default allows
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", restval="")
        for row in reader:
            place = f"{path}:{reader.line_num}"
            if None in row:
                raise DataError(f"{place}: more cells than the heading has", "check the file's format")
            yield place, row


def _json_rows(path: Path, text: str) -> Iterator[tuple[str, Any]]:
    document = _whole(text)
    if isinstance(document, dict) and isinstance(document.get("annotations"), list):
        names = _file_names(document)
        document = [_by_name(row, names) for row in document["annotations"]]
    if isinstance(document, list):
        yield from ((f"{path}: [{i}]", row) for i, row in enumerate(document))
        return
    for number, line in enumerate(text.split("\n"), 1):  # other ends of lines, as U+2028, may stand inside JSON
        if line.strip():
            try:
                yield f"{path}:{number}", json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError(f"{path}:{number}: not JSON ({error.msg})", "check the file's format") from error


def _file_names(document: dict[str, Any]) -> dict[object, object]:
    """Number of an image -> its file's name, of a COCO document that lists its images."""
    images = document.get("images") or []
    return {
        one["id"]: one["file_name"] for one in images if isinstance(one, dict) and {"id", "file_name"} <= one.keys()
    }


def _by_name(row: Any, names: Mapping[object, object]) -> Any:
    """An annotation that tells its image's file: a document's own numbers need not be those of the references."""
    if not isinstance(row, dict) or row.get("image_id") not in names:
        return row
    return {key: value for key, value in row.items() if key != "image_id"} | {"file_name": names[row["image_id"]]}


def _whole(text: str) -> Any:
    """The one JSON value that the file is; None for lines of JSON, and for what is no JSON at all."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return None


def field_of(row: Row, keys: Sequence[str], place: str) -> Any:
    """The first of `keys` that the row has a value for."""
    for key in keys:
        if row.get(key) not in (None, ""):
            return row[key]
    raise _lacking(keys, place)


def text_of(row: Row, keys: Sequence[str], place: str) -> str:
    """What was said, under the first of `keys` that the row has, though it be nothing: a table of results may have an
    empty `prediction` beside the right `answer`."""
    for key in keys:
        if key in row:
            return "" if row[key] is None else str(row[key])
    raise _lacking(keys, place)


def _lacking(keys: Sequence[str], place: str) -> DataError:
    return DataError(f"{place}: needs {' or '.join(repr(key) for key in keys)}", "check the file's format")


def read_pictures(table: Path, folder: Path) -> Iterator[bytes | Path]:
    """The picture of each row of VLMEvalKit's table: base64 under `image`, or a file of `folder` under `image_path`.

    A short `image` is no picture but the index of the row that has it. Only pictures that are so shared stay in memory.
    """
    wanted = {row["image"] for _, row in read_rows(table) if 0 < len(row.get("image", "")) <= SHORT}
    kept = {row["index"]: row["image"] for _, row in read_rows(table) if wanted and row.get("index") in wanted}
    for place, row in read_rows(table):
        if image := row.get("image"):
            try:
                yield base64.b64decode(str(kept.get(image, image)), validate=True)
            except ValueError as error:
                raise DataError(f"{place}: the picture is not base64", "check that the download is complete") from error
        else:
            yield folder / str(field_of(row, ("image_path",), place))


def read_captions(path: Path, examples: Iterable[Example]) -> dict[str, str]:
    """The caption that a results file has for each of its images, by `Example.name`.

    COCO results name images by number; other rows by file name: as the data set does, or without folders where that
    leaves no doubt. Raises DataError for an image that `examples` lack, and for a second caption of one image.
    """
    names = _names(examples)
    captions: dict[str, str] = {}
    for place, row in read_rows(path):
        called = field_of(row, NAME_KEYS, place)
        name = names.get(called) or names.get(str(called)) or names.get(Path(str(called)).name)
        if name is None:
            raise DataError(
                f"{place}: the references have no image {called}", "score captions and references of one set"
            )
        if name in captions:
            raise DataError(f"{place}: a second caption of {called}", "give one caption an image")
        captions[name] = text_of(row, CAPTION_KEYS, place)
    return captions


def _names(examples: Iterable[Example]) -> dict[object, str]:
    """What an image may be called -> its name. A file's name, with or without suffix, that two images have is none."""
    names: dict[object, str] = {}
    bare: dict[str, str | None] = {}
    for example in examples:
        for called in (example.name, example.image_id, str(example.image_id)):
            if called not in (None, "None"):
                names[called] = example.name
        path = Path(example.name)
        for short in {path.name, path.stem}:
            bare[short] = None if short in bare else example.name
    return {short: name for short, name in bare.items() if name} | names


def read_answers(path: Path, wanted: Iterable[object], *, key: str, answer: Sequence[str]) -> list[str]:
    """The answer that a results file has for each of the `wanted` ids, in their order.

    Rows name the question by `key` and hold the answer under the first of `answer` they have. Answers to further
    questions are passed over; DataError for a question without one, and for two.
    """
    found: dict[str, str] = {}
    for place, row in read_rows(path):
        number = str(field_of(row, (key,), place))
        if number in found:
            raise DataError(f"{place}: a second answer to question {number}", "give one answer a question")
        found[number] = text_of(row, answer, place)
    numbers = [str(number) for number in wanted]
    if missing := [number for number in numbers if number not in found]:
        raise DataError(
            f"{path}: {len(missing)} questions have no answer, such as {missing[0]}",
            "answer all of them, or limit the set",
        )
    return [found[number] for number in numbers]
