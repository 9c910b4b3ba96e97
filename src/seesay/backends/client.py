"""One HTTP client for every protocol: a JSON body out, a JSON body in, however long the service makes us try.

Covers: timeouts for connecting and for a whole answer, slow dripping included; answers of more than 8 MB; retries with
growing, jittered waits on 408, 409, 429 and 5xx, on cut connections and on answers that are no JSON, heeding
Retry-After (seconds or a date); redirects, which are never followed, since they could lead a key and a picture to
somebody else; keys, which stand in no log, message or `repr`, also where a service echoes them.

Does not cover: what a service does with a picture; a service that lies about what it is (certificates are checked,
addresses are not: a base address is the user's own choice). Proxies named in the environment are used, except for
addresses on this machine.
"""

from __future__ import annotations

import json
import random
import time
import weakref
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from threading import Event
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urlsplit

from seesay.backends.wire import Json
from seesay.errors import ImageTooLarge, ImageUnanswered, ImageUnreadable, ServiceError

if TYPE_CHECKING:
    import httpx2

ATTEMPTS = 5
FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0
"""Seconds; a service that asks for a longer wait is not waited for."""
MOST_BYTES = 8 * 2**20
AGAIN = frozenset({408, 409, 429})
"""Statuses, besides 500 and above, after which the same request may succeed."""


class Client:
    """Posts to one service. Safe to use from several threads."""

    def __init__(self, base: str, headers: Mapping[str, str], *, seconds: float = 120.0) -> None:
        """seconds: for one attempt, from its start to the last byte of the answer."""
        import httpx2

        self.base = base
        self._secrets = [part for value in headers.values() for part in value.split() if len(part) > 12]
        self._seconds = seconds
        self._stopped = Event()
        self._http = httpx2.Client(
            headers={**headers, "User-Agent": "seesay", "Accept-Encoding": "identity"},
            timeout=httpx2.Timeout(seconds, connect=min(10.0, seconds), pool=None),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=32),
            follow_redirects=False,
            verify=base.startswith(
                "https:"
            ),  # reading the authorities takes a quarter of a second, which http can save
            trust_env=not is_local(base),
        )

        self._let_go = weakref.finalize(self, self._http.close)

    def close(self) -> None:
        """Give up: waits end, connections close. Forgetting the client closes them too."""
        self._stopped.set()
        self._let_go()

    def post(self, path: str, body: Json) -> Json:
        """The body that the service answers with.

        Raises ServiceError where no request to this service would do better (nobody there, a wrong key, an unknown
        model, no credit left); ImageUnanswered where this one failed again and again, ImageUnreadable and ImageTooLarge
        where the service rejects the picture.
        """
        content = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._once(path, content)
            except _Passing as passing:
                if attempt == ATTEMPTS or self._stopped.is_set():
                    passing.final(self.base, attempt)
                wait = passing.wait if passing.wait is not None else FIRST_WAIT * 2 ** (attempt - 1)
                if wait > LONGEST_WAIT:
                    passing.final(self.base, attempt, f"; it asks for a pause of {wait:.0f} seconds")
                # Up to a quarter more, so that requests that were refused together do not come back together.
                self._stopped.wait(wait * (1 + 0.25 * random.random()))
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _once(self, path: str, content: bytes) -> Json:
        import httpx2

        deadline = time.monotonic() + self._seconds
        try:
            headers = {"Content-Type": "application/json"}
            with self._http.stream("POST", self.base + path, content=content, headers=headers) as response:
                data = self._read(response, deadline)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise _Passing(f"cannot be reached ({self._told(str(error))})", nobody=True) from error
        except httpx2.TimeoutException as error:
            raise _Passing(f"did not answer within {self._seconds:g} seconds") from error
        except httpx2.TransportError as error:
            raise _Passing(f"broke off ({self._told(str(error) or type(error).__name__)})") from error
        except (httpx2.InvalidURL, UnicodeError) as error:  # UnicodeError: a name that no host has
            raise ServiceError(f"{self.base} is no address ({error})", "Check it: MODEL@ADDRESS.") from error
        if response.status_code != 200:
            self._refused(response, data)
        try:
            found = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise _Passing("answered with something that is no JSON") from error
        if not isinstance(found, dict):
            raise _Passing("answered with JSON that is no object")
        if found.get("error"):  # some gateways tell of errors with status 200
            self._refused(response, data)
        return found

    def _read(self, response: httpx2.Response, deadline: float) -> bytes:
        data = bytearray()
        for chunk in response.iter_raw():
            data += chunk
            if len(data) > MOST_BYTES:
                raise ServiceError(
                    f"{self.base} answered with more than {MOST_BYTES:,} bytes", "Check that the address is an API's."
                )
            if time.monotonic() > deadline:
                raise _Passing(f"did not finish within {self._seconds:g} seconds")
        return bytes(data)

    def _refused(self, response: httpx2.Response, data: bytes) -> NoReturn:
        """Raise what a status that is not 200 means."""
        status, (message, code) = response.status_code, _complaint(data)
        if status == 200:  # an error all the same; its code may be a status
            status = int(code) if code.isdecimal() else 500
        says = f"{self.base} answered {status}" + (f": {self._told(message)}" if message else "")
        if code == "insufficient_quota" or status == 402:
            raise ServiceError(says, "Add credit to the account, or use another model.")
        if status in AGAIN or status >= 500:
            raise _Passing(says.removeprefix(self.base + " "), _retry_after(response.headers))
        if 300 <= status < 400:
            host = urlsplit(response.headers.get("Location", "")).netloc or "another path"
            raise ServiceError(f"{self.base} redirects to {host}", "Give the final address: MODEL@ADDRESS.")
        if status in (401, 403):
            raise ServiceError(says, "Check the key in the environment, and what it is allowed to use.")
        if status == 404:
            raise ServiceError(says, "Check the model's name and the address (MODEL@ADDRESS).")
        if status == 413:
            raise ImageTooLarge(says, "make the picture smaller")
        if "image" in message.lower():
            raise ImageUnreadable(says, "look at the picture, and whether the model reads pictures at all")
        raise BadRequest(says, "The service does not take this request: another model may.")

    def _told(self, message: str) -> str:
        """A service's own words, short, in one line, without our keys."""
        for secret in self._secrets:
            message = message.replace(secret, "***")
        return " ".join(message.split())[:300]


class BadRequest(ServiceError):
    """Status 400 or 422: what was asked for, not who asked."""


class _Passing(Exception):
    """What may be over at the next attempt."""

    def __init__(self, what: str, wait: float | None = None, *, nobody: bool = False) -> None:
        super().__init__(what)
        self.wait = wait
        self._nobody = nobody

    def final(self, base: str, attempts: int, more: str = "") -> NoReturn:
        """Raise the error that this is in the end."""
        message = f"{base} {self}{more} (attempts: {attempts})"
        if self._nobody:
            raise ServiceError(message, "Start the server, or check the address and the network.") from self
        raise ImageUnanswered(message, "try again later, with fewer pictures at a time") from self


def is_local(address: str) -> bool:
    """Whether an address leads to this machine."""
    host = urlsplit(address).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _complaint(data: bytes) -> tuple[str, str]:
    """Message and code of an error, in any of the shapes {"error": {"message", "code", ...}}, {"error": "..."},
    {"message"}, {"detail"}."""
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        return data[:300].decode("utf-8", "replace"), ""
    error = body.get("error", body) if isinstance(body, dict) else body
    if not isinstance(error, dict):
        return str(error), ""
    message = error.get("message") or error.get("detail") or error.get("error") or ""
    return str(message), str(error.get("code") or error.get("type") or "")


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the service asks to wait, where it does."""
    if (precise := headers.get("retry-after-ms", "")).isdecimal():
        return int(precise) / 1000
    value = headers.get("retry-after", "").strip()
    try:
        return max(0.0, float(value)) if value else None
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
