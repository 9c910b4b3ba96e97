"""The providers' batch files: requests as lines of JSON, answered within a day at half the price; files out, files in.

What is written is what a live run would send, one request a distinct picture, with the picture's content as its
identity. Beside REQUESTS.jsonl lies REQUESTS.names.jsonl, which tells the pictures' names: results come back in any
order and know only identities. A file that would outgrow what the provider takes is followed by REQUESTS.2.jsonl and so
on. Uploading and fetching are the provider's own commands' work: OpenAI and Gemini take the file as it is, Anthropic
takes its lines as {"requests": [...]}.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from seesay.backends.api import ApiModel
from seesay.backends.wire import Malformed
from seesay.batches import Told
from seesay.describe import CaptionOptions
from seesay.errors import CapabilityError, DataError, ImageError, ImageUnanswered, UsageError
from seesay.images.sources import Picture
from seesay.records import Caption

ABLE = "openai, openai-responses, anthropic and gemini"


def write_requests(
    model: ApiModel, pictures: Iterable[Picture], options: CaptionOptions, path: Path
) -> Iterator[Told[Path]]:
    """Ask for a caption of every picture, in files at `path`: for each picture the file that asks, or its error.

    The files take their places when all is written. Raises CapabilityError where the protocol has no batches,
    UsageError for options that a batch cannot have.
    """
    if model.batch is None:
        raise CapabilityError(f"{model.name} takes no batch files", f"These do: {ABLE}. Or caption the pictures now.")
    if options.count > 1:
        raise UsageError("A batch asks for one caption of a picture", "Leave count out.")
    most, longest = model.batch
    asked: dict[str, Path] = {}
    with _Files(path) as files:
        names = files.open(names_of(path))
        part, requests, size = 0, most, 0
        for picture in pictures:
            try:
                loaded = picture.load()
                identity = loaded.key.replace("#", "-")[:64]
                if identity not in asked:
                    line = model.batch_request(identity, loaded.open(model.profile.image.edge), options)
                    if requests == most or size + len(line) > longest:
                        part, requests, size = part + 1, 0, 0
                        current = files.open(part_of(path, part))
                    current.write(line)
                    requests, size = requests + 1, size + len(line)
                    asked[identity] = part_of(path, part)
            except ImageError as error:
                yield Told(picture.name, error)
                continue
            names.write(json.dumps({"id": identity, "path": picture.name}).encode() + b"\n")
            yield Told(picture.name, asked[identity])


def read_results(
    model: ApiModel, results: Sequence[Path], options: CaptionOptions, path: Path
) -> Iterator[Told[Caption]]:
    """The captions in the files that a batch came back as, by the names of the pictures that `path` asked about.

    A request that failed, or is in none of the files, is its pictures' ImageUnanswered. Raises DataError for a line
    that is no result of this protocol, or of other requests.
    """
    names = _read_names(names_of(path))
    left = dict.fromkeys(names)
    for file in results:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                try:
                    identity, found = model.batch_result(json.loads(line), options)
                except (ValueError, Malformed, AttributeError, TypeError) as error:
                    raise DataError(f"{file}, line {number}: {error}", f"Give the results of {model.name}.") from error
                if identity not in names:
                    raise DataError(
                        f"{file}, line {number}: {path} never asked for {identity}", "Give its own results."
                    )
                if identity in left:
                    del left[identity]
                    yield from (Told(name, found) for name in names[identity])
    for identity in left:
        missing = ImageUnanswered(
            "the results hold no answer for it", "ask again: write a new batch of what is missing"
        )
        yield from (Told(name, missing) for name in names[identity])


def names_of(path: Path) -> Path:
    """Where the names of a batch's pictures lie."""
    return path.with_suffix(".names.jsonl")


def part_of(path: Path, part: int) -> Path:
    """The file of a batch's first, second, ... part."""
    return path if part == 1 else path.with_suffix(f".{part}{path.suffix}")


def _read_names(path: Path) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            names.setdefault(str(row["id"]), []).append(str(row["path"]))
    except FileNotFoundError as error:
        raise UsageError(f"{path} is missing", "Give the path that the requests were written to.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} holds lines that are not ours", "Write the batch again.") from error
    return names


class _Files:
    """Files that are written beside their places, and take them together at the end, or not at all."""

    def __init__(self, path: Path) -> None:
        self._mark = f".{os.getpid()}"
        self._stack = ExitStack()
        self._written: list[Path] = []
        if (taken := next((one for one in (path, names_of(path)) if one.exists()), None)) is not None:
            raise UsageError(f"{taken} exists", "Name another file, or remove it.")

    def __enter__(self) -> _Files:
        return self

    def open(self, path: Path) -> IO[bytes]:
        self._written.append(path)
        return self._stack.enter_context(self._beside(path).open("wb"))

    def __exit__(self, kind: object, *_: object) -> None:
        self._stack.close()
        for path in self._written:
            if kind is None:
                os.replace(self._beside(path), path)
            else:
                self._beside(path).unlink(missing_ok=True)

    def _beside(self, path: Path) -> Path:
        return path.with_name(f".{path.name}{self._mark}")
