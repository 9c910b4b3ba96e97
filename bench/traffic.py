"""Callers of every kind, and a count of what became of them: is a request ever lost, or answered twice, or with
another's answer?

Each request shows one of many pictures whose captions are known, over a connection of its own that is read to its end:
one answer must be there, and it must be that picture's. Callers that are told to come back (429, 503) do, and those
whose connection breaks, as they do when a server is killed, ask again. Some drip their bodies, some leave halfway or
without waiting for the answer, some send what is no picture.
"""

from __future__ import annotations

import random
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

MANNERS = {"good": 80, "slow": 5, "half": 5, "leaving": 5, "rubbish": 5}
"""Kinds of callers, in percent."""
PATIENCE = 60.0
"""Seconds for one exchange."""


@dataclass(frozen=True)
class Picture:
    """One that is asked about, and what must be said of it."""

    data: bytes = field(repr=False)
    caption: str


@dataclass
class Tally:
    """What became of the requests."""

    asked: Counter[str] = field(default_factory=Counter)
    """By manner, each once, however often it had to come back."""
    became: Counter[str] = field(default_factory=Counter)
    """answered, refused (rubbish), left; and what must not be: lost, wrong, twice, odd."""
    again: Counter[str] = field(default_factory=Counter)
    """Why callers asked again: told to come back, broken connection."""
    odd: list[str] = field(default_factory=list)
    """Answers that nobody asked for, to be read."""

    @property
    def faults(self) -> int:
        return sum(self.became[name] for name in ("lost", "wrong", "twice", "odd"))

    def __str__(self) -> str:
        parts = [
            f"{sum(self.asked.values()):,} requests ({', '.join(f'{n} {name}' for name, n in self.asked.items())})"
        ]
        parts += [f"{count:,} {name}" for name, count in sorted(self.became.items())]
        parts += [f"{count:,} times again: {why}" for why, count in self.again.items()]
        return "; ".join(parts)


class Traffic:
    """Callers of one server."""

    def __init__(self, address: tuple[str, int], pictures: Sequence[Picture], callers: int, seed: int = 0) -> None:
        self.address = address
        self.pictures = pictures
        self.callers = callers
        self.tally = Tally()
        self.done = 0
        self._seed = seed
        self._lock = threading.Lock()

    def run(self, requests: int, manners: Mapping[str, int] = MANNERS) -> Tally:
        """Ask so often, and count."""
        drawn = random.Random(self._seed).choices(list(manners), list(manners.values()), k=requests)
        with ThreadPoolExecutor(self.callers) as threads:
            list(threads.map(self._request, range(requests), drawn))
        return self.tally

    def _request(self, number: int, manner: str) -> None:
        picture = self.pictures[random.Random(f"{self._seed} {number}").randrange(len(self.pictures))]
        became, odd = self._until_answered(picture, manner)
        with self._lock:
            self.tally.asked[manner] += 1
            self.tally.became[became] += 1
            self.tally.odd += [odd] if odd else []
            self.done += 1

    def _until_answered(self, picture: Picture, manner: str) -> tuple[str, str]:
        deadline = time.monotonic() + 10 * PATIENCE
        while time.monotonic() < deadline:
            try:
                answer = self._exchange(picture, manner)
            except OSError:
                answer = b""
            if manner in ("half", "leaving"):
                return "left", ""
            if not whole(answer):
                self._count("broken connection")
                time.sleep(0.2)
                continue
            heads = re.findall(rb"HTTP/1\.1 (\d{3})", answer)
            if len(heads) != 1:
                return "twice", ""
            status = int(heads[0])
            if status in (429, 503):
                self._count("told to come back")
                after = re.search(rb"(?i)retry-after: (\d+)", answer)
                time.sleep(min(float(after[1]) if after else 1.0, 2.0))
                continue
            if manner == "rubbish":
                return ("refused", "") if status == 422 else ("odd", answer.decode(errors="replace"))
            if status != 200:
                return "odd", answer.decode(errors="replace")
            if f'"caption":"{picture.caption}"'.encode() not in answer:
                return "wrong", f"{picture.caption!r} expected of {answer.decode(errors='replace')}"
            return "answered", ""
        return "lost", ""

    def _count(self, why: str) -> None:
        with self._lock:
            self.tally.again[why] += 1

    def _exchange(self, picture: Picture, manner: str) -> bytes:
        """Everything that the server sends until the connection closes."""
        host, port = self.address
        body = b"no picture " * 20 if manner == "rubbish" else picture.data
        head = (
            f"POST /v1/caption HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: image/png\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        ).encode()
        with socket.create_connection(self.address, timeout=PATIENCE) as connection:
            if manner == "slow":
                for start in range(0, len(body), max(1, len(body) // 4)):
                    connection.sendall((b"" if start else head) + body[start : start + max(1, len(body) // 4)])
                    time.sleep(0.05)
            else:
                connection.sendall(head + (body[: len(body) // 2] if manner == "half" else body))
            if manner in ("half", "leaving"):
                return b""
            return b"".join(iter(lambda: connection.recv(65536), b""))


def whole(answer: bytes) -> bool:
    """Whether all of an answer came: a server that is killed may have sent the head and not the body."""
    head, _, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    return length is not None and len(body) >= int(length[1])
