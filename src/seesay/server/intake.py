"""Folders that are indexed while the server answers: a few pictures at a time, in the models' thread, so that other
requests come between."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from seesay.describe import Describer
from seesay.errors import SeesayError, UsageError
from seesay.library import Event, Indexer, Library
from seesay.server.worker import Worker

STEP = 2
"""Pictures that are told of before other requests have their turn."""
log = logging.getLogger("seesay.server")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is."""

    running: bool = False
    folders: tuple[str, ...] = ()
    files: int = 0
    done: int = 0
    became: tuple[tuple[str, int], ...] = ()
    """How many were "indexed", "known", "failed", ..."""
    error: str = ""
    """Why it ended before its time."""


@dataclass(slots=True)
class _Run:
    """One that is under way; of the models' thread."""

    library: Library
    events: Iterator[Event]


class Intake:
    """Fills a library in the background, one run at a time. A server that ends in the middle of one leaves the rest to
    the next."""

    def __init__(self, worker: Worker, place: Path | str) -> None:
        self.worker = worker
        self.place = place
        self.progress = Progress()
        self._run: _Run | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self, folders: list[Path]) -> None:
        """Begin; no folder means those of before. Raises UsageError for what is no folder, and while one is running."""
        if self.progress.running:
            raise UsageError("Another folder is being indexed", "Wait until it is done.")
        self.progress = Progress(True, tuple(map(str, folders)))
        try:
            files = await self.worker.call(None, lambda model: self._begin(model, folders))
        except BaseException:
            self.progress = Progress()
            raise
        self.progress = Progress(True, tuple(map(str, folders)), files)
        self._task = asyncio.create_task(self._go_on())

    async def take(self, folder: Path) -> None:
        """Bring one folder up at once, by itself."""
        await self.worker.call(None, lambda model: self._all_of(model, folder))

    async def _go_on(self) -> None:
        became: Counter[str] = Counter()
        before = self.progress
        error = ""
        try:
            while events := await self.worker.call(None, lambda model: self._step()):
                became.update(event.became for event in events)
                done = became.total() - became["missing"]
                self.progress = Progress(True, before.folders, before.files, done, tuple(became.items()))
        except SeesayError as raised:
            error = str(raised)
        except Exception:
            log.exception("indexing")
            error = "Something unexpected happened; the server's log says more"
        finally:
            done = became.total() - became["missing"]
            self.progress = Progress(False, before.folders, before.files, done, tuple(became.items()), error)

    # ------------------------------------------------------------------------------------------- in the models' thread

    def _begin(self, model: Describer, folders: list[Path]) -> int:
        self.forget()
        library = Library(self.place)
        try:
            indexer = Indexer(library, model, batch_size=STEP)
            found = indexer.scan(folders)
            self._run = _Run(library, iter(indexer.index(found)))
        except BaseException:
            library.close()
            raise
        return len(found.files)

    def _step(self) -> list[Event]:
        """What became of the next few files; [] at the end, with which the library is closed."""
        if self._run is None:
            return []
        try:
            events = list(islice(self._run.events, STEP))
        except BaseException:
            self.forget()
            raise
        if not events:
            self.forget()
        return events

    def _all_of(self, model: Describer, folder: Path) -> None:
        with Library(self.place) as library:
            indexer = Indexer(library, model)
            for _ in indexer.index(indexer.scan([folder])):
                pass

    def forget(self) -> None:
        """Close what is open; the worker calls it before models leave the memory, and at the end."""
        if self._run is not None:
            run, self._run = self._run, None
            if isinstance(run.events, Generator):
                run.events.close()
            run.library.close()
