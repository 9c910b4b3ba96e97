"""ExifTool, the program, for metadata within photographs: it knows every format, and replaces files in one step.

One process serves many photographs. It runs with the user's own configuration left out.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seesay.errors import DataError, UsageError

Tags = Mapping[str, str | Sequence[str]]
"""Values by name, such as "XMP-dc:Description"; an empty one is none."""


class ExifTool:
    """A running ExifTool; a context. Raises UsageError when made where the program is not installed."""

    def __init__(self) -> None:
        program = shutil.which("exiftool")
        if program is None:
            raise UsageError(
                "Metadata within photographs is written by ExifTool, which is not installed",
                "apt install libimage-exiftool-perl, brew install exiftool, or https://exiftool.org; "
                "side-cars need nothing.",
            )
        command = [program, "-config", "", "-stay_open", "True", "-@", "-"]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT)

    def __enter__(self) -> ExifTool:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        assert self._process.stdin is not None
        if self._process.poll() is None:
            self._process.stdin.write(b"-stay_open\nFalse\n")
        self._process.stdin.close()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def read(self, path: Path, names: Sequence[str]) -> dict[str, str | list[str]]:
        """The values of those tags that are there. Raises DataError."""
        options = ["-j", "-G1", "-q", "-q", "-charset", "iptc=Latin", *(f"-{name}" for name in names)]
        said = self._run(options, path)
        try:
            [found] = json.loads(said)
        except ValueError as error:
            raise DataError(f"{path}: {said.strip() or 'ExifTool said nothing'}", "Check the file.") from error
        return {name: _value(value) for name, value in found.items() if name != "SourceFile"}

    def write(self, path: Path, tags: Tags) -> None:
        """Replace the values of these tags, or delete them; the file changes in one step. Raises DataError."""
        options = ["-overwrite_original", "-q", "-q", "-m"]
        for name, value in tags.items():
            values = [value] if isinstance(value, str) else list(value) or [""]
            options += [f"-{name}={one}" for one in values]
        if said := self._run(options, path).strip():
            raise DataError(f"{path}: {said}", "Use side-cars for such files.")

    def _run(self, options: Sequence[str], path: Path) -> str:
        lines = [*options, str(path.resolve())]  # a link stays one, and what it names is changed
        if any("\n" in line or "\r" in line for line in lines):
            raise DataError(f"{path}: a line break in a name or a value", "Rename the file.")
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            # Numbered, since without a number "-q" would silence the sign of its end too.
            self._process.stdin.write(os.fsencode("\n".join([*lines, "-execute1"])) + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise DataError(f"ExifTool has ended ({error})", "Try again.") from error
        said = b""
        for line in self._process.stdout:
            if line.rstrip() == b"{ready1}":
                return said.decode("utf-8", "replace")
            said += line
        raise DataError(f"ExifTool has ended: {said.decode('utf-8', 'replace').strip()}", "Try again.")


def _value(value: Any) -> str | list[str]:
    return [str(one) for one in value] if isinstance(value, list) else str(value)
