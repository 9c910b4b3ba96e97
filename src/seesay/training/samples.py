"""A data set as training reads it: every sample with its texts as tokens, its picture as a file, one part held out."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path

from seesay.data import Example, read_dataset
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
        examples = list(_examples(source, where, data, images))
    except DataError as error:
        if source.dataset and not Path(where).exists():
            remedy = f"The data folder is to have {source.dataset}: name the folder above it (--data)."
            raise DataError(str(error), remedy) from error
        raise
    samples, splits = [], []
    for number, example in enumerate(_merged(examples)):
        found = _sample(example, kind, tokenizer, source.longest)
        picture = _file(example, kept / f"{number:09}") if found else None
        if found and picture:
            samples.append(replace(found, image=picture))
            splits.append(example.split)
    train, validation = _divided(samples, splits)
    if not train or not validation:
        wanted = {"caption": "captions", "vqa": "questions with answers"}.get(kind, "captions")
        raise DataError(
            f"{where}: {len(train)} images with {wanted} to train on and {len(validation)} to validate on",
            "Check the path, name the folder of images (--images), or name the splits.",
        )
    return Samples(train, validation, _fingerprint([*train, *validation]))


def _merged(examples: Iterable[Example]) -> list[Example]:
    """Examples of one picture as one: tables often have a row for each caption."""
    found: dict[tuple[str, str], Example] = {}
    for example in examples:
        key = (example.name, example.split or "")
        if key in found:
            before = found[key]
            captions, questions = before.captions + example.captions, before.questions + example.questions
            found[key] = replace(before, captions=captions, questions=questions)
        else:
            found[key] = example
    return list(found.values())


def _sample(example: Example, kind: Kind, tokenizer: Tokenizer, longest: int) -> Sample | None:
    """The example as the task reads it, its picture not yet; None where it has nothing for the task."""

    def encode(text: str) -> tuple[int, ...]:
        ids = tokenizer.encode(tidy(text))
        return () if tokenizer.unknown in ids else tuple(ids[:longest])

    captions = [caption for caption in example.captions if encode(caption)]
    questions = []
    for question in example.questions:
        answers = tuple((ids, weight) for answer, weight in question.answers.items() if (ids := encode(answer)))
        if (asked := encode(question.text)) and answers:
            questions.append(Asked(asked, answers, question.text, question.answers))
    if not (questions if kind == "vqa" else captions):
        return None
    tokens = tuple(encode(caption) for caption in captions)
    return Sample(example.name, Path(), tuple(captions), tokens, tuple(questions))


def _file(example: Example, kept: Path) -> Path | None:
    """The picture's file, written first where the picture is bytes or an address; None where there is none."""
    if isinstance(example.image, Path):
        return example.image
    if example.image is None:
        return None
    if not kept.exists():
        try:
            data = example.image if isinstance(example.image, bytes) else read_bytes(example.image)
        except ImageError as error:
            log.warning("left out: %s: %s", example.name, error)
            return None
        kept.parent.mkdir(parents=True, exist_ok=True)
        partial = kept.with_name(f".{kept.name}.{os.getpid()}")
        partial.write_bytes(data)
        partial.replace(kept)
    return kept


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
