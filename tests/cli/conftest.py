"""The real command, over a small random checkpoint."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def seesay(checkpoint: Path, machine: dict[str, str], tmp_path: Path) -> Run:
    """Runs the command as a process of its own, in `tmp_path`, with the small checkpoint as its default model."""

    def run(*arguments: str, stdin: bytes | None = None, **changes: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "seesay", *arguments],
            env=machine | {"SEESAY_MODEL": str(checkpoint)} | changes,
            cwd=tmp_path,
            input=stdin,
            capture_output=True,
            timeout=120,
            check=False,
        )
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    return run
