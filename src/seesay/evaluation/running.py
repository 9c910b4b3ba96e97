"""Models at work on a benchmark: pictures in, records out, in their order.

A picture that cannot be used stops the run with its error: a benchmark without it would be another one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from seesay.asking import AskOptions
from seesay.describe import Blip, CaptionOptions, Describer, Seen
from seesay.errors import ImageError, UsageError
from seesay.evaluation.retrieval import Recalls, nearest, recalls, reranked
from seesay.images import ImageLike
from seesay.records import Answer, Caption, Embedding, Match

BATCH = 8
TEXTS = 128
"""Texts embedded at a time."""

Floats = NDArray[np.float32]
Item = TypeVar("Item")
Record = TypeVar("Record")

Progress = Callable[[int, int], None]
"""Called with how many are done, and of how many."""


class Embedder(Protocol):
    """What retrieval and zero-shot classification ask of a model, so that CLIP can stand beside BLIP."""

    name: str

    def embed_images(self, images: Sequence[ImageLike]) -> list[Embedding | ImageError]: ...

    def embed_texts(self, texts: Sequence[str]) -> list[Embedding]: ...


def no_progress(done: int, total: int) -> None:
    """For those who do not watch."""


def caption_images(
    model: Describer, images: Sequence[ImageLike], options: CaptionOptions, progress: Progress = no_progress
) -> list[Caption]:
    """The caption of each image."""
    captions: list[Caption] = []
    for batch in _batches(images, BATCH):
        captions += _good(model.captions(batch, options))
        progress(len(captions), len(images))
    return captions


def without_prompt(model: Describer, caption: Caption) -> str:
    """What the model said after its prompt, which is what BLIP's own evaluation scores."""
    return model.tokenizer.decode(caption.tokens) if isinstance(model, Blip) else caption.text


def match_captions(
    model: Describer, images: Sequence[ImageLike], texts: Sequence[Sequence[str]], progress: Progress = no_progress
) -> list[list[Match]]:
    """Each image with each of its own texts."""
    found: list[list[Match]] = []
    for batch in _batches(range(len(images)), BATCH):
        found += _good(model.matches([images[i] for i in batch], [texts[i] for i in batch]))
        progress(len(found), len(images))
    return found


def answer_questions(
    model: Describer,
    images: Sequence[ImageLike],
    questions: Sequence[Sequence[str]],
    options: AskOptions,
    progress: Progress = no_progress,
) -> list[list[Answer]]:
    """The answers to each image's own questions; an image is encoded once, however many they are."""
    found: list[list[Answer]] = []
    for image, asked in zip(images, questions, strict=True):
        seen = model.see(image)
        found.append(_good(model.answers([seen] * len(asked), asked, options)) if asked else [])
        progress(len(found), len(images))
    return found


def answer_blind(
    model: Describer, questions: Sequence[str], options: AskOptions, progress: Progress = no_progress
) -> list[Answer]:
    """The answers that the words alone lead to: the model sees plain grey. Equal questions are asked once."""
    seen = model.see(np.full((256, 256, 3), 127, np.uint8))
    answers: dict[str, Answer] = {}
    different = list(dict.fromkeys(questions))
    for batch in _batches(different, BATCH):
        answers |= dict(zip(batch, _good(model.answers([seen] * len(batch), batch, options)), strict=True))
        progress(len(answers), len(different))
    return [answers[question] for question in questions]


def ask_in_order(
    model: Describer,
    asked: Iterable[tuple[ImageLike, str, AskOptions]],
    total: int,
    progress: Progress = no_progress,
) -> list[Answer]:
    """The answer to each question about its picture; a picture that several questions in a row share is encoded once.

    `asked` is read as the answers are given, so that its pictures need not be in memory together.
    """
    answers: list[Answer] = []
    last: ImageLike | None = None
    seen: Seen | None = None
    for image, question, options in asked:
        if seen is None or image != last:
            last, seen = image, model.see(image)
        answers.append(model.ask(seen, question, options))
        progress(len(answers), total)
    return answers


def image_vectors(model: Embedder, images: Sequence[ImageLike], progress: Progress = no_progress) -> Floats:
    """(images, projection), of unit length."""
    if not images:
        raise UsageError("there is no picture to score", "Check the split, and that pictures have captions or labels.")
    vectors: list[Floats] = []
    for batch in _batches(images, BATCH):
        vectors += [one.vector for one in _good(model.embed_images(batch))]
        progress(len(vectors), len(images))
    return np.stack(vectors)


def text_vectors(model: Embedder, texts: Sequence[str]) -> Floats:
    """(texts, projection), of unit length."""
    return np.stack([one.vector for batch in _batches(texts, TEXTS) for one in model.embed_texts(batch)])


def retrieve(
    model: Embedder, images: Sequence[ImageLike], texts: Sequence[Sequence[str]], progress: Progress = no_progress
) -> tuple[Recalls, NDArray[np.float64]]:
    """Recalls by the similarity of vectors (ITC), and the similarities (images, texts)."""
    if not images or not all(texts):
        raise UsageError("retrieval needs images that have texts", "leave out those without")
    similarities = image_vectors(model, images, progress) @ text_vectors(model, _flat(texts)).T
    wide = similarities.astype(np.float64)
    return recalls(wide, wide, owners(texts)), wide


def rerank(
    model: Describer,
    images: Sequence[ImageLike],
    texts: Sequence[Sequence[str]],
    similarities: NDArray[np.float64],
    k: int,
    progress: Progress = no_progress,
) -> Recalls:
    """Recalls with the k nearest of each image and of each text read again and put in a new order: by the matching head
    (ITM) as BLIP does, or by all that a calibrated model says of a match (`blip.calibration`).

    An image is encoded once for all the texts that it is to stand beside, and forgotten then: memory does not grow.
    """
    every = _flat(texts)
    near_texts, near_images = nearest(similarities, k), nearest(similarities.T, k)
    beside: list[set[int]] = [set(row.tolist()) for row in near_texts]
    for text, row in enumerate(near_images):
        for image in row.tolist():
            beside[image].add(text)
    logits: dict[tuple[int, int], float] = {}
    for image, numbers in enumerate(map(sorted, beside)):
        [found] = _good(model.matches([images[image]], [[every[number] for number in numbers]]))
        logits |= {(image, text): _logit(one) for text, one in zip(numbers, found, strict=True)}
        progress(image + 1, len(images))
    of_images = np.array([[logits[image, text] for text in row] for image, row in enumerate(near_texts.tolist())])
    of_texts = np.array([[logits[image, text] for image in row] for text, row in enumerate(near_images.tolist())])
    return recalls(
        reranked(similarities, near_texts, of_images),
        reranked(similarities.T, near_images, of_texts).T,
        owners(texts),
    )


def owners(texts: Sequence[Sequence[str]]) -> list[int]:
    """The image that each text belongs to."""
    return [image for image, beside in enumerate(texts) for _ in beside]


def log_odds(match: Match) -> float:
    """Of the probability that image and text match. Raises UsageError for a model that has none."""
    if match.probability is None:
        raise UsageError(*_NO_MATCHING)
    tiny = np.finfo(float).tiny
    return float(np.log(max(match.probability, tiny)) - np.log(max(1 - match.probability, tiny)))


def _logit(match: Match) -> float:
    """The matching head's logit of "yes". Raises UsageError for a model that has no such head."""
    if match.logit is None:
        raise UsageError(*_NO_MATCHING)
    return match.logit


_NO_MATCHING = ("this model does not tell whether a text matches", "Use a retrieval checkpoint.")


def _flat(texts: Sequence[Sequence[str]]) -> list[str]:
    return [text for beside in texts for text in beside]


def _batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _good(records: Sequence[Record | ImageError]) -> list[Record]:
    for one in records:
        if isinstance(one, ImageError):
            raise one
    return [one for one in records if not isinstance(one, ImageError)]
