"""A PostgreSQL with pgvector of the tests' own, from the wheel `pgserver`."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534
"""Who runs the server where the tests are run by root, whom it refuses."""


@contextmanager
def postgres_server() -> Iterator[str]:
    """The address of its user's server, "postgresql://postgres@/{}?host=...", into which a database's name goes.

    It listens in a folder only, and forgets nothing but on a power failure: the tests' data may be lost then.
    """
    from importlib.util import find_spec

    found = find_spec("pgserver")
    assert found
    assert found.origin
    programs = Path(found.origin).parent / "pginstall" / "bin"
    user = NOBODY if os.getuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="seesay-postgres-"))
    data = folder / "data"

    def run(program: str, *arguments: str) -> None:
        with (folder / "log").open("ab") as log:
            subprocess.run(
                [programs / program, "-D", data, *arguments], check=True, stdout=log, stderr=log, user=user, cwd=folder
            )

    try:
        if user is not None:
            os.chown(folder, user, -1)
        run("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N")
        options = f"-k {folder} -c listen_addresses= -c fsync=off -c full_page_writes=off -c shared_buffers=32MB"
        run("pg_ctl", "-w", "-t", "120", "-o", options, "start")
        try:
            yield f"postgresql://postgres@/{{}}?host={folder}"
        finally:
            run("pg_ctl", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
