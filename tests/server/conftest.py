"""Real servers on free ports, over small random models of every kind."""

from __future__ import annotations

import base64
import io
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx2
import numpy as np
import pytest
import uvicorn
from PIL import Image

import seesay
from seesay.describe import Describer
from seesay.images.limits import DEFAULT_LIMITS, Limits
from seesay.server import ServerSettings, create_app
from seesay.settings import load_settings
from tiny_models import tiny_model

Serve = Callable[..., str]
Load = Callable[..., Describer]
http = httpx2.Client(timeout=60)
"""One for all tests: each new one reads the system's certificates, which takes longer than most of them."""


def picture(number: int, side: int = 40) -> bytes:
    """A PNG of noise, another for each number."""
    pixels = np.random.default_rng(number).integers(0, 256, (side, side, 3), np.uint8)
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "png")
    return data.getvalue()


def data_uri(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


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


@contextmanager
def running(app: object) -> Iterator[str]:
    """The app behind a real uvicorn on a free port, until the block ends."""
    server = uvicorn.Server(
        uvicorn.Config(app, "127.0.0.1", 0, log_level="warning", lifespan="on", access_log=False)  # type: ignore[arg-type]
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        [listening] = server.servers
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def ready(url: str) -> str:
    """The server's address, once its first model is there."""
    while http.get(f"{url}/ready").status_code != 200:
        time.sleep(0.01)
    return url


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
