"""What a caption is worth beside its photo alone: the form in which CLIPScore tells a similarity."""

from __future__ import annotations

from collections.abc import Sequence

CLIP_WEIGHT = 2.5


def clip_score(similarity: float) -> float:
    """CLIPScore (arXiv 2104.08718) of a cosine: 2.5 times it, never below 0. Figures of two models do not compare."""
    return CLIP_WEIGHT * max(similarity, 0.0)


def ref_clip_score(similarity: float, references: Sequence[float]) -> float:
    """RefCLIPScore: harmonic mean of CLIPScore and the caption's best cosine (not below 0) with a reference."""
    beside_photo, beside_people = clip_score(similarity), max(0.0, *references)
    total = beside_photo + beside_people
    return 2 * beside_photo * beside_people / total if total else 0.0
