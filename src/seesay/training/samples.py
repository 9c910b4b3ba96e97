"""A data set as training reads it: every sample with its texts as tokens, its picture as a file, one part held out."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path

from seesay.data import Example, gathered, read_dataset
from seesay.errors import DataError, ImageError
from seesay.images import read_bytes
from seesay.texts import tidy
from seesay.tokenizer import Tokenizer
from seesay.training.tuning_recipe import Dataset, Kind

TRAIN, VALIDATION, TEST = ("train", "restval"), ("val", "validation", "valid", "dev"), "test"
HELD_OUT, MOST_HELD_OUT = 20, 1000  # one image in so many, and how many at most

log = logging.getLogger("seesay.training")


@dataclass(frozen=True, slots=True)
class Asked:
    """A question about a picture, and what people answered."""

    ids: tuple[int, ...]
    """The question's tokens, without special ones."""
    answers: tuple[tuple[tuple[int, ...], float], ...]
    """Tokens and weight of each answer."""
    text: str
    weights: Mapping[str, float]
    """The same answers in words."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A picture and its texts."""

    name: str
    image: Path
    captions: tuple[str, ...]
    tokens: tuple[tuple[int, ...], ...]
    """The captions, without special tokens."""
    questions: tuple[Asked, ...]


@dataclass(frozen=True, slots=True)
class Samples:
    """What is trained on and what is held out."""

    train: list[Sample]
    validation: list[Sample]
    fingerprint: str
    """Changes when names, texts or the sizes of picture files do."""


def read_samples(source: Dataset, data: Path, kept: Path, kind: Kind, tokenizer: Tokenizer) -> Samples:
    """The data set's samples that the task can use, in the data set's order.

    data: the data folder, or the data set itself (`Dataset`). kept: a folder for pictures that are no files, such as
    those of shards. Raises DataError where too few are left.
    """
    where = str(data / source.dataset) if source.dataset else str(data)
    images = data / source.images if source.images else None
    try:
        examples = gathered(_in_files(_examples(source, where, data, images), kept))
    except DataError as error:
        if source.dataset and not Path(where).exists():
            remedy = f"The data folder is to have {source.dataset}: name the folder above it (--data)."
            raise DataError(str(error), remedy) from error
        raise
    samples, splits = [], []
    reader = _Reader(tokenizer, source.longest)
    for example in examples:
        if found := reader.sample(example, kind):
            samples.append(found)
            splits.append(example.split)
    if lacking := reader.lacking:
        log.warning("%d texts have words that the vocabulary cannot spell, as %r: left out", len(lacking), lacking[0])
    train, validation = _divided(samples, splits)
    if not train or not validation:
        wanted = {"caption": "captions", "vqa": "questions with answers"}.get(kind, "captions")
        raise DataError(
            f"{where}: {len(train)} images with {wanted} to train on and {len(validation)} to validate on",
            "Check the path, name the folder of images (--images), or name the splits.",
        )
    return Samples(train, validation, _fingerprint([*train, *validation]))


class _Reader:
    """Texts as tokens. Words that the vocabulary cannot spell, such as an emoji, are left out of captions and
    questions, and an answer that has one is no answer; `lacking` has these texts."""

    def __init__(self, tokenizer: Tokenizer, longest: int) -> None:
        self.tokenizer, self.longest = tokenizer, longest
        self.lacking: list[str] = []

    def sample(self, example: Example, kind: Kind) -> Sample | None:
        """The example as the task reads it; None where it has nothing for the task."""
        read = [(caption, spelt) for caption in example.captions if (spelt := self._known(caption))]
        questions = []
        for question in example.questions:
            said = question.answers.items()
            answers = tuple((ids, weight) for answer, weight in said if (ids := self._whole(answer)))
            if (asked := self._known(question.text)) and answers:
                questions.append(Asked(asked, answers, question.text, question.answers))
        if not (questions if kind == "vqa" else read):
            return None
        assert isinstance(example.image, Path)
        captions, tokens = tuple(caption for caption, _ in read), tuple(spelt for _, spelt in read)
        return Sample(example.name, example.image, captions, tokens, tuple(questions))

    def _known(self, text: str) -> tuple[int, ...]:
        ids = self.tokenizer.encode(tidy(text))
        known = [token for token in ids if token != self.tokenizer.unknown]
        if len(known) < len(ids):
            self.lacking.append(text)
        return tuple(known[: self.longest])

    def _whole(self, text: str) -> tuple[int, ...]:
        ids = self.tokenizer.encode(tidy(text))
        if self.tokenizer.unknown not in ids:
            return tuple(ids[: self.longest])
        self.lacking.append(text)
        return ()


def _in_files(examples: Iterable[Example], kept: Path) -> Iterator[Example]:
    """Those that have texts and a picture, one by one, each with its picture as a file."""
    for example in examples:
        if (example.captions or example.questions) and (picture := _file(example, kept)):
            yield replace(example, image=picture)


def _file(example: Example, kept: Path) -> Path | None:
    """The picture's file; None where there is none. What is bytes or an address is written to the folder `kept` first,
    under a name that tells it from others there."""
    if isinstance(example.image, Path):
        return example.image
    if example.image is None:
        return None
    source = example.image if isinstance(example.image, bytes) else example.image.encode()
    path = kept / blake2b(source, digest_size=16).hexdigest()
    if not path.exists():
        try:
            data = example.image if isinstance(example.image, bytes) else read_bytes(example.image)
        except ImageError as error:
            log.warning("left out: %s: %s", example.name, error)
            return None
        kept.mkdir(parents=True, exist_ok=True)
        partial = kept / f".{path.name}.{os.getpid()}"
        partial.write_bytes(data)
        partial.replace(path)
    return path


def _examples(source: Dataset, where: str, data: Path, images: Path | None) -> Iterator[Example]:
    """What is trained on and what is validated on, told apart by their splits where that can be told already."""
    if source.train:
        yield from (replace(one, split=TRAIN[0]) for one in read_dataset(where, images=images, split=source.train))
    elif not source.validation or source.validation_dataset:
        yield from read_dataset(where, images=images)
    else:
        out = {one.name for one in read_dataset(where, images=images, split=source.validation)}
        yield from (one for one in read_dataset(where, images=images) if one.name not in out)
    if source.validation_dataset or source.validation:
        other = str(data / source.validation_dataset) if source.validation_dataset else where
        held = read_dataset(other, images=images, split=source.validation)
        yield from (replace(one, split=VALIDATION[0]) for one in held)


def _divided(samples: Sequence[Sample], splits: Sequence[str | None]) -> tuple[list[Sample], list[Sample]]:
    """Samples to train on and to validate on; a test split is neither."""
    train = set(TRAIN) & set(splits)
    validation = set(VALIDATION) & set(splits)
    mine = [i for i, split in enumerate(splits) if (split in train if train else split not in (*VALIDATION, TEST))]
    if validation:
        held = [i for i, split in enumerate(splits) if split in validation]
    else:
        order = sorted(mine, key=lambda i: blake2b(samples[i].name.encode()).digest())
        held = sorted(order[: max(min(2, len(mine) // 2), min(MOST_HELD_OUT, len(mine) // HELD_OUT))])
    out = set(held)
    return [samples[i] for i in mine if i not in out], [samples[i] for i in held]


def _fingerprint(samples: Sequence[Sample]) -> str:
    found = blake2b(digest_size=16)
    for one in samples:
        asked = [(question.text, sorted(question.weights.items())) for question in one.questions]
        size = one.image.stat().st_size if one.image.exists() else 0
        found.update(repr((one.name, one.captions, asked, size)).encode())
    return found.hexdigest()
