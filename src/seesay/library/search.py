"""Photographs found by words and by pictures, with the reasons.

Three rankings, as far as the library has what they need: full-text search (BM25) over captions, text in the picture,
keywords, what people wrote, and file names; the query's vector against the pictures'; and against the captions'. They
are fused by weighted reciprocal ranks, so that no score must be comparable with another's. Words of a machine's caption
weigh little, since the picture tells more; where words stand in what people wrote or in the picture itself, they rank
once more, and heavily. The best are read again by what sees picture and text together, image-text matching. The order
is one more ranking, which is added to what the others found and does not replace it. What cannot be a match is left
out, so that the answer to a question about what is not there is nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from seesay.describe import ABLE, Describer, Seen
from seesay.errors import ImageError, UsageError
from seesay.images import ImageLike, open_image
from seesay.library.calibration import content_words, probabilities
from seesay.library.database import KINDS, Kind, Nearest, Standing
from seesay.library.indexing import PROBE_TEXT
from seesay.library.store import Library

if TYPE_CHECKING:
    from PIL.Image import Image

Part = Literal["words", "written", "image", "caption", "match"]
OURS = "caption"
"""The column that a machine wrote, unless a person edited it."""
DEPTH = 200
"""Places of each ranking that count."""
RANKS = 5
"""The constant of reciprocal rank fusion. The 60 of Cormack, Clarke and Büttcher (SIGIR 2009) is for rankings of equal
worth: on Flickr8k it loses a fifth of the photographs that pictures alone find at once."""
K1, B = 1.2, 0.75
"""BM25's constants, as in FTS5."""
CUT = 0.5
AGAIN = 6
"""How many are read again: 8 put a photograph of Flickr8k first as often (39.6 and 39.2 % of 250), a third later."""
REMEMBERED = 64
"""Encoded pictures: 9 MB of the built-in model, 150 MB of the largest BLIP."""
WEIGHTS: Mapping[Part, float] = {"words": 0.2, "written": 5.0, "image": 1.0, "caption": 0.3, "match": 5.0}
"""What each ranking counts for: chosen by `bench/search.py`, on other captions than those that it reports on; but
"written", which those photographs do not have, counts as much as what is read again."""
LIMIT = 20
"""Pictures that are shown, unless somebody asks for more or fewer."""
EARTH = 6371.0
"""Kilometres from its centre."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What is looked for. Words, a picture, or both ("like this, but at night"); filters alone list by date."""

    text: str = ""
    """Words, in any order; "in quotes" as a phrase."""
    like: ImageLike | None = field(default=None, repr=False)
    after: datetime | None = None
    """Taken then or later; pictures without a date are left out."""
    before: datetime | None = None
    near: tuple[float, float] | str | None = None
    """Degrees north and east, or part of a place's name as the photograph has it."""
    within: float = 10.0
    """Kilometres from there."""
    camera: str = ""
    """Part of the camera's name."""
    limit: int = LIMIT
    rerank: int = AGAIN
    """How many of the best are read again; 0 for none."""
    cut: float = CUT
    """The probability below which a picture is no match; 0 shows all."""

    def __post_init__(self) -> None:
        if self.limit < 1 or self.rerank < 0 or not 0 <= self.cut <= 1 or not self.within > 0:
            raise UsageError(
                f"{self.limit} pictures, {self.rerank} read again, cut at {self.cut}, within {self.within} km",
                "Give at least 1 picture, a cut from 0 to 1, and a distance above 0.",
            )
        if not self.text.strip() and self.like is None and not self.filters:
            raise UsageError("Nothing to look for", "Give words, a picture (like), or a filter.")

    @property
    def filters(self) -> bool:
        return bool(self.after or self.before or self.near or self.camera)


@dataclass(frozen=True, slots=True)
class Why:
    """Why a picture was found. None: that part had no say, or did not find it."""

    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By column, the words as they stand there."""
    missing: tuple[str, ...] = ()
    """Words of the query that stand nowhere."""
    bm25: float | None = None
    """Higher is better."""
    image: float | None = None
    """Cosine of the query's vector and the picture's."""
    caption: float | None = None
    """Cosine of the query's vector and the caption's."""
    likely: float | None = None
    """What the picture's cosine means in this library, as a probability (see `calibration`)."""
    match: float | None = None
    """Probability by the matching head."""
    ranks: Mapping[Part, int] = field(default_factory=dict)
    """Place in each ranking, from 1; in "match" among those that were read again."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A photograph, or a scene of a video, that was found."""

    item: int = field(repr=False)
    path: Path
    copies: tuple[Path, ...]
    """Other files with the same bytes."""
    caption: str
    start: float | None
    """Seconds, where it is a scene."""
    stop: float | None
    taken: datetime | None
    place: str
    camera: str
    score: float
    """Sum of weighted reciprocal ranks; says nothing to other queries."""
    why: Why


@dataclass(frozen=True, slots=True)
class Found:
    """The answer: the best first, or nothing."""

    hits: tuple[Hit, ...]
    searched: int
    """Photographs and scenes that the filters let through."""
    dismissed: int
    """Candidates that were looked at and were no match."""
    left_out: tuple[str, ...]
    """Parts of the search that had to be left out, and why."""


@dataclass(slots=True)
class _State:
    """What is kept in memory between queries, until the library changes."""

    version: Hashable
    live: NDArray[np.int64]
    """Items that have a file, sorted."""
    weights: NDArray[np.float64]
    """(live,): what a word counts in each, less in long ones."""
    edited: frozenset[int]
    """Items whose caption a person wrote."""
    vectors: dict[Kind, Nearest]
    curve: tuple[float, float] | None


class Searcher:
    """Asks a library. Without a model, or with one that only captions, by words."""

    def __init__(
        self, library: Library, model: Describer | None = None, weights: Mapping[Part, float] = WEIGHTS
    ) -> None:
        """weights: what each ranking counts for; one that is not named, or weighs nothing, is left out."""
        self.library = library
        self.model = model
        self.weights = {part: weight for part, weight in weights.items() if weight > 0}
        self._space: int | None = None
        self._state: _State | None = None
        self._remembered: dict[int, Seen] = {}

    def search(self, query: Query) -> Found:
        """The best matches. Raises ImageError where the picture to be like cannot be used."""
        state = self._current()
        allowed = self._allowed(query, state.live)
        left_out: list[str] = []
        text = self._words_of(query, left_out)
        words = _terms(text)
        rankings = self._rankings(query, text, words, state, allowed, left_out)
        if not text and query.like is None:
            return self._by_date(query, allowed)
        size = max(query.limit, query.rerank, LIMIT)  # fewer would be judged anew, and be other ones
        by_words = rankings.get("words", [])
        looked_at = {*_best_first(self._fused(rankings))[:size], *(item for item, _ in by_words[:size])}
        standing = self.library.database.standing(sorted(looked_at), words)
        written = {item for item in looked_at if item in state.edited or set(standing[item][0]) - {OURS}}
        rankings["written"] = [
            one for one in by_words if one[0] in written and len(standing[one[0]][1]) <= len(words) / 2
        ]
        best = [item for item in _best_first(self._fused(rankings)) if item in looked_at][:size]
        rankings["match"] = self._read_again(query, best, left_out)
        fused = self._fused(rankings)
        whys = _whys(best, standing, rankings, state, calibrated=query.like is None)
        read = bool(rankings["match"])
        kept = [
            item
            for item in _best_first(fused)
            if item in whys and _is_match(whys[item], query, words, item in written, read)
        ]
        hits = self._hits(kept[: query.limit], fused, whys)
        return Found(tuple(hits), len(allowed), len(best) - len(kept), tuple(left_out))

    # --------------------------------------------------------------------------------------------------- what is there

    def _current(self) -> _State:
        version = self.library.version
        if self._state is None or self._state.version != version:
            live = self.library.rows(
                "SELECT DISTINCT i.id FROM files f JOIN items i ON i.content = f.content WHERE f.missing IS NULL "
                "ORDER BY i.id"
            )
            space, vectors, curve = self._find_space(), {}, None
            if space:
                vectors = {kind: self.library.database.vectors(space, kind) for kind in KINDS}
                [[slope, intercept]] = self.library.rows("SELECT slope, intercept FROM spaces WHERE id = ?", [space])
                curve = None if slope is None else (slope, intercept)
            items = np.fromiter((item for [item] in live), np.int64, len(live))
            people = "SELECT i.id FROM items i JOIN captions v ON v.id = i.version WHERE v.author = ''"
            edited = frozenset(item for [item] in self.library.rows(people))
            self._state = _State(self.library.version, items, _weights(self.library, items), edited, vectors, curve)
        return self._state

    def _find_space(self) -> int:
        """The space of the model's vectors in this library; 0 for none."""
        if self.model is None or "embed" not in self.model.capabilities:
            return 0
        if self._space is None:
            self._space = self.library.space_of(self.model.name, self.model.embed_text(PROBE_TEXT).vector)
        return self._space

    def _allowed(self, query: Query, live: NDArray[np.int64]) -> NDArray[np.int64]:
        """Items that the filters let through, sorted."""
        if not query.filters:
            return live
        items = let_through(self.library, query)
        return items[np.isin(items, live)]

    # ------------------------------------------------------------------------------------------------------- rankings

    def _words_of(self, query: Query, left_out: list[str]) -> str:
        """The query's words; for a picture that cannot be compared, those of its caption."""
        if query.like is None or self._find_space():
            return query.text.strip()
        if self.model is None or "caption" not in self.model.capabilities:
            raise UsageError("A picture to be like takes a model", f"Load one, such as {ABLE['embed'][1]}.")
        said = self.model.caption(query.like).text
        left_out.append(f'pictures like it: {self._unable()}; searched for the words of its caption, "{said}"')
        return f"{said} {query.text}".strip()

    def _unable(self) -> str:
        name = self.model.name if self.model else "no model"
        words, able = ABLE["embed"]
        return f"{name} cannot {words}; index with one that can, such as {able}"

    def _rankings(
        self,
        query: Query,
        text: str,
        words: Sequence[str],
        state: _State,
        allowed: NDArray[np.int64],
        left_out: list[str],
    ) -> dict[Part, list[tuple[int, float]]]:
        """Items with their scores by each part, best first; a picture that is searched for is not found itself."""
        found: dict[Part, list[tuple[int, float]]] = {}
        if words and "words" in self.weights:
            found["words"] = self._by_words(words, state, allowed)
        if not state.vectors:
            if query.like is None and text:
                left_out.append(f"vectors: {self._unable()}")
            return found
        vector = self._vector(query)
        if vector is None:
            return found
        for part in KINDS if query.like is None else KINDS[:1]:
            if part in self.weights:
                found[part] = state.vectors[part].nearest(vector, DEPTH, allowed)
        if len(state.vectors["image"]) < len(state.live):
            without = len(state.live) - len(state.vectors["image"])
            left_out.append(f"vectors of {without:,} pictures, which this model has not indexed")
        return found

    def _vector(self, query: Query) -> NDArray[np.float32] | None:
        """Of the text, of the picture, or in the middle between both."""
        assert self.model is not None
        vectors = []
        if query.like is not None:
            vectors.append(self.model.embed_image(query.like).vector)
        if re.search(r"\w", query.text):
            vectors.append(self.model.embed_text(query.text).vector)
        if not vectors:
            return None
        middle = np.sum(vectors, axis=0)
        return np.asarray(middle / np.linalg.norm(middle), np.float32)

    def _by_words(self, words: Sequence[str], state: _State, allowed: NDArray[np.int64]) -> list[tuple[int, float]]:
        """BM25 over any of the words, as FTS5's own but that a word counts once in an item, however often it stands
        there: then which items have it is all that must be read (six words, 100,000 items: 8 ms in place of 71)."""
        scores = np.zeros(len(state.live))
        for word in words:
            items = self.library.database.items_with(word)
            items = items[np.isin(items, state.live)]
            rarity = np.log((len(scores) - len(items) + 0.5) / (len(items) + 0.5))
            places = np.searchsorted(state.live, items)
            scores[places] += max(rarity, 1e-6) * state.weights[places]
        scores[~np.isin(state.live, allowed)] = 0
        found = np.flatnonzero(scores)
        best = found[np.argsort(-scores[found], kind="stable")][:DEPTH]
        return [(int(state.live[at]), float(scores[at])) for at in best]

    def _fused(self, rankings: Mapping[Part, Sequence[tuple[int, float]]]) -> dict[int, float]:
        """Sum of the weighted reciprocal ranks of each item."""
        scores: dict[int, float] = {}
        for part, found in rankings.items():
            for rank, (item, _) in enumerate(found, 1):
                scores[item] = scores.get(item, 0.0) + self.weights.get(part, 0.0) / (RANKS + rank)
        return scores

    def _read_again(self, query: Query, best: Sequence[int], left_out: list[str]) -> list[tuple[int, float]]:
        """The first few with their P(match), in the new order. Files that cannot be read have none."""
        if not query.rerank or query.like is not None or not best or "match" not in self.weights:
            return []
        if self.model is None or "match" not in self.model.capabilities:
            words, able = ABLE["match"]
            name = self.model.name if self.model else "no model"
            left_out.append(f"reading the best again: {name} cannot {words}; {able} can")
            return []
        seen = {item: one for item in best[: query.rerank] if (one := self._seen(item)) is not None}
        matches = self.model.matches([*seen.values()], [[query.text]] * len(seen))
        found = {
            item: one[0].probability
            for item, one in zip(seen, matches, strict=True)
            if not isinstance(one, ImageError) and one[0].probability is not None
        }
        return sorted(found.items(), key=lambda one: -one[1])

    def _seen(self, item: int) -> Seen | None:
        """The photograph as the model sees it; None where it cannot be read. The latest are remembered: whoever changes
        a question looks at many of the same again."""
        assert self.model is not None
        found = self._remembered.pop(item, None)
        if found is None:
            try:
                picture = self._picture(item)
                found = None if picture is None else self.model.see(picture)
            except ImageError:
                return None
        if found is not None:
            self._remembered[item] = found
            for oldest in [*self._remembered][:-REMEMBERED]:
                del self._remembered[oldest]
        return found

    def _picture(self, item: int) -> ImageLike | None:
        """The photograph's file; of a scene the frame in its middle."""
        rows = self.library.rows(
            "SELECT f.path, i.start, i.stop FROM items i JOIN files f ON f.content = i.content "
            "WHERE i.id = ? AND f.missing IS NULL ORDER BY f.path LIMIT 1",
            [item],
        )
        try:
            return picture_at(Path(os.fsdecode(rows[0][0])), *rows[0][1:]) if rows else None
        except ImageError:
            return None

    # ------------------------------------------------------------------------------------------------------------ hits

    def _by_date(self, query: Query, allowed: NDArray[np.int64]) -> Found:
        """What the filters let through, the newest first."""
        rows = self.library.rows("SELECT i.id, c.taken FROM items i JOIN contents c ON c.id = i.content")
        taken = dict(rows)
        order = sorted(allowed.tolist(), key=lambda item: (taken.get(item) or "", item), reverse=True)[: query.limit]
        hits = self._hits(order, dict.fromkeys(order, 0.0), dict.fromkeys(order, Why()))
        return Found(tuple(hits), len(allowed), 0, ())

    def _hits(self, items: Sequence[int], scores: Mapping[int, float], whys: Mapping[int, Why]) -> list[Hit]:
        return [hit for item in items if (hit := self._hit(item, scores[item], whys[item])) is not None]

    def _hit(self, item: int, score: float, why: Why) -> Hit | None:
        rows = self.library.rows(
            "SELECT i.caption, i.start, i.stop, c.taken, c.place, c.camera, c.id FROM items i "
            "JOIN contents c ON c.id = i.content WHERE i.id = ?",
            [item],
        )
        if not rows:
            return None  # forgotten meanwhile
        [[caption, start, stop, taken, place, camera, content]] = rows
        files = self.library.rows(
            "SELECT path FROM files WHERE content = ? AND missing IS NULL ORDER BY path", [content]
        )
        paths = [Path(os.fsdecode(path)) for [path] in files]
        if not paths:
            return None
        moment = datetime.fromisoformat(taken) if taken else None
        return Hit(item, paths[0], tuple(paths[1:]), caption, start, stop, moment, place, camera, score, why)


def let_through(library: Library, query: Query) -> NDArray[np.int64]:
    """Items with these filters, whether or not they have a file, sorted."""
    conditions, values = ["c.id > 0"], []
    for sign, moment in ((">=", query.after), ("<", query.before)):
        if moment:
            conditions.append(f"c.taken {sign} ?")
            values.append(moment.isoformat())
    rows = library.rows(
        "SELECT i.id, c.latitude, c.longitude, c.camera, c.place FROM contents c JOIN items i ON i.content = c.id "
        f"WHERE {' AND '.join(conditions)} ORDER BY i.id",
        values,
    )
    camera, place = query.camera.casefold(), query.near.casefold() if isinstance(query.near, str) else ""
    if camera or place:  # databases know ASCII's capitals only
        rows = [row for row in rows if camera in row[3].casefold() and place in row[4].casefold()]
    items = np.array([row[0] for row in rows], np.int64)
    if isinstance(query.near, tuple) and len(rows):
        places = np.array([row[1:3] for row in rows], np.float64)
        items = items[_kilometres(places, query.near) <= query.within]  # NaN, which is no place, is not
    return items


def picture_at(path: Path, start: float | None, stop: float | None) -> Image | Path:
    """The photograph's path, or the frame in the middle of a scene. Raises ImageError."""
    if start is None or stop is None:
        return path
    from seesay.videos import frames

    middle = (start + stop) / 2
    last = None
    for last in frames(path):
        if last.time >= middle:
            break
    if last is None:
        raise ImageError(f"{path} holds no frame that can be decoded")
    return open_image(last.image)


def _terms(text: str) -> list[str]:
    """Words and phrases of a query, each quoted for full-text search: nothing in them is an operator."""
    phrases = [" ".join(re.findall(r"\w+", phrase)) for phrase in re.findall(r'"([^"]*)"', text)]
    rest = re.sub(r'"[^"]*"', " ", text)
    words = content_words(rest) if re.search(r"\w", rest) else ()
    return [f'"{term}"' for term in dict.fromkeys([*filter(None, phrases), *words])]


def _weights(library: Library, live: NDArray[np.int64]) -> NDArray[np.float64]:
    """(live,): BM25's factor for the length of each item's words, as FTS5's own, for a word that counts once."""
    lengths = library.database.word_counts()
    found = np.array([lengths.get(item, 0) for item in live.tolist()], np.float64)
    average = max(found.mean() if len(found) else 0.0, 1.0)
    return np.asarray((K1 + 1) / (1 + K1 * (1 - B + B * found / average)))


def _whys(
    items: Sequence[int],
    standing: Mapping[int, Standing],
    rankings: Mapping[Part, Sequence[tuple[int, float]]],
    state: _State,
    *,
    calibrated: bool,
) -> dict[int, Why]:
    scores = {part: dict(found) for part, found in rankings.items()}
    places = {part: {item: at for at, (item, _) in enumerate(found, 1)} for part, found in rankings.items()}
    return {
        item: Why(
            words=standing[item][0],
            missing=standing[item][1],
            bm25=scores.get("words", {}).get(item),
            image=scores.get("image", {}).get(item),
            caption=scores.get("caption", {}).get(item),
            likely=_likely(scores.get("image", {}).get(item), state.curve) if calibrated else None,
            match=scores.get("match", {}).get(item),
            ranks={part: found[item] for part, found in places.items() if item in found},
        )
        for item in items
    }


def _best_first(scores: Mapping[int, float]) -> list[int]:
    return sorted(scores, key=lambda item: (-scores[item], item))


def _likely(cosine: float | None, curve: tuple[float, float] | None) -> float | None:
    if cosine is None or curve is None:
        return None
    return float(probabilities(np.array([curve[0] * cosine + curve[1]]))[0])


def _is_match(why: Why, query: Query, words: Sequence[str], written: bool, read: bool) -> bool:
    """Whether a candidate is shown. written: some of its words stand in what people wrote, or in the picture. read: the
    best candidates were read again.

    All of the words, in what people wrote or in what stands in the picture, are a match whatever the model thinks.
    Otherwise the matching head decides, where it has read the picture; then all of the words in any place, or the
    calibrated cosine; in a library too small for that, a picture that was not worth reading is none. Without vectors,
    half of the words; and without anything that could judge, it is shown.
    """
    if query.cut == 0 or query.like is not None:
        return True
    found = bool(words) and not why.missing
    if found and written:
        return True
    if why.match is not None:
        return why.match >= query.cut
    if why.image is not None or why.caption is not None:
        return found or (not read if why.likely is None else why.likely >= query.cut)
    return bool(words) and len(why.missing) <= len(words) / 2


def _kilometres(places: NDArray[np.float64], centre: tuple[float, float]) -> NDArray[np.float64]:
    """(n,): distances on a sphere (haversine) of places, (n, 2) in degrees; NaN where there is none."""
    north, east = np.radians(places).T
    origin_north, origin_east = np.radians(centre)
    half = np.sin((north - origin_north) / 2) ** 2
    half = half + np.cos(north) * np.cos(origin_north) * np.sin((east - origin_east) / 2) ** 2
    return np.asarray(2 * EARTH * np.arcsin(np.sqrt(np.clip(half, 0, 1))))
