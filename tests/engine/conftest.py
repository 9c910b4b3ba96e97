"""Fixtures of the engine's tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_blip import ADAPTED, HYBRID, PLAIN, random_checkpoint

from seesay.blip.checkpoint import Checkpoint


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder of converted graphs for the whole run."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session", params=[PLAIN, HYBRID, ADAPTED], ids=["plain", "hybrid", "adapted"])
def checkpoint(request: pytest.FixtureRequest) -> Checkpoint:
    return random_checkpoint(request.param)
