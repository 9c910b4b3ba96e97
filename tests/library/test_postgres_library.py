"""The library in PostgreSQL: what holds in a file holds there, and both give the same answers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")
pytest.importorskip("pgserver", reason="there is no PostgreSQL: pgserver is not installed")

import psycopg
import test_search_library as searching

from seesay.describe import Describer
from seesay.errors import DataError
from seesay.images.metadata import PhotoFacts
from seesay.library import Indexer, Library, Query, Searcher
from seesay.library.albums import albums
from seesay.library.duplicates import duplicates
from seesay.library.editing import edit, history, undo_edit
from seesay.library.postgres import PostgresVectors
from seesay.library.scan import FoundFile
from seesay.library.store import Wants, exists
from seesay.library.writing import undo, write_captions

Load = Callable[[str], Describer]


@pytest.fixture
def library(address: str) -> Iterator[Library]:
    with Library(address) as opened:
        yield opened


@pytest.fixture
def filled(library: Library, tmp_path: Path) -> Library:
    searching.fill(library, searching.ROWS, tmp_path)
    return library


class TestWordsThere(searching.TestWords):
    """As in a file, but for FTS5's own table."""

    test_scores_are_fts5_s_own = None  # type: ignore[assignment]


class TestFiltersThere(searching.TestFilters):
    """As in a file."""


def test_both_answer_alike(library: Library, tmp_path: Path, album: Path, load: Load) -> None:
    """The same photographs, indexed by the same model: the same hits, reasons, albums and copies."""
    model = load("pretrain")
    (album / "copy.jpg").write_bytes((album / "coffee.jpg").read_bytes())
    with Library(tmp_path / "file.db") as file:
        for one in (file, library):
            indexer = Indexer(one, model)
            became = sorted(event.became for event in indexer.index(indexer.scan([album])))
            assert became == ["copy", "indexed", "indexed", "indexed", "indexed"]
            assert {event.became for event in indexer.index(indexer.scan([album]))} == {"known"}
        assert library.counts() == file.counts()
        here, there = Searcher(file, model), Searcher(library, model)
        queries = [
            Query(text="the cat and a cup", cut=0),
            Query(text="coffee", cut=0, rerank=0),
            Query(like=album / "chelsea.jpg"),
            Query(text="space", like=album / "coffee.jpg", limit=2),
            Query(after=datetime(1990, 1, 1)),
        ]
        for query in queries:
            ours, theirs = here.search(query), there.search(query)
            assert [hit.path for hit in theirs.hits] == [hit.path for hit in ours.hits]
            assert [hit.copies for hit in theirs.hits] == [hit.copies for hit in ours.hits]
            assert (theirs.searched, theirs.dismissed, theirs.left_out) == (
                ours.searched,
                ours.dismissed,
                ours.left_out,
            )
            for mine, yours in zip(ours.hits, theirs.hits, strict=True):
                assert (yours.why.words, yours.why.missing, yours.why.ranks) == (
                    mine.why.words,
                    mine.why.missing,
                    mine.why.ranks,
                )
                scores = [(one.why.bm25, one.why.image, one.why.caption, one.why.match) for one in (mine, yours)]
                assert scores[1] == pytest.approx(scores[0], abs=1e-5)
        assert duplicates(library) == duplicates(file)
        assert albums(library, count=1) == albums(file, count=1)


def test_texts_of_every_kind_are_found_as_in_a_file(library: Library, tmp_path: Path) -> None:
    texts = [
        "It's a \\ back'slash, 50% off? e-mail: a@b.example",
        "Ünïcode ÉCOLE straße 東京タワー",
        "running runs ran ponies",
        "nul\0here, " + "x" * 3000,
        " ".join(f"word{number}" for number in range(20_000)),
        "",
    ]
    rows = [(f"IMG_{at}.jpg", text, f"in {text}"[:50], PhotoFacts(description=text)) for at, text in enumerate(texts)]
    asked = [
        "it's",
        "slash",
        "50%",
        "a@b.example",
        "ecole",
        "strasse",
        "straße",
        "東京タワー",
        "run",
        "pony",
        "word19999",
    ]
    asked += ['"e-mail: a"', '"off e-mail"', '"ran ponies in"', "img 3", "x" * 3000, "_", "word7 word12345", "'; --"]
    with Library(tmp_path / "file.db") as file:
        for one in (file, library):
            searching.fill(one, rows, tmp_path)
        here, there = Searcher(file), Searcher(library)
        for text in asked:
            ours, theirs = (one.search(Query(text=text, cut=0)).hits for one in (here, there))
            if text == "x" * 3000:  # longer than a tsvector takes
                assert len(ours) == 1
                assert theirs == ()
                continue
            assert [hit.path for hit in theirs] == [hit.path for hit in ours], text
            assert [hit.why.words for hit in theirs] == [hit.why.words for hit in ours], text
            assert [hit.why.bm25 for hit in theirs] == pytest.approx([hit.why.bm25 for hit in ours]), text


def test_vectors_are_compared_exactly_and_by_an_index(library: Library, tmp_path: Path) -> None:
    drawn = np.random.default_rng(0)
    vectors = drawn.normal(size=(60, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    space = library.space_of("m", vectors[0])
    rows = [(f"{at}.jpg", f"number {at}", "", PhotoFacts()) for at in range(len(vectors))]
    searching.fill(library, rows, tmp_path, [(one, one) for one in vectors], space)
    there = library.database.vectors(space, "image")
    assert isinstance(there, PostgresVectors)
    items = np.array([item for [item] in library.rows("SELECT id FROM items ORDER BY id")])
    kept = vectors.astype(np.float16).astype(np.float32)
    found, matrix = there.of(items[[3, 7]])
    assert (found.tolist(), matrix.tolist()) == (items[[3, 7]].tolist(), kept[[3, 7]].tolist())
    query = vectors[5] + 0.1
    few = items[10:50:7]
    for indexed in (False, True):
        if indexed:
            there.make_index()
            assert library.database.vectors(space, "image").indexed  # type: ignore[attr-defined]
        for allowed in (items, items[::2], few, items[:0]):
            exact = kept[np.isin(items, allowed)] @ query
            best = np.argsort(-exact, kind="stable")[:10]
            nearest = there.nearest(query, 10, allowed)
            assert [item for item, _ in nearest] == allowed[best].tolist()
            assert [cosine for _, cosine in nearest] == pytest.approx(exact[best].tolist(), abs=1e-5)


def test_metadata_and_edits_are_written_and_undone(library: Library, album: Path, load: Load) -> None:
    indexer = Indexer(library, load("caption"))
    list(indexer.index(indexer.scan([album])))
    assert {one.became for one in write_captions(library)} == {"written"}
    assert {one.became for one in write_captions(library)} == {"same"}
    assert {one.became for one in undo(library)} == {"restored"}
    [[item, caption]] = library.rows("SELECT id, caption FROM items ORDER BY id LIMIT 1")
    edit(library, item, "what a person says")
    assert [one.caption for one in history(library, item)] == ["what a person says", caption]
    assert [hit.item for hit in Searcher(library).search(Query(text="person says")).hits] == [item]
    assert undo_edit(library, item)
    assert library.rows("SELECT caption FROM items WHERE id = ?", [item]) == [(caption,)]


def test_several_processes_make_and_fill_one(address: str, album: Path, load: Load, tmp_path: Path) -> None:
    """Each picture is told once; the claim of a process that was killed is void."""
    load("caption")
    script = (
        "import sys, seesay; from seesay.library import Indexer, Library\n"
        "model = seesay.load(sys.argv[3], precision='fp32', threads=1, cache=sys.argv[4])\n"
        "with Library(sys.argv[1]) as library:\n"
        "    indexer = Indexer(library, model, batch_size=1)\n"
        "    print(sum(event.became == 'indexed' for event in indexer.index(indexer.scan([sys.argv[2]]))))\n"
    )
    model = Path(load("caption").name)
    command = [sys.executable, "-c", script, address, str(album), str(model), str(model.parent / "cache")]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    told = [int(one.communicate(timeout=300)[0]) for one in running]
    assert [one.returncode for one in running] == [0, 0]
    with Library(address) as library:
        assert library.counts()["photos"] == 4
        assert sum(told) == 4
        file = FoundFile(tmp_path / "new.jpg", "photo", 1, 1)
        [one] = library.register([(file, "digest")], Wants("m"), retry=False)
        assert one.claimed
        with Library(address) as other:
            assert not other.register([(file, "digest")], Wants("m"), retry=False)[0].claimed
            dead = subprocess.Popen([sys.executable, "-c", ""])
            dead.wait()
            machine = library.owner.split(":")[0]
            library.connection.execute("UPDATE contents SET claimed_by = ?", [f"{machine}:{dead.pid}:0"])
            assert other.register([(file, "digest")], Wants("m"), retry=False)[0].claimed


def test_a_transaction_happens_whole_or_not_at_all(library: Library) -> None:
    def half() -> None:
        with library.writing() as run:
            run.execute("INSERT INTO folders (path) VALUES (?)", [b"/photos"])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    assert library.folders() == []
    before = library.version
    assert library.version == before
    library.add_folders([Path("/photos")])
    assert library.version != before
    assert library.folders() == [Path("/photos")]


def test_a_lost_connection_is_made_again(library: Library, server: str) -> None:
    library.add_folders([Path("/photos")])
    with psycopg.connect(server.format("postgres"), autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'seesay'")
    assert library.folders() == [Path("/photos")]


def test_what_is_no_library_is_told_without_the_password(server: str, address: str) -> None:
    assert not exists(address)
    Library(address).close()
    assert exists(address)
    folder = server.rsplit("=")[1]
    for wrong in (f"postgresql://me:secret@/nothing?host={folder}", "postgresql://me:secret@127.0.0.1:1/db"):
        with pytest.raises(DataError, match="cannot be reached") as caught:
            Library(wrong)
        assert "secret" not in str(caught.value)
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("INSERT INTO seesay.library VALUES (99)")
    with pytest.raises(DataError, match="later version"):
        Library(address)


def test_a_database_of_another_encoding_is_refused(server: str) -> None:
    """What a cluster made without a locale has: its texts come as bytes."""
    with psycopg.connect(server.format("postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE ascii ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
        with pytest.raises(DataError, match="SQL_ASCII") as caught:
            Library(server.format("ascii"))
        assert "createdb" in caught.value.remedy
        connection.execute("DROP DATABASE ascii")


def test_the_command_line_takes_an_address(address: str, album: Path, load: Load) -> None:
    load("caption")
    name = load("caption").name
    environment = os.environ | {"SEESAY_LIBRARY": address, "SEESAY_PRECISION": "fp32"}

    def seesay(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "seesay", *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environment)

    missing = seesay("duplicates")
    assert missing.returncode == 2
    assert "no photo library" in missing.stderr
    done = seesay("index", str(album), "--model", name, "--store", address)
    assert (done.returncode, done.stderr) == (0, "4 indexed\n")
    assert "in 0 groups" in seesay("duplicates").stderr
