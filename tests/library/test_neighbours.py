"""The index of neighbours finds what exact search finds, whatever is appended, replaced, lost or damaged."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import test_search_library as searching

from seesay.images.metadata import PhotoFacts
from seesay.library import Library, approximate
from seesay.library.vectors import Vectors

pytestmark = pytest.mark.skipif(find_spec("usearch") is None, reason="the extra `ann` is not installed")


def unit(count: int, seed: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=(count, 32)).astype(np.float32)
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True))


@pytest.fixture
def space(library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Of a library of 300 pictures with an index."""
    monkeypatch.setattr(approximate, "FROM", 100)
    space = library.space_of("m", unit(1, 9)[0])
    put(library, tmp_path, space, 0, 300)
    library.database.settle(space)
    return space


def put(library: Library, folder: Path, space: int, first: int, count: int) -> None:
    rows = [(f"{first + at}.jpg", f"number {first + at}", "", PhotoFacts()) for at in range(count)]
    searching.fill(library, rows, folder, [(one, -one) for one in unit(count, first)], space)


def opened(library: Library, space: int) -> Vectors:
    found = library.database.vectors(space, "image")
    assert isinstance(found, Vectors)
    return found


def exact(library: Library, space: int) -> Vectors:
    found = opened(library, space)
    return Vectors(found.items, found.matrix)


def same(found: list[tuple[int, float]], expected: list[tuple[int, float]]) -> None:
    assert [item for item, _ in found] == [item for item, _ in expected]
    assert [cosine for _, cosine in found] == pytest.approx([cosine for _, cosine in expected], abs=1e-6)


def test_it_finds_what_exact_search_finds(library: Library, space: int, tmp_path: Path) -> None:
    near = opened(library, space)
    assert near.index is not None
    assert len(near.index) == 300
    items = np.unique(near.items)
    for query in unit(20, 7):
        for allowed in (items, items[::2], items[::50], items[:0]):
            same(near.nearest(query, 10, allowed), exact(library, space).nearest(query, 10, allowed))
    put(library, tmp_path, space, 300, 10)
    later = opened(library, space)
    assert later.index is not None
    assert len(later.index) == 300, "few are compared without it"
    newest = later.matrix[-1].astype(np.float32)
    assert later.nearest(newest, 1, np.unique(later.items))[0][0] == later.items[-1]


def test_it_is_brought_up_when_many_came(library: Library, space: int, tmp_path: Path) -> None:
    library.connection.execute("DELETE FROM vectors WHERE item <= 2")
    put(library, tmp_path, space, 300, 40)
    library.database.settle(space)
    near = opened(library, space)
    assert near.index is not None
    assert len(near.index) == len(near.matrix) >= 340
    items = np.array([item for [item] in library.rows("SELECT id FROM items ORDER BY id")])
    for query in unit(5, 8):
        same(near.nearest(query, 10, items), exact(library, space).nearest(query, 10, items))


def test_an_index_that_is_lost_damaged_or_another_s_is_not_used(library: Library, space: int, tmp_path: Path) -> None:
    [path] = [one for one in tmp_path.glob("*.usearch") if "image" in one.name]
    [other] = [one for one in tmp_path.glob("*.usearch") if "caption" in one.name]
    kept = path.read_bytes()
    for wrong in (other.read_bytes(), kept[: len(kept) // 2], b"nothing", None):
        path.unlink()
        if wrong is not None:
            path.write_bytes(wrong)
        assert opened(library, space).index is None
    library.database.settle(space)
    assert opened(library, space).index is not None


def test_it_does_not_break_the_engine_that_is_imported_later() -> None:
    script = "from seesay.library.approximate import _usearch; assert _usearch(); import onnxruntime; print('both')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "both\n"), done.stderr
