"""How long a question to a library of 100,000 photographs takes, and how much memory; with the extra `ann` and more
records also what an index of neighbours finds of what exact search does; and what indexing costs beside captioning.

    python bench/library.py PHOTOS CAPTIONS [--records N] [--folder FOLDER] [--page docs/library.md]

The built-in model makes vectors of the first 2,000 photographs of a Flickr token file, CAPTIONS, and of one caption of
each (once: kept in FOLDER); they are repeated with noise until there are N. A record's words are a caption too. The
questions are other captions of the same photographs, and the time is all that `seesay search` takes once it runs: the
question's vector, the rankings, the reasons, and where the best are read again, decoding and encoding some photographs.
A run that was stopped goes on: a library that is whole is not filled again, and an index that is there not made again.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

import seesay
from pages import write_into
from seesay.data import read_flickr
from seesay.describe import Blip, Describer, Seen, as_blip
from seesay.errors import ImageError
from seesay.library import Indexer, Library, Query, Searcher
from seesay.library.approximate import FROM
from seesay.library.database import KINDS
from seesay.library.search import AGAIN
from seesay.library.vectors import Vectors as Matrix

PHOTOS = 2000
QUESTIONS = 40
BATCH = 5000
BATCH_SIZE = 8
"""Photographs at a time, as `seesay index` and `seesay caption` take them."""
TURN = 64
TURNS = 9
"""How often photographs are captioned, and indexed."""
NOISE = 0.02
"""Standard deviation of each component."""
BEGIN, END = "<!-- library: figures, written by bench/library.py -->", "<!-- library: end -->"


@dataclass(frozen=True)
class Source:
    """What the records are made of: photograph, caption and their vectors in one row, and other captions to ask."""

    files: Sequence[Path]
    captions: Sequence[str]
    asked: Sequence[str]
    pictures: np.ndarray
    """(photographs, dimension)"""
    texts: np.ndarray


class Standing:
    """The model, for which each of many records' files, which are not there, is the photograph it was made of."""

    def __init__(self, model: Blip, files: Sequence[Path]) -> None:
        self.name, self.capabilities, self.embed_text = model.name, model.capabilities, model.embed_text
        self.matches = model.matches
        self._model, self._files = model, files

    def see(self, image: Path) -> Seen:
        return self._model.see(self._files[int(image.stem[4:]) % len(self._files)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("captions", type=Path)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, default=Path("bench-library"))
    parser.add_argument("--page", type=Path, default=None, help="where the figures are written between their marks")
    arguments = parser.parse_args()

    arguments.folder.mkdir(parents=True, exist_ok=True)
    model = as_blip(seesay.load(), "be measured here")
    source = source_of(model, arguments.photos, arguments.captions, arguments.folder / "vectors.npz")
    place = arguments.folder / f"{arguments.records}.db"
    seconds = timed(lambda: fill(place, model, source, arguments.records))
    print(f"filled in {seconds:.0f} s", flush=True)
    with Library(place) as library:
        space = library.space_of(model.name, model.embed_text("a photograph").vector)
        seconds = timed(lambda: library.database.settle(space))
        print(f"indexes of neighbours, where there are {FROM:,} vectors: {seconds:.0f} s", flush=True)
        said = []
        figures = measured(library, Standing(model, source.files), source, arguments.records)
        for line in chain(figures, recall(library, space, model, source), indexing(model, source.files)):
            print(line, flush=True)
            said.append(line)
    if arguments.page:
        write_into(arguments.page, BEGIN, END, "\n".join(said))


def measured(library: Library, model: Standing, source: Source, records: int) -> Iterator[str]:
    """The table: milliseconds of each kind of question, and memory."""
    before = held()
    searcher = Searcher(library, model)  # type: ignore[arg-type]  # the part of a model that is asked
    chosen = random.Random(0).sample(list(source.asked), QUESTIONS)
    first = timed(lambda: searcher.search(Query(text=chosen[0], rerank=0)))
    yield f"{records:,} records, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}:\n"
    yield "| a question, warm | median | 95 % within | this process's CPU |"
    yield "|---|---|---|---|"
    for name, questions in questions_of(chosen).items():
        processor = time.process_time()
        seconds = [timed(lambda one=one: searcher.search(one)) for one in questions]
        processor = (time.process_time() - processor) / len(questions)
        if not questions[0].rerank:
            most = held()  # what reading again takes is the model's
        median, worst = statistics.median(seconds), sorted(seconds)[int(len(seconds) * 0.95)]
        yield f"| {name} | {median * 1000:.0f} ms | {worst * 1000:.0f} ms | {processor * 1000:.0f} ms |"
    yield ""
    yield f"The first question of a process takes {first:.1f} s; memory at most {most - before:.0f} MB, model aside."


def questions_of(chosen: Sequence[str]) -> dict[str, list[Query]]:
    words = [" ".join(text.split()[:4]) for text in chosen]
    return {
        "two common words": [Query(text=text, rerank=0) for text in ["dog man", "man woman", "girl water"] * 10],
        "four words": [Query(text=text, rerank=0) for text in words],
        "four words, of one year": [Query(text=text, rerank=0, after=datetime(2020, 1, 1)) for text in words],
        "a whole caption": [Query(text=text, rerank=0) for text in chosen],
        f"a whole caption, the best {AGAIN} read again": [Query(text=text) for text in chosen],
    }


def recall(library: Library, space: int, model: Describer, source: Source) -> Iterator[str]:
    """Of the ten nearest by exact search, how many the search through the index finds, over 100 questions."""
    items = np.array([item for [item] in library.rows("SELECT id FROM items ORDER BY id")], np.int64)
    asked = [one.vector for one in model.embed_texts(list(source.asked[:100]))]
    for kind in KINDS:
        near = library.database.vectors(space, kind)
        if not isinstance(near, Matrix) or near.index is None:
            continue
        exact = replace(near, index=None)
        both = [
            [{item for item, _ in one.nearest(vector, 200, items)[:10]} for one in (near, exact)] for vector in asked
        ]
        found, looked = sum(len(one & other) for one, other in both), sum(len(other) for _, other in both)
        yield f"Recall@10 of the index of {kind} vectors against exact search: {found / looked:.4f}."


def indexing(model: Describer, files: Sequence[Path]) -> Iterator[str]:
    """Seconds of a photograph that is indexed, and of one that is only captioned, in turns of different photographs."""
    seconds: dict[str, list[float]] = {"captioned": [], "indexed": []}
    for start in range(0, TURNS * TURN, TURN):
        turn = files[start : start + TURN]
        seconds["captioned"].append(timed(partial(caption, model, turn)))
        with tempfile.TemporaryDirectory() as folder, Library(Path(folder) / "library.db") as library:
            for file in turn:
                Path(folder, file.name).symlink_to(file.absolute())
            indexer = Indexer(library, model, batch_size=BATCH_SIZE)
            seconds["indexed"].append(timed(lambda: list(indexer.index(indexer.scan([folder])))))  # noqa: B023  # now
            assert library.counts()["photos"] == len(turn)
    each = {name: statistics.median(found) / TURN for name, found in seconds.items()}
    more = statistics.median(one / other for one, other in zip(seconds["indexed"], seconds["captioned"], strict=True))
    yield (
        f"Indexing a photograph takes {each['indexed'] * 1000:.0f} ms, captioning alone {each['captioned'] * 1000:.0f} "
        f"ms: {more:.2f} times as much (median of {TURNS} turns of {TURN} photographs, batches of {BATCH_SIZE})."
    )


def caption(model: Describer, files: Sequence[Path]) -> None:
    for start in range(0, len(files), BATCH_SIZE):
        model.captions(files[start : start + BATCH_SIZE])


# ----------------------------------------------------------------------------------------------------- what is searched


def source_of(model: Describer, photos: Path, captions: Path, kept: Path) -> Source:
    examples = [one for one in read_flickr(captions, photos) if len(one.captions) > 1][:PHOTOS]
    files = [Path(str(one.image)) for one in examples]
    texts, asked = [one.captions[0] for one in examples], [one.captions[1] for one in examples]
    if not kept.exists():
        shown = [one for at in range(0, len(files), 8) for one in model.embed_images(files[at : at + 8])]
        pictures = [one for one in shown if not isinstance(one, ImageError)]
        assert len(pictures) == len(files)
        vectors = [np.stack([one.vector for one in found]) for found in (pictures, model.embed_texts(texts))]
        np.savez(kept, pictures=vectors[0], texts=vectors[1])
    found = np.load(kept)
    return Source(files, texts, asked, found["pictures"], found["texts"])


def fill(path: Path, model: Describer, source: Source, records: int) -> None:
    """The records that are not there yet."""
    drawn = np.random.default_rng(0)
    with Library(path) as library:
        space = library.space_of(model.name, model.embed_text("a photograph").vector)
        [[there]] = library.rows("SELECT count(*) FROM items")
        for start in range(there, records, BATCH):
            rows = range(start, min(start + BATCH, records))
            said = drawn.integers(len(source.captions), size=len(rows))
            vectors = {
                "image": noisy(source.pictures[np.array(rows) % len(source.pictures)], drawn),
                "caption": noisy(source.texts[said], drawn),
            }
            with library.writing() as run:
                add(run, rows, [source.captions[at] for at in said], vectors, space)


def add(run: Any, rows: range, captions: Sequence[str], vectors: dict[str, np.ndarray], space: int) -> None:
    run.executemany(
        "INSERT INTO contents (id, digest, kind, looked, taken, captioned_by, space) "
        "VALUES (?, ?, 'photo', 1, ?, 'bench', ?)",
        [(row + 1, str(row), f"{2000 + row % 21}-05-17T12:00:00", space) for row in rows],
    )
    run.executemany(
        "INSERT INTO files (path, content, size, modified) VALUES (?, ?, 1, 1)",
        [(f"/photos/IMG_{row}.jpg".encode(), row + 1) for row in rows],
    )
    told = [(row + 1, row + 1, caption) for row, caption in zip(rows, captions, strict=True)]
    run.executemany("INSERT INTO items (id, content, caption) VALUES (?, ?, ?)", told)
    run.executemany(
        "INSERT INTO words (rowid, caption, text, keywords, description, name) VALUES (?, ?, '', '', '', ?)",
        [(row + 1, caption, f"IMG_{row}") for row, caption in zip(rows, captions, strict=True)],
    )
    for kind, of_kind in vectors.items():
        run.executemany(
            "INSERT INTO vectors (item, space, kind, vector) VALUES (?, ?, ?, ?)",
            [(row + 1, space, kind, one.tobytes()) for row, one in zip(rows, of_kind, strict=True)],
        )


def noisy(vectors: np.ndarray, drawn: np.random.Generator) -> np.ndarray:
    """Of unit length, with noise, as float16."""
    moved = vectors + np.float32(NOISE) * drawn.standard_normal(vectors.shape, np.float32)
    return np.asarray(moved / np.linalg.norm(moved, axis=1, keepdims=True), "<f2")


def timed(ask: Callable[[], object]) -> float:
    start = time.perf_counter()
    ask()
    return time.perf_counter() - start


def held() -> float:
    """MB that this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
