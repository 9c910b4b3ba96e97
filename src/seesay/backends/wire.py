"""What goes over the wire, whichever protocol carries it: a picture and an instruction out, words and their cost back.

A protocol is one module of pure functions, `Wire`, so that a batch file holds the very bodies that a live run sends.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Json = dict[str, Any]
Finish = Literal["stop", "length", "refused"]


@dataclass(frozen=True, slots=True)
class Request:
    """One picture and what is wanted of it. What is None is left out, and the service does as it likes."""

    model: str
    text: str
    jpeg: bytes = field(repr=False)
    most: int
    """Tokens of the reply at most, thinking included."""
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    logprobs: bool = False
    effort: str | None = None
    """How hard a thinking model thinks, in the provider's own word."""
    own: bool = True
    """It goes to the provider itself, not to another server that speaks its protocol."""

    @property
    def base64(self) -> str:
        return b64encode(self.jpeg).decode("ascii")


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the service counted them, thinking included in `output`."""

    input: int = 0
    output: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back."""

    text: str
    finish: Finish
    usage: Usage
    model: str = ""
    """The exact model that answered, such as a dated snapshot."""
    logprobs: tuple[tuple[str, float], ...] = ()
    """The reply's tokens as text, each with its log-probability; empty where the protocol does not tell."""
    reason: str = ""
    """Why it was refused, in the provider's word."""


class Malformed(Exception):
    """The answer is not of the documented shape; the message says what is missing. Translated in `client.py`."""


class BatchFailure(Exception):
    """A line of a batch's results that holds no answer; the message is the provider's."""


class Wire(Protocol):
    """One protocol; its modules are `chat`, `responses`, `anthropic`, `gemini` and `ollama`."""

    BASE: str
    """Address of the provider, or of the server on this machine."""
    KEYS: tuple[str, ...]
    """Environment variables that may hold the provider's key, the first one preferred; none where it needs no key."""
    BATCH: tuple[int, int] | None
    """Requests and bytes of one batch file at most; None where the protocol has no batches."""

    def path(self, model: str) -> str:
        """Where requests go, below the base address."""
        ...

    def headers(self, key: str) -> Mapping[str, str]:
        """How the key is told; also what every request must carry ("" for a server without keys)."""
        ...

    def request(self, asked: Request) -> Json:
        """The request's body."""
        ...

    def parse(self, body: Json) -> Reply:
        """The reply in a body. Raises Malformed."""
        ...

    def batch_line(self, identity: str, body: Json) -> Json:
        """A line of a batch file."""
        ...

    def batch_result(self, line: Json) -> tuple[str, Json | BatchFailure]:
        """Whose result a line of a finished batch is, and the body in it. Raises Malformed."""
        ...


def at(body: object, *path: str | int) -> Any:
    """What lies at the path of a JSON value. Raises Malformed where there is none."""
    for place, step in enumerate(path):
        try:
            body = body[step]  # type: ignore[index]  # what cannot be indexed is malformed
        except (KeyError, IndexError, TypeError):
            where = ".".join(str(one) for one in path[: place + 1])
            raise Malformed(f"it holds no {where}") from None
    return body


def count(body: object, *path: str | int) -> int:
    """A number of tokens; 0 where the service does not tell."""
    try:
        found = at(body, *path)
    except Malformed:
        return 0
    return found if isinstance(found, int) and found >= 0 else 0


def words(value: object) -> str:
    """A text that may be absent. Raises Malformed for anything else."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Malformed(f"a text was expected where a {type(value).__name__} stands")
    return value


def scored(tokens: object) -> tuple[tuple[str, float], ...]:
    """Tokens and log-probabilities from a list of {"token", "logprob"}; empty where one of them is not told.

    -9999.0 is OpenAI's word for "less likely than the twenty likeliest".
    """
    if not isinstance(tokens, list):
        return ()
    try:
        found = tuple((str(one["token"]), float(one["logprob"])) for one in tokens)
    except (KeyError, TypeError, ValueError, OverflowError):
        return ()
    return () if any(not -9999 < score <= 0 for _, score in found) else found


def chosen(**options: object) -> Json:
    """Those that are set."""
    return {name: value for name, value in options.items() if value is not None}
