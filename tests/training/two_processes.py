"""Runs a function of a test file on two processes, as torchrun would start them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

SCRIPT = """
import sys, torch
from importlib import import_module
from seesay.training.processes import joined

torch.set_num_threads(1)
module, function, folder, *arguments = sys.argv[1:]
with joined() as processes:
    found = getattr(import_module(module), function)(processes, *arguments)
    torch.save(found, f"{folder}/{processes.rank}.pt")
"""


def on_two(module: str, function: str, folder: Path, *arguments: str) -> list[Any]:
    """What `function` of a module of this folder returns on each process, given its `Processes` and the arguments."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    environment = {
        **os.environ,
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        "PYTHONPATH": str(Path(__file__).parent),
    }
    command = [sys.executable, "-c", SCRIPT, module, function, str(folder), *arguments]
    running = [
        subprocess.Popen(command, env=environment | {"RANK": str(rank)}, stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    errors = [process.communicate(timeout=300)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], "\n".join(errors)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]
