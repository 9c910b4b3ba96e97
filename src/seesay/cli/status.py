"""One line at the bottom of a terminal: how far, how fast, how long yet."""

from __future__ import annotations

import shutil
import sys
import time


class Status:
    """The line on standard error, drawn at most ten times a second; nothing where that is no terminal.

    Clear it before anything else is printed: both streams share the screen.
    """

    def __init__(self, unit: str, total: int | None = None, scale: float = 1) -> None:
        """unit: what is counted, such as "pictures"; scale: how many of the counted things make one unit."""
        self._unit = unit
        self._total = total
        self._scale = scale
        self._shown = sys.stderr.isatty()
        self._start = self._drawn = time.monotonic()
        self._first: int | None = None

    def update(self, done: int, total: int | None = None) -> None:
        """`done` of them are done; what was done at the first call does not count towards the rate."""
        if self._first is None:
            self._first = done
        now = time.monotonic()
        if self._shown and now - self._drawn >= 0.1:
            self._drawn = now
            rate = (done - self._first) / (now - self._start)
            line = describe(done, total or self._total, rate, self._unit, self._scale)
            self.say(line)

    def say(self, line: str) -> None:
        """Show any line."""
        if self._shown:
            sys.stderr.write(f"\r\x1b[K{line[: shutil.get_terminal_size().columns - 1]}")
            sys.stderr.flush()

    def clear(self) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def describe(done: int, total: int | None, rate: float, unit: str, scale: float = 1) -> str:
    """ "120/1000 pictures  12.5/s  1:10 left"; without a total, what is known of it."""
    counted = f"{done / scale:.0f}/{total / scale:.0f} {unit}" if total else f"{done / scale:.0f} {unit}"
    if rate <= 0:
        return counted
    left = f"  {duration((total - done) / rate)} left" if total else ""
    return f"{counted}  {rate / scale:.1f}/s{left}"


def duration(seconds: float) -> str:
    """ "0:07", "12:34", "3:02:01"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
