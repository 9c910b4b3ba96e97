"""Photographs that are there more than once: with the same bytes, or resized, recompressed, slightly retouched."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seesay.library.likeness import NEAR, groups, near_pairs
from seesay.library.store import Library


@dataclass(frozen=True, slots=True)
class Copy:
    """One file of a group."""

    path: Path
    size: int
    """Bytes."""
    digest: str
    """Equal for equal bytes."""


def duplicates(library: Library, within: Sequence[Path] = (), *, most: int = NEAR) -> list[tuple[Copy, ...]]:
    """Groups of photographs that look the same, `within` these folders or all, each with the largest file first.

    `most`: bits of the perceptual hash in which two may differ; 0 is the strictest. Groups hang together by pairs, so a
    series of small changes may join its ends. Raises UsageError for more bits than `NEAR`, and
    for a folder of which nothing is known.
    """
    inside = library.inside(within)
    rows = library.rows(
        "SELECT f.path, f.size, c.digest, c.likeness FROM files f JOIN contents c ON c.id = f.content "
        "WHERE f.missing IS NULL AND c.likeness IS NOT NULL ORDER BY f.path"
    )
    copies = [(Copy(Path(os.fsdecode(path)), size, digest), likeness) for path, size, digest, likeness in rows]
    kept = [(copy, likeness) for copy, likeness in copies if inside(copy.path)]
    pairs = near_pairs([likeness for _, likeness in kept], most)
    found = [[kept[at][0] for at in group] for group in groups(len(kept), pairs)]
    return [tuple(sorted(group, key=lambda copy: (-copy.size, copy.path))) for group in found]
