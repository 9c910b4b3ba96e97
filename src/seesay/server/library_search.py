"""The photo library behind the models' thread."""

from __future__ import annotations

from pathlib import Path

from seesay.describe import Describer
from seesay.errors import DataError
from seesay.library import Found, Library, Query, Searcher
from seesay.library.store import exists, is_address


class LibrarySearch:
    """The library with what is kept in memory between questions. Only the worker's thread may use it."""

    def __init__(self, library: Path | str) -> None:
        """library: its file, or its address in PostgreSQL."""
        self.library = library
        self._searcher: Searcher | None = None

    def find(self, query: Query, model: Describer) -> Found:
        """Raises DataError where there is no library; what the model cannot do is left out, and said."""
        open_elsewhere = self._searcher is not None and is_address(self.library)  # it need not be asked for again
        if not open_elsewhere and not exists(self.library):
            self.forget()
            raise DataError("There is no photo library here", "Make one: seesay index FOLDER.")
        if self._searcher is None or self._searcher.model is not model:
            self.forget()
            self._searcher = Searcher(Library(self.library), model)
        return self._searcher.search(query)

    def forget(self) -> None:
        """Close the file, and give the memory back."""
        if self._searcher is not None:
            self._searcher.library.close()
            self._searcher = None
