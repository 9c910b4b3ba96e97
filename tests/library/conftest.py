"""Real photographs in folders, small random models of every kind, and libraries in files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image
from skimage import data

import seesay
from seesay.describe import Describer
from seesay.library import Library
from tiny_models import tiny_model

Load = Callable[[str], Describer]


@pytest.fixture(scope="session")
def originals() -> dict[str, Image.Image]:
    names = ("chelsea", "coffee", "astronaut", "rocket", "hubble_deep_field")
    return {name: Image.fromarray(getattr(data, name)()).resize((320, 240)) for name in names if hasattr(data, name)}


@pytest.fixture
def album(tmp_path: Path, originals: dict[str, Image.Image]) -> Path:
    """A folder of photographs as JPEG files, one in a folder below."""
    folder = tmp_path / "album"
    (folder / "space").mkdir(parents=True)
    for name in ("chelsea", "coffee"):
        originals[name].save(folder / f"{name}.jpg")
    for name in ("astronaut", "rocket"):
        originals[name].save(folder / "space" / f"{name}.jpg")
    return folder


@pytest.fixture(scope="session")
def load(tmp_path_factory: pytest.TempPathFactory) -> Load:
    """A small random model for a task; each is made once."""
    folder = tmp_path_factory.mktemp("tiny")

    def load(task: str) -> Describer:
        path = folder / task
        if not path.exists():
            tiny_model(path, task)  # type: ignore[arg-type]
        return seesay.load(path, precision="fp32", threads=1, cache=folder / "cache")

    return load


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    with Library(tmp_path / "library.db") as opened:
        yield opened


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """A PostgreSQL with pgvector; a database's name goes into its address."""
    pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")
    pytest.importorskip("pgserver", reason="there is no PostgreSQL: pgserver is not installed")
    from postgres_server import postgres_server

    with postgres_server() as address:
        yield address


@pytest.fixture
def address(server: str) -> str:
    """Of a database in PostgreSQL without a library."""
    import psycopg

    with psycopg.connect(server.format("postgres"), autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS seesay CASCADE")
    return server.format("postgres")
