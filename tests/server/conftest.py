"""Servers over small random models of every kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from real_servers import http, picture, ready, running  # noqa: F401  # `picture` for test_serve_photos

import seesay
from seesay.describe import Describer
from seesay.images.limits import DEFAULT_LIMITS, Limits
from seesay.server import ServerSettings, create_app
from seesay.settings import load_settings
from tiny_models import tiny_model

Serve = Callable[..., str]
Load = Callable[..., Describer]


@pytest.fixture(scope="session")
def load(tmp_path_factory: pytest.TempPathFactory) -> Load:
    """A small random model for a task; each is made once, and loaded anew at every call."""
    folder = tmp_path_factory.mktemp("tiny")

    def load(task: str, limits: Limits = DEFAULT_LIMITS) -> Describer:
        path = folder / task
        if not path.exists():
            tiny_model(path, task)  # type: ignore[arg-type]
        return seesay.load(path, precision="fp32", threads=1, cache=folder / "cache", limits=limits)

    return load


@pytest.fixture(scope="session", autouse=True)
def client_closed() -> Iterator[None]:
    yield
    http.close()


@pytest.fixture
def serve(load: Load, tmp_path: Path) -> Iterator[Serve]:
    """Starts servers: tasks of models, and settings; gives the address."""
    with ExitStack() as stack:

        def start(*tasks: str, library: Path | None = None, **settings: object) -> str:
            machine = load_settings(library=library or tmp_path / "none.db")
            made = ServerSettings(machine=machine, models=tasks or ("full",), **settings)  # type: ignore[arg-type]
            app = create_app(made, lambda task: load(task, made.limits))
            return ready(stack.enter_context(running(app)))

        yield start


@pytest.fixture(scope="module")
def server(load: Load, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One server for many tests: a model that can do everything, and a captioner."""
    machine = load_settings(library=tmp_path_factory.mktemp("library") / "none.db")
    with running(create_app(ServerSettings(machine=machine, models=("full", "caption")), load)) as url:
        yield ready(url)
