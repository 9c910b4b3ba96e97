"""The whole server, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

import seesay
from seesay.errors import SeesayError
from seesay.server import native, ollama, openai, photos, searching, state
from seesay.server.gate import Gate
from seesay.server.intake import Intake
from seesay.server.library_search import LibrarySearch
from seesay.server.metrics import Metrics
from seesay.server.refusals import Refusal, refused
from seesay.server.service import Service
from seesay.server.settings import ServerSettings
from seesay.server.worker import Load, Worker

PAGES = Path(__file__).with_name("pages")
"""The web page."""


def create_app(settings: ServerSettings | None = None, load: Load | None = None) -> ASGIApp:
    """The server as an ASGI app; its models live from the app's start-up to its shutdown.

    load: makes a model of a name; `seesay.load` where none is given.
    """
    settings = settings or ServerSettings()
    metrics = Metrics()
    worker = Worker(settings, metrics, load)
    search = LibrarySearch(settings.machine.library)
    worker.when_unloading(search.forget)
    intake = Intake(worker, settings.machine.library)
    worker.when_unloading(intake.forget)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        worker.start()
        yield
        await run_in_threadpool(worker.close)

    app = FastAPI(
        title="Seesay",
        version=seesay.__version__,
        lifespan=lifespan,
        docs_url=None,  # FastAPI's pages load their scripts from other hosts
        redoc_url=None,
    )
    app.state.service = Service(settings, worker, metrics, search)
    app.state.intake = intake
    app.add_exception_handler(SeesayError, _refuse)
    app.add_exception_handler(Refusal, _refuse)
    app.add_exception_handler(RequestValidationError, _misunderstood)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _refuse)
    for part in (native, searching, photos, openai, ollama, state):
        app.include_router(part.router)
    app.mount("/", StaticFiles(directory=PAGES, html=True), name="pages")
    return Gate(app, settings, metrics)


async def _refuse(request: Request, error: Exception) -> Response:
    return refused(request.url.path, error)


async def _misunderstood(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    told = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'body'}: {one['msg']}" for one in error.errors())
    return refused(request.url.path, Refusal(400, told, "GET /docs shows what a request holds."))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    answer = refused(request.url.path, Refusal(error.status_code, str(error.detail)))
    answer.headers.update(error.headers or {})
    return answer
