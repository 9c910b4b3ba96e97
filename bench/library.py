"""How long a question to a library of 100,000 photographs takes, and how much memory; with the extra `ann` and more
records also what an index of neighbours finds of what exact search does.

    python bench/library.py PHOTOS CAPTIONS [--records N] [--library FILE]

PHOTOS is a folder whose photographs the built-in model encodes (once: kept beside FILE); the mean of a photograph's
features, projected at random to 256 dimensions, stands for the vector of a model with an ITC head, and is repeated with
noise until there are N. CAPTIONS is a Flickr token file: its captions, each drawn at random, are the records' words,
and the questions. The vectors of questions are those of pictures with noise: this measures time and memory, and that
the exact search is exact, not how good the model is.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from seesay.data import read_flickr
from seesay.describe import Seen
from seesay.images import ImageLike
from seesay.library import Library, Query, Searcher
from seesay.library.approximate import FROM
from seesay.library.database import KINDS
from seesay.library.vectors import Vectors as Matrix
from seesay.records import Embedding

DIMENSION = 256
QUESTIONS = 40


class Vectors:
    """What the search asks of a model, answered at once: the time is the library's own."""

    name = "bench"
    capabilities = frozenset({"embed"})

    def __init__(self, pictures: np.ndarray) -> None:
        self._pictures = pictures

    def embed_text(self, text: str) -> Embedding:
        drawn = np.random.default_rng(list(text.encode()))
        near = self._pictures[drawn.integers(len(self._pictures))] + drawn.normal(0, 0.03, DIMENSION)
        return Embedding(unit(near[None].astype(np.float32))[0], self.name)

    def embed_image(self, image: ImageLike | Seen) -> Embedding:
        raise NotImplementedError("no picture is asked for here")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("captions", type=Path)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--library", type=Path, default=Path("bench-library.db"))
    arguments = parser.parse_args()

    kept = arguments.library.with_suffix(".npy")
    if not kept.exists():
        np.save(kept, encode(arguments.photos))
    pictures = np.load(kept)
    texts = [text for example in read_flickr(arguments.captions) for text in example.captions]
    model = Vectors(pictures)
    if not arguments.library.exists():
        fill(arguments.library, model, pictures, texts, arguments.records)

    with Library(arguments.library) as library:
        space = library.space_of(model.name, model.embed_text("a photograph").vector)
        seconds = timed(lambda: library.database.settle(space))
        print(f"indexes of neighbours, where there are {FROM:,} vectors: {seconds:.0f} s")
    before = peak()
    with Library(arguments.library) as library:
        searcher = Searcher(library, model)  # type: ignore[arg-type]  # the part of a model that is asked
        chosen = random.Random(0).sample(texts, QUESTIONS)
        first = timed(lambda: searcher.search(Query(text=chosen[0], rerank=0)))
        print(f"{arguments.records:,} records of {len(pictures):,} photographs, load {os.getloadavg()[0]:.1f}")
        print(f"first question, which maps and rounds the vectors: {first * 1000:.0f} ms")
        for name, questions in questions_of(chosen).items():
            processor = time.process_time()
            seconds = [timed(lambda one=one: searcher.search(one)) for one in questions]
            processor = (time.process_time() - processor) / len(questions)
            median, worst = statistics.median(seconds), sorted(seconds)[int(len(seconds) * 0.95)]
            print(
                f"{name}: median {median * 1000:.1f} ms, 95 % within {worst * 1000:.1f} ms; "
                f"of this process's CPU {processor * 1000:.1f} ms"
            )
        print(f"peak memory {peak():.0f} MB ({before:.0f} MB before the library was opened)")
        recall(library, space, model)


def questions_of(chosen: Sequence[str]) -> dict[str, list[Query]]:
    from datetime import datetime

    words = [" ".join(text.split()[:4]) for text in chosen]
    return {
        "whole captions": [Query(text=text, rerank=0) for text in chosen],
        "four words": [Query(text=text, rerank=0) for text in words],
        "two common words": [Query(text=text, rerank=0) for text in ["dog man", "man woman", "girl water"] * 10],
        "four words, of one year": [Query(text=text, rerank=0, after=datetime(2020, 1, 1)) for text in words],
    }


def recall(library: Library, space: int, model: Vectors) -> None:
    """Of the ten nearest by exact search, how many the search through the index finds, over 200 questions."""
    items = np.array([item for [item] in library.rows("SELECT id FROM items ORDER BY id")], np.int64)
    for kind in KINDS:
        near = library.database.vectors(space, kind)
        if not isinstance(near, Matrix) or near.index is None:
            continue
        exact = replace(near, index=None)
        found = looked = 0
        for number in range(200):
            vector = model.embed_text(f"question {number}").vector
            both = [{item for item, _ in one.nearest(vector, 200, items)[:10]} for one in (near, exact)]
            found, looked = found + len(both[0] & both[1]), looked + len(both[1])
        print(f"recall@10 of the {kind} vectors' index against exact search: {found / looked:.4f}")


def timed(ask: object) -> float:
    start = time.perf_counter()
    ask()  # type: ignore[operator]
    return time.perf_counter() - start


def encode(folder: Path) -> np.ndarray:
    """(photographs, 256): projected means of the built-in model's features."""
    import seesay

    model = seesay.load()
    files = sorted(folder.rglob("*.jpg"))
    means = np.stack([model.see(path).encoded.features[0].mean(0) for path in files])
    means -= means.mean(0)
    projection = np.random.default_rng(0).normal(size=(means.shape[1], DIMENSION))
    return unit((means @ projection).astype(np.float32))


def unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def fill(path: Path, model: Vectors, pictures: np.ndarray, texts: Sequence[str], records: int) -> None:
    drawn = np.random.default_rng(0)
    with Library(path) as library:
        space = library.space_of(model.name, model.embed_text("a photograph").vector)
        for start in range(0, records, 5000):
            rows = range(start, min(start + 5000, records))
            noise = drawn.normal(0, 0.02, (2, len(rows), DIMENSION))
            near = [unit(pictures[np.array(rows) % len(pictures)] + part).astype("<f2") for part in noise]
            with library.writing() as run:
                for at, row in enumerate(rows):
                    text = texts[int(drawn.integers(len(texts)))]
                    run.execute(
                        "INSERT INTO contents (id, digest, kind, looked, taken, captioned_by, space) "
                        "VALUES (?, ?, 'photo', 1, ?, 'bench', ?)",
                        [row + 1, str(row), f"{2000 + row % 21}-05-17T12:00:00", space],
                    )
                    run.execute(
                        "INSERT INTO files (path, content, size, modified) VALUES (?, ?, 1, 1)",
                        [f"/photos/IMG_{row}.jpg".encode(), row + 1],
                    )
                    run.execute("INSERT INTO items (id, content, caption) VALUES (?, ?, ?)", [row + 1, row + 1, text])
                    run.execute(
                        "INSERT INTO words (rowid, caption, text, keywords, description, name) "
                        "VALUES (?, ?, '', '', '', ?)",
                        [row + 1, text, f"IMG_{row}"],
                    )
                    for kind, vectors in zip(("image", "caption"), near, strict=True):
                        run.execute(
                            "INSERT INTO vectors (item, space, kind, vector) VALUES (?, ?, ?, ?)",
                            [row + 1, space, kind, vectors[at].tobytes()],
                        )


def peak() -> float:
    """MB that this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
