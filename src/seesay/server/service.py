"""What the endpoints share: the settings, the models' thread and the counters of one app."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from seesay.server.library_search import LibrarySearch
from seesay.server.metrics import Metrics
from seesay.server.pictures import picture_bytes
from seesay.server.settings import ServerSettings
from seesay.server.worker import Worker


@dataclass(frozen=True, slots=True)
class Service:
    """Everything that an endpoint may use. Model work goes through `worker`, never around it."""

    settings: ServerSettings
    worker: Worker
    metrics: Metrics
    search: LibrarySearch
    """The photo library; only `worker.call` may use it."""

    async def picture(self, source: str | bytes) -> bytes:
        """The bytes of a picture as a request brings it. Raises ImageError."""
        if isinstance(source, bytes):
            return source
        return await run_in_threadpool(picture_bytes, source, self.settings)


def _of(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


Serving = Annotated[Service, Depends(_of)]
"""An endpoint's parameter: `async def caption(service: Serving)`."""
