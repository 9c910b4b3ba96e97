"""The photo library behind the models' thread."""

from __future__ import annotations

from pathlib import Path

from seesay.describe import Describer
from seesay.errors import DataError
from seesay.library import Found, Library, Query, Searcher


class LibrarySearch:
    """The library with what is kept in memory between questions. Only the worker's thread may use it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._searcher: Searcher | None = None

    def find(self, query: Query, model: Describer) -> Found:
        """Raises DataError where there is no library; what the model cannot do is left out, and said."""
        if not self.path.exists():
            self.forget()
            raise DataError("There is no photo library here", "Make one: seesay index FOLDER.")
        if self._searcher is None or self._searcher.model is not model:
            self.forget()
            self._searcher = Searcher(Library(self.path), model)
        return self._searcher.search(query)

    def forget(self) -> None:
        """Close the file, and give the memory back."""
        if self._searcher is not None:
            self._searcher.library.close()
            self._searcher = None
