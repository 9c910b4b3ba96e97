"""Photographs in groups that show the like, each named by the words that tell it from the others.

Groups are found by the pictures' vectors where a model has embedded them, else by the words of their captions
(spherical k-means; the same library gives the same groups).
"""

from __future__ import annotations

import os
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seesay.errors import UsageError
from seesay.library.calibration import content_words
from seesay.library.store import Library

WIDTH = 128
"""Dimensions that words are put into where there are no vectors."""
ROUNDS = 25
BEGINNINGS = 5
"""Times that groups are looked for; the tightest are kept, since k-means may end in worse ones."""
LEAST = 3
"""Photographs that make an album."""


@dataclass(frozen=True, slots=True)
class Album:
    """A group of photographs."""

    name: str
    """Up to three words, the most telling first."""
    paths: tuple[Path, ...]
    """The most typical first."""
    first: datetime | None
    """When its earliest photograph was taken, as far as that is known."""
    last: datetime | None


@dataclass(frozen=True, slots=True)
class _Photo:
    item: int
    path: Path
    words: tuple[str, ...]
    taken: datetime | None


def albums(library: Library, within: Sequence[Path] = (), *, count: int | None = None) -> list[Album]:
    """Albums of the photographs `within` these folders, or of all, the largest first.

    `count`: how many groups to look for, else about as many as the square root of half the photographs; those of fewer
    than three are none.
    """
    if count is not None and count < 1:
        raise UsageError(f"{count} albums", "Give 1 or more.")
    photos = _photos(library, within)
    if not photos:
        return []
    points = _vectors(library, photos)
    if points is None:
        points = word_vectors([photo.words for photo in photos])
    wanted = min(count or max(round((len(photos) / 2) ** 0.5), 2), len(photos))
    groups, nearness = clusters(points, wanted)
    rarity = _rarity([photo.words for photo in photos])
    made = []
    for group in range(wanted):
        members = np.flatnonzero(groups == group)
        if len(members) >= LEAST:
            ordered = [photos[at] for at in members[np.argsort(-nearness[members], kind="stable")]]
            made.append(_album(ordered, rarity))
    return sorted(made, key=lambda album: (-len(album.paths), album.name))


def _photos(library: Library, within: Sequence[Path]) -> list[_Photo]:
    inside = library.inside(within)
    rows = library.rows(
        "SELECT i.id, f.path, i.caption, c.taken FROM items i JOIN contents c ON c.id = i.content "
        "JOIN files f ON f.content = c.id WHERE f.missing IS NULL AND c.kind = 'photo' ORDER BY i.id, f.path DESC"
    )
    firsts = {row[0]: row for row in rows}  # the last of each item, which is the first path of copies
    found = [
        _Photo(
            item,
            Path(os.fsdecode(path)),
            content_words(caption),
            datetime.fromisoformat(taken) if taken else None,
        )
        for item, path, caption, taken in firsts.values()
    ]
    return [one for one in found if inside(one.path)]


def _vectors(library: Library, photos: Sequence[_Photo]) -> NDArray[np.float32] | None:
    """(photos, dimension) in the space that most pictures are in; None unless all are."""
    spaces = library.rows(
        "SELECT space FROM vectors WHERE kind = 'image' GROUP BY space ORDER BY count(*) DESC LIMIT 1"
    )
    if not spaces:
        return None
    items, matrix = library.database.vectors(spaces[0][0], "image").of(np.array([one.item for one in photos], np.int64))
    row_of = {int(item): row for row, item in enumerate(items)}
    if any(photo.item not in row_of for photo in photos):
        return None
    return matrix[[row_of[photo.item] for photo in photos]]


def word_vectors(texts: Sequence[Sequence[str]]) -> NDArray[np.float32]:
    """(texts, WIDTH): a direction for every word, added up, rare words with more weight; of unit length.

    Directions are random and the same for the same word; in so many dimensions they are all but at right angles.
    """
    rarity = _rarity(texts)
    directions = {
        word: weight * np.random.default_rng(zlib.crc32(word.encode())).choice([-1.0, 1.0], WIDTH)
        for word, weight in rarity.items()
    }
    found = np.zeros((len(texts), WIDTH), np.float32)
    for row, words in enumerate(texts):
        for word in words:
            found[row] += directions[word]
    return np.asarray(found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9), np.float32)


def _rarity(texts: Sequence[Sequence[str]]) -> dict[str, float]:
    """Inverse document frequency of every word."""
    counts = Counter(word for words in texts for word in words)
    return {word: float(np.log((1 + len(texts)) / count)) for word, count in counts.items()}


def clusters(points: NDArray[np.float32], count: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """The group of each point, (n,), and its cosine to the group's middle: spherical k-means, begun by k-means++."""
    found = [_settled(points, _beginning(points, count, seed)) for seed in range(BEGINNINGS)]
    return max(found, key=lambda one: float(one[1].sum()))


def _settled(points: NDArray[np.float32], centres: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Groups and cosines from these centres, (count, dimension), on."""
    groups = np.full(len(points), -1, np.intp)
    nearness = np.zeros(len(points), np.float32)
    for _ in range(ROUNDS):
        before = groups
        cosines = points @ centres.T  # (n, count)
        groups, nearness = cosines.argmax(1), cosines.max(1)
        if np.array_equal(groups, before):
            break
        for group in range(len(centres)):
            middle = points[groups == group].sum(0)
            length = np.linalg.norm(middle)
            if length > 0:
                centres[group] = middle / length
    return groups, nearness


def _beginning(points: NDArray[np.float32], count: int, seed: int) -> NDArray[np.float32]:
    """(count, dimension): points that lie far from one another (k-means++), drawn alike for a seed."""
    random = np.random.default_rng(seed)
    chosen = [int(random.integers(len(points)))]
    apart = np.maximum(1 - points @ points[chosen[0]], 0).astype(np.float64)
    while len(chosen) < count:
        total = apart.sum()
        if total <= 1e-9:  # all others are the same as one that is chosen
            break
        chosen.append(int(random.choice(len(points), p=apart / total)))
        apart = np.minimum(apart, np.maximum(1 - points @ points[chosen[-1]], 0))
    centres = np.zeros((count, points.shape[1]), np.float32)
    centres[: len(chosen)] = points[chosen]
    return centres


def _album(photos: Sequence[_Photo], rarity: dict[str, float]) -> Album:
    """Named by the words that many of its photographs share and few others have."""
    counts = Counter(word for photo in photos for word in photo.words)
    telling = sorted(counts, key=lambda word: (-counts[word] / len(photos) * rarity[word], word))
    common = [word for word in telling if counts[word] >= len(photos) / 4][:3] or telling[:1]
    dates = sorted(photo.taken for photo in photos if photo.taken)
    name = ", ".join(common) or "no words"
    return Album(name, tuple(photo.path for photo in photos), dates[0] if dates else None, dates[-1] if dates else None)
