"""Captions that a person writes in place of the model's, with every version that ever stood there.

A version is never lost: to undo is to put an earlier one in force, and the later one stays in the history. What a
person wrote is not captioned again, and goes into metadata without the mark of a machine (`writing`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from seesay.describe import Describer
from seesay.errors import DataError, UsageError
from seesay.library.indexing import PROBE_TEXT
from seesay.library.store import Library
from seesay.library.xmp import legal

LONGEST = 4_000
"""Characters of a caption."""


@dataclass(frozen=True, slots=True)
class Version:
    """A caption that stands, or stood, in a record."""

    id: int | None
    """None: nobody edited it, and it stands nowhere else."""
    caption: str
    author: str
    """The model; empty: a person."""
    made: datetime | None
    """When it came to stand there; of a model's, when a person took its place."""
    current: bool


def edit(library: Library, item: int, caption: str) -> None:
    """The caption that a person wrote is in force from now on. The vector of the earlier one goes: `embed_caption`
    makes another. Characters that XML lacks are left out.

    Raises DataError where there is no such item, UsageError for what cannot be a caption.
    """
    said = " ".join(word for word in map(legal, caption.split()) if word)
    if not said or len(said) > LONGEST:
        raise UsageError(f"A caption of {len(said):,} characters", f"Write 1 to {LONGEST:,}.")
    with library.writing():
        before = _standing(library, item)
        if before.start is not None:
            raise UsageError("A scene of a video is told anew with its video", "Edit captions of photographs.")
        if said == before.caption:
            return
        earlier = _kept(library, item, before)
        _set(library, item, said, None, _keep(library, item, said, None, "", earlier))


def history(library: Library, item: int) -> list[Version]:
    """Every caption that ever stood there, the newest first. Raises DataError."""
    standing = _standing(library, item)
    rows = library.rows("SELECT id, caption, author, made FROM captions WHERE item = ? ORDER BY id DESC", [item])
    versions = [
        Version(row, caption, author, datetime.fromisoformat(made), row == standing.version)
        for row, caption, author, made in rows
    ]
    if standing.version is None and standing.caption:
        versions.insert(0, Version(None, standing.caption, standing.author, None, True))
    return versions


def restore(library: Library, item: int, version: int) -> None:
    """Put a version in force again, later or earlier. Raises DataError where the item never had it."""
    with library.writing():
        before = _standing(library, item)
        query = "SELECT caption, score FROM captions WHERE id = ? AND item = ?"
        rows = library.rows(query, [version, item])
        if not rows:
            raise DataError(f"Record {item} never had a caption {version}", "Choose one of its history.")
        _kept(library, item, before)
        [(caption, score)] = rows
        _set(library, item, caption, score, version)


def undo_edit(library: Library, item: int) -> bool:
    """Put the version in force whose place the present one took; False where there is none."""
    query = "SELECT v.earlier FROM items i JOIN captions v ON v.id = i.version WHERE i.id = ? AND v.earlier IS NOT NULL"
    for [earlier] in library.rows(query, [item]):
        restore(library, item, earlier)
        return True
    return False


def embed_caption(library: Library, item: int, model: Describer) -> None:
    """Give a new caption its vector, so that it is found by its meaning too. Nothing where the model makes none."""
    if "embed" not in model.capabilities:
        return
    caption = _standing(library, item).caption
    if not re.search(r"\w", caption):
        return
    space = library.space_of(model.name, model.embed_text(PROBE_TEXT).vector)
    library.tell_caption_vector(item, caption, space, model.embed_text(caption).vector)


@dataclass(frozen=True, slots=True)
class _Standing:
    """What is in force."""

    caption: str
    score: float | None
    version: int | None
    start: float | None
    author: str


def _standing(library: Library, item: int) -> _Standing:
    rows: Sequence[Any] = library.rows(
        "SELECT i.caption, i.score, i.version, i.start, coalesce(c.captioned_by, '') FROM items i "
        "JOIN contents c ON c.id = i.content WHERE i.id = ?",
        [item],
    )
    if not rows:
        raise DataError(f"There is no record {item} in this library", "It may have been forgotten; look again.")
    return _Standing(*rows[0])


def _kept(library: Library, item: int, standing: _Standing) -> int | None:
    """The version that stands there; one that the model told is kept now, before another takes its place."""
    if standing.version is not None or not standing.caption:
        return standing.version
    return _keep(library, item, standing.caption, standing.score, standing.author, None)


def _keep(library: Library, item: int, caption: str, score: float | None, author: str, earlier: int | None) -> int:
    [made] = library.connection.execute(
        "INSERT INTO captions (item, caption, score, author, made, earlier) VALUES (?, ?, ?, ?, ?, ?) RETURNING id",
        [item, caption, score, author, datetime.now(UTC).isoformat(timespec="seconds"), earlier],
    ).fetchone()
    return int(made)


def _set(library: Library, item: int, caption: str, score: float | None, version: int) -> None:
    library.connection.execute(
        "UPDATE items SET caption = ?, score = ?, version = ? WHERE id = ?", [caption, score, version, item]
    )
    library.caption_changed(item)
