"""Who may ask, and how often."""

from __future__ import annotations

import hashlib
import hmac
import math
import time
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from seesay.errors import UsageError


@dataclass(frozen=True, slots=True)
class Key:
    """One caller's key. Only its digest is kept, so that no log or dump can show it."""

    name: str
    """What the caller is called in metrics."""
    digest: bytes = field(repr=False)
    """SHA-256 of the key."""
    per_minute: float = math.inf
    """Requests that a model works on, or that change something."""

    @classmethod
    def of(cls, name: str, secret: str, per_minute: float = math.inf) -> Key:
        """Raises UsageError for a key that anybody could guess, and for a rate that lets nothing through."""
        if len(secret) < 16:
            raise UsageError(f"The key of {name} has {len(secret)} characters", "Take 16 or more, drawn at random.")
        if not per_minute > 0:
            raise UsageError(f"{name} may ask {per_minute} times a minute", "Give a number above 0, or leave it out.")
        return cls(name, hashlib.sha256(secret.encode()).digest(), per_minute)


def read_keys(path: Path) -> tuple[Key, ...]:
    """Keys of a TOML file, a table for each caller:

        [alice]
        key = "..."
        per_minute = 60

    Raises UsageError for a file that cannot be read or is none.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        keys = [Key.of(name, table["key"], float(table.get("per_minute", math.inf))) for name, table in tables.items()]
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}", "Correct the file.") from error
    except UsageError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:  # without the error: it may hold a key
        raise UsageError(
            f"{path} holds something else than keys", 'Write [name], and below it key = "..." and per_minute = 60.'
        ) from error
    if not keys:
        raise UsageError(f"{path} holds no key", "Without keys, leave the file out.")
    return tuple(keys)


class Doorkeeper:
    """Knows the keys, and how much each may still ask: a bucket that holds a minute's requests and refills evenly."""

    def __init__(self, keys: Sequence[Key], clock: Callable[[], float] = time.monotonic) -> None:
        self._keys = tuple(keys)
        self._clock = clock
        self._buckets = {key.name: (key.per_minute, clock()) for key in keys}

    @property
    def open(self) -> bool:
        """Whether everybody may ask."""
        return not self._keys

    def known(self, secret: str) -> Key | None:
        """Whose key it is. Takes as long for a wrong one, whatever it begins with."""
        digest = hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()
        found = [key for key in self._keys if hmac.compare_digest(key.digest, digest)]
        return found[0] if found else None

    def wait(self, key: Key) -> float:
        """Seconds until this caller may ask again; 0 lets the request through, and counts it."""
        if math.isinf(key.per_minute):
            return 0.0
        left, then = self._buckets[key.name]
        now = self._clock()
        left = min(max(key.per_minute, 1.0), left + (now - then) * key.per_minute / 60)
        if left >= 1:
            self._buckets[key.name] = (left - 1, now)
            return 0.0
        self._buckets[key.name] = (left, now)
        return (1 - left) * 60 / key.per_minute
