"""All model work, in one thread: requests that can go through a model together do, and none is begun twice."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Condition, Event, Thread
from typing import Any, TypeVar

from seesay.asking import AskOptions
from seesay.describe import CaptionOptions, Describer, Seen
from seesay.errors import ImageError, ModelNotFound, ServiceError
from seesay.images.limits import Limits
from seesay.records import Answer, Caption, Embedding, Match
from seesay.server.metrics import Metrics
from seesay.server.settings import ServerSettings

Result = TypeVar("Result")
Load = Callable[[str], Describer]
Tell = Callable[[Describer, Sequence[Seen], Sequence[Any], Any], Sequence[object]]
"""A batch: the model, its pictures, what is asked of each, and the options of all; a result or ImageError for each."""


def _captions(model: Describer, seen: Sequence[Seen], _: Sequence[Any], options: CaptionOptions) -> Sequence[object]:
    return model.captions(seen, options)


def _answers(model: Describer, seen: Sequence[Seen], asked: Sequence[str], options: AskOptions) -> Sequence[object]:
    return model.answers(seen, asked, options)


def _matches(model: Describer, seen: Sequence[Seen], texts: Sequence[Sequence[str]], _: None) -> Sequence[object]:
    return model.matches(seen, texts)


def _image_vectors(model: Describer, seen: Sequence[Seen], _: Sequence[None], __: None) -> Sequence[object]:
    return model.embed_images(seen)


def _text_vectors(model: Describer, _: Sequence[Seen], texts: Sequence[Sequence[str]], __: None) -> Sequence[object]:
    found = iter(model.embed_texts([text for beside in texts for text in beside]))
    return [[next(found) for _ in beside] for beside in texts]


@dataclass(slots=True, eq=False)
class Job:
    """What one request wants of a model."""

    model: str
    tell: Tell | None
    """None: `alone` is called with the model instead."""
    options: Any
    picture: bytes | None = field(repr=False)
    asked: Any = None
    alone: Callable[[Describer], Any] | None = None
    future: Future[Any] = field(default_factory=Future)
    arrived: float = field(default_factory=time.monotonic)

    def goes_with(self, other: Job) -> bool:
        return (
            self.tell is not None
            and (self.model, self.tell, self.options) == (other.model, other.tell, other.options)
            and (self.picture is None) == (other.picture is None)
        )


@dataclass(slots=True)
class Hosted:
    """A model that is loaded, and what it has seen lately."""

    model: Describer
    seen: OrderedDict[bytes, Seen] = field(default_factory=OrderedDict)
    """By SHA-256 of the picture's bytes, the latest last."""


class Worker:
    """Models behind one thread. `start` it, ask it from an event loop, and `close` it: what it was asked it answers."""

    def __init__(self, settings: ServerSettings, metrics: Metrics, load: Load | None = None) -> None:
        """load: makes a model of a name; `seesay.load` with the machine's settings where none is given."""
        self.settings = settings
        self._metrics = metrics
        self._load = load or _loader(settings)
        self._hosted: dict[str, Hosted] = {}
        self._problem: str | None = "loading"
        self._capabilities: dict[str, frozenset[str]] = {}
        self._jobs: deque[Job] = deque()
        self._changed = Condition()
        self._closing = False
        self._last = 1
        self._unloading: list[Callable[[], None]] = []
        self._thread = Thread(target=self._run, name="models", daemon=True)

    def start(self) -> None:
        """Begin, by loading the first model."""
        self._thread.start()
        self._put(Job(self.settings.names[0], None, None, None, alone=lambda model: None))

    def close(self) -> None:
        """Answer what was asked, then end. Later requests raise ServiceError."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def when_unloading(self, function: Callable[[], None]) -> None:
        """`function` is called, in the worker's thread, before models leave the memory."""
        self._unloading.append(function)

    @property
    def problem(self) -> str | None:
        """Why no request can be answered at present: still loading, could not load, closing. None: it can."""
        if self._closing:
            return "closing"
        return self._problem

    @property
    def waiting(self) -> int:
        """Jobs that nobody has begun."""
        return len(self._jobs)

    @property
    def loaded(self) -> tuple[str, ...]:
        """Names of the models in memory."""
        return tuple(self._hosted)

    def name_of(self, wanted: str | None) -> str:
        """The model that a request names, or the first. Raises ModelNotFound for one that is not served."""
        names = self.settings.names
        if not wanted:
            return names[0]
        for name in (wanted, wanted.removesuffix(":latest")):
            if name in names:
                return name
        raise ModelNotFound(f"No model {wanted!r} is served here", f"Ask for one of: {', '.join(names)}.")

    # ------------------------------------------------------------------------------------------------------- the verbs

    async def caption(self, model: str | None, picture: bytes, options: CaptionOptions) -> Caption:
        """Raises ImageError, CapabilityError and what loading raises, as all of these do."""
        found: Caption = await self._told(Job(self.name_of(model), _captions, options, picture))
        return found

    async def answer(self, model: str | None, picture: bytes, question: str, options: AskOptions) -> Answer:
        found: Answer = await self._told(Job(self.name_of(model), _answers, options, picture, question))
        return found

    async def matches(self, model: str | None, picture: bytes, texts: Sequence[str]) -> list[Match]:
        found: list[Match] = await self._told(Job(self.name_of(model), _matches, None, picture, tuple(texts)))
        return found

    async def embed_image(self, model: str | None, picture: bytes) -> Embedding:
        found: Embedding = await self._told(Job(self.name_of(model), _image_vectors, None, picture))
        return found

    async def embed_texts(self, model: str | None, texts: Sequence[str]) -> list[Embedding]:
        found: list[Embedding] = await self._told(Job(self.name_of(model), _text_vectors, None, None, tuple(texts)))
        return found

    async def capabilities(self, model: str | None) -> frozenset[str]:
        """What the model can do."""
        name = self.name_of(model)
        if name not in self._capabilities:
            await self.call(name, lambda loaded: None)
        return self._capabilities[name]

    async def call(self, model: str | None, function: Callable[[Describer], Result]) -> Result:
        """What `function` makes of the model, in the worker's thread, by itself."""
        found: Result = await self._told(Job(self.name_of(model), None, None, None, alone=function))
        return found

    async def see_and_call(
        self, model: str | None, picture: bytes, function: Callable[[Describer, Seen], Result]
    ) -> Result:
        """The same, with a picture that is encoded once."""
        name = self.name_of(model)
        found: Result = await self._told(
            Job(name, None, None, None, alone=lambda loaded: function(loaded, self._see(name, picture)))
        )
        return found

    async def stream(
        self, model: str | None, picture: bytes, function: Callable[[Describer, Seen], Iterator[str]]
    ) -> AsyncIterator[str]:
        """Pieces of text as `function` yields them; whoever stops listening stops it."""
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[str | None] = asyncio.Queue()
        gone = Event()

        def say(loaded: Describer, seen: Seen) -> None:
            for piece in function(loaded, seen):
                if gone.is_set():
                    return
                loop.call_soon_threadsafe(pieces.put_nowait, piece)

        told = asyncio.ensure_future(self.see_and_call(model, picture, say))
        told.add_done_callback(lambda _: pieces.put_nowait(None))
        try:
            while (piece := await pieces.get()) is not None:
                yield piece
            await told
        finally:
            gone.set()
            told.cancel()

    async def _told(self, job: Job) -> Any:
        self._put(job)
        return await asyncio.wrap_future(job.future)

    def _put(self, job: Job) -> None:
        with self._changed:
            if self._closing:
                raise ServiceError("The server is closing", "Ask again in a moment.")
            self._jobs.append(job)
            self._changed.notify_all()

    # ------------------------------------------------------------------------------------------------------ the thread

    def _run(self) -> None:
        while (batch := self._next()) is not None:
            begun = [job for job in batch if job.future.set_running_or_notify_cancel()]
            if begun:
                self._do(begun)
                self._last = len(begun)
            elif not batch:
                self._unload()
        self._unload()

    def _next(self) -> list[Job] | None:
        """The oldest job, and those that go with it; [] where nobody has asked for long, None at the end."""
        with self._changed:
            while not self._jobs:
                if self._closing:
                    return None
                if not self._changed.wait(self.settings.idle if self.settings.idle and self._hosted else None):
                    return []
            first = self._jobs[0]
            self._changed.wait_for(lambda: self._is_ready(first), self._patience(first))
            batch = [job for job in self._jobs if job is first or job.goes_with(first)][: self.settings.batch]
            for job in batch:
                self._jobs.remove(job)
            return batch

    def _patience(self, first: Job) -> float:
        """Seconds to wait for company: none where the last batch had none, so that a lone caller never waits."""
        if first.tell is None or self._last == 1:
            return 0.0
        return max(0.0, first.arrived + self.settings.wait - time.monotonic())

    def _is_ready(self, first: Job) -> bool:
        together = sum(job is first or job.goes_with(first) for job in self._jobs)
        return self._closing or together >= self.settings.batch

    def _do(self, jobs: Sequence[Job]) -> None:
        """Results into futures, each once; an error of a batch becomes that of the job whose it is."""
        start = time.perf_counter()
        try:
            results = self._results(jobs)
        except Exception as error:
            if len(jobs) > 1:
                for job in jobs:
                    self._do([job])
                return
            results = [error]
        for job, result in zip(jobs, results, strict=True):
            if isinstance(result, Exception):
                job.future.set_exception(result)
            else:
                job.future.set_result(result)
        self._metrics.batch(len(jobs), time.perf_counter() - start)

    def _results(self, jobs: Sequence[Job]) -> Sequence[object]:
        first = jobs[0]
        model = self._host(first.model).model
        if first.tell is None:
            assert first.alone is not None
            return [first.alone(model)]
        if first.picture is None:
            return first.tell(model, [], [job.asked for job in jobs], first.options)
        seen = [self._see_or_error(job) for job in jobs]
        asked = [job.asked for job, one in zip(jobs, seen, strict=True) if isinstance(one, Seen)]
        usable = [one for one in seen if isinstance(one, Seen)]
        told = iter(first.tell(model, usable, asked, first.options) if usable else ())
        return [next(told) if isinstance(one, Seen) else one for one in seen]

    def _see_or_error(self, job: Job) -> Seen | ImageError:
        assert job.picture is not None
        try:
            return self._see(job.model, job.picture)
        except ImageError as error:
            return error

    def _see(self, name: str, picture: bytes) -> Seen:
        """The picture encoded, now or before."""
        hosted = self._host(name)
        key = hashlib.sha256(picture).digest()
        if known := hosted.seen.pop(key, None):
            hosted.seen[key] = known
            self._metrics.seen(again=True)
            return known
        seen = hosted.model.see(picture)
        self._metrics.seen(again=False)
        if self.settings.remembered:
            hosted.seen[key] = seen
            while len(hosted.seen) > self.settings.remembered:
                hosted.seen.popitem(last=False)
        return seen

    def _host(self, name: str) -> Hosted:
        if name not in self._hosted:
            try:
                hosted = Hosted(self._load(name))
            except Exception as error:
                if name == self.settings.names[0]:  # another that fails leaves this one ready
                    self._problem = f"{name} cannot be loaded: {error}"
                raise
            self._hosted[name] = hosted
            self._capabilities[name] = hosted.model.capabilities
            self._problem = None
        return self._hosted[name]

    def _unload(self) -> None:
        """Give the memory back; the next request loads again."""
        for function in self._unloading:
            function()
        self._hosted.clear()
        gc.collect()


def _loader(settings: ServerSettings) -> Load:
    from seesay.loading import load

    machine, limits = settings.machine, settings.limits

    def loaded(name: str) -> Describer:
        return load(
            name,
            precision=machine.precision,
            threads=machine.threads,
            offline=machine.offline,
            cache=machine.cache,
            device=machine.device,
            limits=Limits(pixels=limits.pixels, bytes=limits.bytes),
        )

    return loaded
