"""Errors as answers: a status, and a body in the shape that the caller's protocol has."""

from __future__ import annotations

import math
from collections.abc import Mapping

from fastapi.responses import JSONResponse

from seesay.errors import (
    CapabilityError,
    DataError,
    ImageError,
    ImageNotFound,
    ImageRefused,
    ImageTooLarge,
    ImageUnanswered,
    ModelNotFound,
    SeesayError,
    ServiceError,
    UsageError,
)

STATUS: Mapping[type[SeesayError], int] = {
    ImageTooLarge: 413,
    ImageRefused: 403,
    ImageNotFound: 404,
    ImageUnanswered: 502,
    ImageError: 422,
    ModelNotFound: 404,
    CapabilityError: 400,  # not 501: clients would ask again, and get the same answer
    ServiceError: 503,
    DataError: 404,
    UsageError: 400,
}
"""The nearest class counts. Any other error is a fault of the server's: 500."""


class Refusal(Exception):
    """A request that is answered with an error of HTTP's own."""

    def __init__(self, status: int, message: str, remedy: str = "", after: float | None = None) -> None:
        """after: seconds until the same request may succeed."""
        super().__init__(message)
        self.status = status
        self.remedy = remedy
        self.after = after


def refused(path: str, error: Exception) -> JSONResponse:
    """The answer to a request for `path` that ended in `error`. What was not foreseen is not told."""
    headers = {}
    if isinstance(error, Refusal):
        status, kind, remedy = error.status, "refused", error.remedy
        if error.after is not None:
            headers["Retry-After"] = str(max(1, math.ceil(error.after)))
        if status == 401:
            headers["WWW-Authenticate"] = "Bearer"
    elif isinstance(error, SeesayError):
        status = next((STATUS[one] for one in type(error).__mro__ if one in STATUS), 500)
        kind, remedy = type(error).__name__, error.remedy
        if status == 503:
            headers["Retry-After"] = "1"
    else:
        status, kind, remedy = 500, "internal", "The server's log says more."
    message = str(error) if status != 500 or isinstance(error, SeesayError) else "Something unexpected happened"
    return JSONResponse(_body(path, message, kind, remedy), status, headers)


def _body(path: str, message: str, kind: str, remedy: str) -> Mapping[str, object]:
    """Ollama's clients read a text, OpenAI's an object; ours are in OpenAI's shape."""
    if path.startswith("/api/"):
        return {"error": f"{message}. {remedy}" if remedy else message}
    return {"error": {"message": message, "type": kind, "param": None, "code": kind, "remedy": remedy}}
