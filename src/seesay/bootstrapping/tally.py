"""What a run comes to: counts, the histogram of scores, and some pictures to look at; parts of it add up."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from seesay.capfilt import Judged, Origin, Sifted
from seesay.data import Example
from seesay.errors import DataError, ImageError
from seesay.images import open_image

BINS = 20
SHOWN = 6
"""Pictures of each kind that are shown."""
BROKEN_SHOWN = 50
THUMBNAIL = 240
"""Pixels of a thumbnail's longer side."""

KINDS = {
    "rescued": "Only what was written is kept",
    "found": "Only what was found is kept",
    "both": "Found and written texts are kept",
    "lost": "Nothing is kept",
}


@dataclass(frozen=True, slots=True)
class Sample:
    """A picture to look at."""

    rank: str
    """Drawn by lot: pictures of the lowest ranks are shown, the same ones whatever order they came in."""
    name: str
    kind: str
    thumbnail: str
    """A data: URI."""
    texts: tuple[Judged, ...]


@dataclass(slots=True)
class Tally:
    """Counts of what was sifted, and what the report shows of it."""

    pictures: int = 0
    """All that came, broken ones too."""
    pairs: int = 0
    """Pictures that kept a text."""
    broken_pictures: int = 0
    broken_rows: int = 0
    texts: Counter[tuple[Origin, bool]] = field(default_factory=Counter)
    """By origin and decision."""
    empty: Counter[Origin] = field(default_factory=Counter)
    """Dropped ones that had no words to judge."""
    histogram: Counter[tuple[Origin, int]] = field(default_factory=Counter)
    """Scored texts by origin and bin of their probability."""
    broken: list[str] = field(default_factory=list)
    """The first reasons, with their places."""
    samples: list[Sample] = field(default_factory=list)

    def add(self, pair: Example, outcome: Sifted) -> None:
        self.pictures += 1
        if outcome.broken is not None:
            self.broken_pictures += 1
            self._note(outcome.broken)
            return
        self.pairs += bool(outcome.kept)
        for text in outcome.texts:
            self.texts[text.origin, text.kept] += 1
            if text.probability is None:
                self.empty[text.origin] += 1
            else:
                self.histogram[text.origin, min(int(text.probability * BINS), BINS - 1)] += 1
        self._draw(pair, outcome)

    def add_broken_row(self, reason: str) -> None:
        self.broken_rows += 1
        self._note(reason)

    def merge(self, other: Tally) -> None:
        self.pictures += other.pictures
        self.pairs += other.pairs
        self.broken_pictures += other.broken_pictures
        self.broken_rows += other.broken_rows
        self.texts += other.texts
        self.empty += other.empty
        self.histogram += other.histogram
        for reason in other.broken:
            self._note(reason)
        self.samples = _lowest(self.samples + other.samples)

    def count(self, origin: Origin) -> int:
        return self.texts[origin, True] + self.texts[origin, False]

    def _note(self, reason: str) -> None:
        if len(self.broken) < BROKEN_SHOWN:
            self.broken.append(reason)

    def _draw(self, pair: Example, outcome: Sifted) -> None:
        kind = _kind(outcome.texts)
        if kind is None:
            return
        rank = hashlib.sha256(outcome.name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        ranks = [one.rank for one in self.samples if one.kind == kind]
        if len(ranks) < SHOWN or rank < max(ranks):
            try:
                sample = Sample(rank, outcome.name, kind, thumbnail(pair.image), outcome.texts)
            except ImageError:  # a folder may change while it is read: then there is nothing to show
                return
            self.samples = _lowest([*self.samples, sample])


def thumbnail(image: Path | bytes | str | None) -> str:
    """A small JPEG as a data: URI. Raises ImageError."""
    assert image is not None  # whoever has none is broken
    picture = open_image(image, side=THUMBNAIL)
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=75)
    return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"


def to_json(tally: Tally) -> str:
    row: dict[str, Any] = {
        "pictures": tally.pictures,
        "pairs": tally.pairs,
        "broken_pictures": tally.broken_pictures,
        "broken_rows": tally.broken_rows,
        "texts": [[*key, count] for key, count in tally.texts.items()],
        "empty": tally.empty,
        "histogram": [[*key, count] for key, count in tally.histogram.items()],
        "broken": tally.broken,
        "samples": [asdict(sample) for sample in tally.samples],
    }
    return json.dumps(row) + "\n"


def read_tally(path: Path) -> Tally:
    """Raises DataError where the file is none."""
    try:
        row = json.loads(path.read_bytes())
        samples = [
            Sample(**{**sample, "texts": tuple(Judged(**text) for text in sample["texts"])})
            for sample in row["samples"]
        ]
        return Tally(
            **{name: row[name] for name in ("pictures", "pairs", "broken_pictures", "broken_rows", "broken")},
            texts=Counter({(origin, kept): count for origin, kept, count in row["texts"]}),
            empty=Counter(row["empty"]),
            histogram=Counter({(origin, place): count for origin, place, count in row["histogram"]}),
            samples=samples,
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: no summary of capfilt ({error})", "Delete it: it is then made anew.") from error


def _kind(texts: Iterable[Judged]) -> str | None:
    kept = {one.origin for one in texts if one.kept}
    if kept == {"web", "synthetic"}:
        return "both"
    if kept == {"web"}:
        return "found"
    if kept:
        return "rescued"
    return "lost" if texts else None


def _lowest(samples: Iterable[Sample]) -> list[Sample]:
    """The samples of the lowest ranks, as many of each kind as are shown."""
    shown: list[Sample] = []
    taken: Counter[str] = Counter()
    for sample in sorted(samples, key=lambda one: (one.rank, one.name)):
        if taken[sample.kind] < SHOWN:
            taken[sample.kind] += 1
            shown.append(sample)
    return shown
