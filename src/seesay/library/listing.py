"""What a library holds, as a list: the newest first, a page at a time, and everything that is known of each."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from seesay.errors import DataError
from seesay.library.scan import Kind
from seesay.library.search import Query, let_through
from seesay.library.store import Library

CHUNK = 500
"""Records that are read at a time."""
AUTHOR = "coalesce((SELECT v.author FROM captions v WHERE v.id = i.version), c.captioned_by, '')"
"""Who wrote the caption of an item `i` with the content `c`: the model, or ''."""
HERE = "EXISTS (SELECT 1 FROM files f WHERE f.content = c.id AND f.missing IS NULL)"


@dataclass(frozen=True, slots=True)
class Record:
    """A photograph, or a scene of a video, with all that is known of it."""

    item: int
    digest: str
    kind: Kind
    paths: tuple[Path, ...]
    """Its files; the others are copies of the first."""
    caption: str
    score: float | None
    """The caption's log-probability; None where a person wrote it."""
    author: str
    """The model that captioned it; empty: a person."""
    text: str
    """That stands in it."""
    start: float | None
    """Seconds, where it is a scene."""
    stop: float | None
    taken: datetime | None
    camera: str
    place: str
    coordinates: tuple[float, float] | None
    people: tuple[str, ...]
    keywords: tuple[str, ...]
    description: str
    """What somebody wrote about it, in the file."""


@dataclass(frozen=True, slots=True)
class Facets:
    """What there is to filter by."""

    cameras: tuple[tuple[str, int], ...]
    """With how many photographs, most first."""
    first: datetime | None
    """When the oldest was taken."""
    last: datetime | None
    located: int
    """Photographs with a place."""


def listed(library: Library, filters: Query | None = None) -> list[int]:
    """Items with these filters, the newest first and those without a date at the end; a video by its first scene."""
    rows = library.rows(
        f"SELECT min(i.id) FROM items i JOIN contents c ON c.id = i.content WHERE {HERE} "
        "GROUP BY c.id, c.taken ORDER BY CASE WHEN c.taken IS NULL THEN 1 ELSE 0 END, c.taken DESC, c.id DESC"
    )
    items = np.fromiter((item for [item] in rows), np.int64, len(rows))
    if filters is not None:
        items = items[np.isin(items, let_through(library, filters))]
    found: list[int] = items.tolist()
    return found


def records(library: Library, items: Sequence[int]) -> Iterator[Record]:
    """What is known of these items, in their order; those that are gone meanwhile are left out."""
    for begin in range(0, len(items), CHUNK):
        chunk = items[begin : begin + CHUNK]
        marks = ",".join("?" * len(chunk))
        rows = library.rows(
            f"SELECT i.id, c.digest, c.kind, i.caption, i.score, {AUTHOR}, i.text, i.start, i.stop, "
            "c.taken, c.camera, c.place, c.latitude, c.longitude, c.people, c.keywords, c.description, c.id "
            f"FROM items i JOIN contents c ON c.id = i.content WHERE i.id IN ({marks})",
            chunk,
        )
        paths: dict[int, list[Path]] = {}
        for content, path in library.rows(
            "SELECT f.content, f.path FROM files f WHERE f.missing IS NULL AND f.content IN "
            f"(SELECT content FROM items WHERE id IN ({marks})) ORDER BY f.path",
            chunk,
        ):
            paths.setdefault(content, []).append(Path(os.fsdecode(path)))
        known = {row[0]: _record(row, paths[row[-1]]) for row in rows if row[-1] in paths}
        yield from (known[item] for item in chunk if item in known)


def record(library: Library, item: int) -> Record:
    """What is known of one. Raises DataError where there is none."""
    for found in records(library, [item]):
        return found
    raise DataError(f"There is no photograph {item} in this library", "It may be gone; look again.")


def facets(library: Library) -> Facets:
    """What filters can be of use."""
    here = f"FROM contents c WHERE {HERE} AND c.error IS NULL"
    cameras = library.rows(
        f"SELECT c.camera, count(*) AS n {here} AND c.camera != '' GROUP BY c.camera ORDER BY n DESC, c.camera"
    )
    [[first, last, located]] = library.rows(
        f"SELECT min(c.taken), max(c.taken), sum(CASE WHEN c.place != '' OR c.latitude IS NOT NULL THEN 1 ELSE 0 END) "
        f"{here}"
    )
    return Facets(tuple((name, count) for name, count in cameras), _moment(first), _moment(last), located or 0)


def _record(row: Sequence[Any], paths: Sequence[Path]) -> Record:
    (item, digest, kind, caption, score, author, text, start, stop, taken, camera, place, north, east, *rest) = row
    people, keywords, description, _ = rest
    return Record(
        item,
        digest,
        kind,
        tuple(paths),
        caption,
        score,
        author,
        text,
        start,
        stop,
        _moment(taken),
        camera,
        place,
        None if north is None else (north, east),
        tuple(json.loads(people)),
        tuple(json.loads(keywords)),
        description,
    )


def _moment(taken: str | None) -> datetime | None:
    return datetime.fromisoformat(taken) if taken else None
