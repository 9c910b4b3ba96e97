"""llama.cpp's server in a process of its own: whatever becomes of it, the program that asks it lives on.

This file is also what that process runs. It reads its settings as a line of JSON, answers with the server's address or
with what went wrong, and ends when the one who started it is gone. It imports nothing of Seesay, to begin at once.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import weakref
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TextIO

DYING = 2.0
"""Seconds that a process may take to end after it hung up."""


class LlamaCpp:
    """A GGUF file, served at an address of this machine that wants a key which nobody else has."""

    def __init__(
        self,
        path: Path,
        *,
        context_length: int,
        gpu_layers: int = 0,
        threads: int | None = None,
        chat_template: str = "",
    ) -> None:
        """chat_template: in Jinja; "" for the file's own. Raises ImportError without xllamacpp, and RuntimeError with
        the reason where llama.cpp cannot load the file."""
        if find_spec("xllamacpp") is None:
            raise ImportError("xllamacpp")
        self.key = secrets.token_urlsafe(32)
        wanted = {
            "path": str(path),
            "context_length": context_length,
            "gpu_layers": gpu_layers,
            "threads": threads,
            "chat_template": chat_template,
            "key": self.key,
        }
        # -P: what stands beside this file is no library. A session of its own: Ctrl-C is for the one who asks.
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.pid = self._process.pid
        self.close = weakref.finalize(self, _end, self._process)
        told = self._told(wanted)
        if "address" not in told:
            how = told.get("error") or f"llama.cpp {self.ended(DYING) or 'gave no answer'}"
            self.close()
            raise RuntimeError(how)
        self.address: str = told["address"]

    def _told(self, wanted: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin
        assert self._process.stdout
        try:
            self._process.stdin.write(json.dumps(wanted).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            return {}
        line = self._process.stdout.readline()
        return json.loads(line) if line else {}

    def ended(self, within: float = 0.0) -> str:
        """How it ended, in words; "" where it runs on for so many seconds: a process that dies hangs up first."""
        try:
            code = self._process.wait(within)
        except subprocess.TimeoutExpired:
            return ""
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def _end(process: subprocess.Popen[bytes]) -> None:
    """llama.cpp keeps nothing that a sudden end could harm."""
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe:
            pipe.close()


# -------------------------------------------------------------------------------------------------- in its own process


def serve(asked: TextIO, answers: TextIO) -> None:
    wanted = json.loads(asked.readline())
    try:
        server = _server(wanted)
    except RuntimeError as error:
        answer = {"error": str(error) or "it says no more"}
    else:
        answer = {"address": server.listening_address}
    print(json.dumps(answer), file=answers, flush=True)
    asked.read()  # until the other end is closed, by whatever it died of
    os._exit(0)


def _server(wanted: dict[str, Any]) -> Any:
    import xllamacpp

    settings = xllamacpp.CommonParams()
    settings.model.path = wanted["path"]
    settings.n_ctx = wanted["context_length"]
    settings.n_gpu_layers = wanted["gpu_layers"]
    settings.n_parallel = 1
    settings.verbosity = -1
    settings.warmup = False
    settings.api_keys = [wanted["key"]]
    settings.endpoint_slots = settings.ui = False
    # Our grammar says what a reply looks like; parsers of calls by each model's own habits have no say.
    settings.force_pure_content_parser = True
    if wanted["threads"]:
        settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = wanted["threads"]
    if wanted["chat_template"]:
        settings.chat_template = wanted["chat_template"]
    return xllamacpp.Server(settings)


if __name__ == "__main__":
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever llama.cpp prints is no answer
    serve(sys.stdin, answers)
