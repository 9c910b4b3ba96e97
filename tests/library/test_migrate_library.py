"""A library that moves into PostgreSQL and back is the same; a killed move goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")
pytest.importorskip("pgserver", reason="there is no PostgreSQL: pgserver is not installed")

import test_search_library as searching

from seesay.errors import DataError, UsageError
from seesay.images.metadata import PhotoFacts
from seesay.library import Library, Query, Searcher
from seesay.library.editing import edit, history
from seesay.library.moving import TABLES, Compared, move
from seesay.library.scan import FoundFile
from seesay.library.store import Wants


@pytest.fixture
def full(library: Library, tmp_path: Path) -> Library:
    """A file with something in every table."""
    drawn = np.random.default_rng(0).normal(size=(len(searching.ROWS), 8)).astype(np.float32)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    space = library.space_of("m", drawn[0])
    searching.fill(library, searching.ROWS, tmp_path, [(one, -one) for one in drawn], space)
    odd = PhotoFacts(datetime(2020, 2, 2), description="nul\0here 'n \\ 100%")
    searching.fill(library, [("odd.jpg", "an odd one", "", odd)], tmp_path)
    copy = FoundFile(tmp_path / "no unicode \udcff.jpg", "photo", 2**40, 2**60)
    library.register([(copy, "digest odd.jpg")], Wants("m"), retry=False)
    library.add_folders([tmp_path / "one", tmp_path / "two"])
    edit(library, 2, "what a person says")
    edit(library, 2, "and says better")
    with library.writing() as run:
        run.execute(
            "INSERT INTO writes (path, target, before, after, written) VALUES (?, ?, ?, ?, ?)",
            [b"/a.jpg", b"/a.jpg.xmp", bytes(range(256)), "digest", "2024-01-01T00:00:00+00:00"],
        )
    return library


def compared(source: Library, target: Library) -> dict[str, tuple[int, str]]:
    return {one.table: (one.rows, one.digest) for one in move(source, target) if isinstance(one, Compared)}


def test_there_and_back_again(full: Library, address: str, tmp_path: Path) -> None:
    with Library(address) as there, Library(tmp_path / "back.db") as back:
        first = compared(full, there)
        second = compared(there, back)
        assert first == second
        assert {name: rows for name, (rows, _) in first.items()} == {
            table.name: full.rows(f"SELECT count(*) FROM {table.name}")[0][0] for table in TABLES
        }
        assert all(rows for rows, _ in first.values()), "every table was tried"
        for one in (there, back):
            assert [version.caption for version in history(one, 2)] == [v.caption for v in history(full, 2)]
            for text in ("says better", "invoice", "nul here"):
                ours, theirs = (Searcher(lib).search(Query(text=text)).hits for lib in (full, one))
                assert [(hit.item, hit.path, hit.caption) for hit in theirs] == [
                    (hit.item, hit.path, hit.caption) for hit in ours
                ]
            file = FoundFile(tmp_path / "new.jpg", "photo", 1, 1)
            assert one.register([(file, "new digest")], Wants("m"), retry=False)[0].claimed, "numbers go on"
            edit(one, 1, "another")


def test_what_a_killed_move_left_is_gone_on_with(full: Library, address: str, tmp_path: Path) -> None:
    many = [(f"{at}.jpg", f"number {at}", "", PhotoFacts()) for at in range(40)]
    searching.fill(full, many, tmp_path)
    script = (
        "import sys, time; from seesay.library import Library, moving\n"
        "moving.BLOCK = 5\n"
        "with Library(sys.argv[1]) as source, Library(sys.argv[2]) as target:\n"
        "    for one in moving.move(source, target):\n"
        "        print(one.rows, flush=True); time.sleep(0.05)\n"
    )
    for after in (10, 70):
        command = [sys.executable, "-c", script, full.name, address]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
            assert running.stdout
            for line in running.stdout:
                if int(line) >= after:
                    os.kill(running.pid, signal.SIGKILL)
                    break
        assert running.returncode == -signal.SIGKILL
    with Library(address) as there:
        deadline = time.monotonic() + 30  # until the server has noticed that its client is gone
        while time.monotonic() < deadline and there.rows("SELECT 1 FROM pg_locks WHERE locktype = 'advisory'"):
            time.sleep(0.05)
        half = there.rows("SELECT count(*) FROM files")[0][0]
        assert half >= 10
        first = next(iter(move(full, there)))
        assert first.rows > 0, "what is there is not copied again"
        whole = compared(full, there)
        assert whole["items"][0] == full.rows("SELECT count(*) FROM items")[0][0]


def test_a_source_that_changed_meanwhile_is_copied_anew(full: Library, tmp_path: Path) -> None:
    with Library(tmp_path / "other.db") as other:
        for one in move(full, other):
            if one.table == "files":
                break
        full.connection.execute("UPDATE contents SET camera = 'another' WHERE id = 1")
        assert compared(full, other)["contents"][0] == full.rows("SELECT count(*) FROM contents")[0][0]
        assert other.rows("SELECT camera FROM contents WHERE id = 1") == [("another",)]


def test_what_cannot_be_moved_is_refused(full: Library, tmp_path: Path) -> None:
    with Library(tmp_path / "other.db") as other, Library(tmp_path / "third.db") as third:
        with pytest.raises(UsageError, match="already there"):
            compared(full, full)
        searching.fill(other, searching.ROWS[:1], tmp_path)
        with pytest.raises(UsageError, match="not empty"):
            compared(full, other)
        next(iter(move(full, third)))
        with pytest.raises(UsageError, match="being filled from"):
            compared(other, third)
        moving = move(full, third)
        for one in moving:
            if one.table == "writes":
                break
        third.connection.execute("UPDATE items SET caption = 'changed' WHERE id = 1")
        with pytest.raises(DataError, match="items are 6 rows, not the 6"):
            list(moving)


def test_the_command_tells_what_it_compared(full: Library, address: str) -> None:
    command = [sys.executable, "-m", "seesay", "migrate", full.name, address]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [line.split()[1] for line in done.stdout.splitlines()] == [table.name for table in TABLES]
    assert done.stderr == f"postgresql://postgres@{address.split('=')[1]}/postgres is the same as {full.name}\n"
    assert subprocess.run(command, capture_output=True, text=True).returncode == 2, "it is not empty now"
