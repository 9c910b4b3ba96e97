"""Real servers on free ports, pictures to show them, and the client that asks."""

from __future__ import annotations

import base64
import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import numpy as np
import uvicorn
from PIL import Image

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
