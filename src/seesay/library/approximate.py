"""An index of neighbours (HNSW, by usearch) beside a matrix of vectors, for libraries of hundreds of thousands.

It names candidates, which are then compared exactly; so is all that has been appended to the matrix since. Like the
matrix it may be deleted by anybody at any time: the next run of `seesay index` makes it again.
"""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FROM = 200_000
"""Vectors of a kind from which an index is worth its room; fewer are compared exactly in no time."""
LINKS, BREADTH = 16, 128
"""Neighbours of each vector, and how many are looked at for them (M and efConstruction)."""
LOOKED = 512
"""Candidates that are looked at for a question, at least (efSearch)."""
FOUNDATION, STEP = 2_000, 10_000
"""Vectors that one thread adds, and then at a time: threads that begin a graph together leave some out of it."""
STALE = 0.05
"""Part of the matrix that may be without an index before it is brought up."""


class Neighbours:
    """An index that was made, mapped into memory."""

    def __init__(self, found: Any) -> None:
        self._found = found

    def __len__(self) -> int:
        """Rows of the matrix that it knows: the first ones."""
        return len(self._found)

    def near(self, query: NDArray[np.float32], count: int) -> NDArray[np.intp]:
        """Rows that are near the vector, up to `count`, in order of their numbers."""
        self._found.expansion_search = max(LOOKED, count)
        found = self._found.search(query.astype(np.float16), min(count, len(self)), threads=1)
        return np.sort(np.asarray(found.keys, np.int64)).astype(np.intp)


def open_index(path: Path, matrix: NDArray[np.float16]) -> Neighbours | None:
    """The index of a matrix, or None: where there is none, where it is another's, and without usearch."""
    usearch = _usearch()
    if usearch is None or not path.exists():
        return None
    try:
        found = usearch.Index.restore(str(path), view=True)
    except (RuntimeError, ValueError, OSError):
        return None
    return Neighbours(found) if found is not None and _is_of(found, matrix) else None


def bring_up(path: Path, matrix: NDArray[np.float16]) -> None:
    """Make the index, or add what is missing, where there are enough vectors and usearch is installed.

    The file takes its place in one step; whoever has the old one mapped keeps it.
    """
    usearch = _usearch()
    if usearch is None or len(matrix) < FROM:
        return
    known = open_index(path, matrix)
    if known is not None and len(matrix) - len(known) <= STALE * len(matrix):
        return
    made = None if known is None else usearch.Index.restore(str(path), view=False)
    if made is None:
        width = matrix.shape[1]
        made = usearch.Index(ndim=width, metric="ip", dtype="f16", connectivity=LINKS, expansion_add=BREADTH)
    start = len(made)
    while start < len(matrix):
        alone = start < FOUNDATION
        part = np.ascontiguousarray(matrix[start : FOUNDATION if alone else start + STEP])
        made.add(np.arange(start, start + len(part), dtype=np.uint64), part, threads=1 if alone else 0)
        start += len(part)
    partial = path.with_name(f".{path.name}.partial")
    made.save(str(partial))
    partial.replace(path)


def _is_of(found: Any, matrix: NDArray[np.float16]) -> bool:
    """Whether the first, the middle and the last vector are the matrix's."""
    count = len(found)
    if not 0 < count <= len(matrix) or found.ndim != matrix.shape[1]:
        return False
    return all(_same(found.get(at), matrix[at]) for at in (0, count // 2, count - 1))


def _same(one: Any, other: NDArray[np.float16]) -> bool:
    return one is not None and np.array_equal(np.asarray(one, np.float32), other.astype(np.float32))


def _usearch() -> Any:
    """The library's module, or None where it is not installed.

    Its wheel (2.26, Linux) has a C++ runtime of its own, whose symbols the whole process takes where it comes first:
    ONNX Runtime then ends it by a segmentation fault as soon as it is imported. The system's own comes first here.
    """
    if find_spec("usearch") is None:
        return None
    if sys.platform == "linux":
        with suppress(OSError):
            ctypes.CDLL("libstdc++.so.6", ctypes.RTLD_GLOBAL)
    import usearch.index

    return usearch.index
