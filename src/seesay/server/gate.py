"""What stands before every request: who asks, how much, for how long, and whether there is room."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import Iterator, Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from seesay.server.keys import Doorkeeper
from seesay.server.metrics import Metrics
from seesay.server.refusals import Refusal, refused
from seesay.server.settings import ServerSettings

LOCAL = ("localhost", "127.0.0.1", "::1")
"""Names of this machine."""
READING = ("GET", "HEAD", "OPTIONS")
"""Methods of requests that change nothing and ask no model; they wait for nobody, and no rate counts them."""
COOKIE = "seesay-key"
"""Where a page keeps a caller's key for what cannot send a header, such as a picture."""
KEYED = re.compile(r"/(v1|api|mcp)(/|$)|/metrics$")
"""Paths that take a key, where there are keys."""
PATIENCE = 5.0
"""Seconds for the rest of a body that is refused."""
log = logging.getLogger("seesay.server")


class Gate:
    """ASGI middleware. Every request gets exactly one answer, but for callers that left.

    Covers: host names, where only this machine is served (a web page cannot reach it by rebinding its own name);
    requests that a page of another origin sends; keys and their rates; the size of a body, as announced and as
    received; one time limit for a body to come, to wait and to be answered, anew for each piece of a stream; the number
    of requests that wait and the bytes of those that arrive, beyond which callers are told when to come back; callers
    that left, whose work is not begun.

    Does not cover: the time that a request's headers take (limit it in the balancer; `seesay serve` limits the number
    of connections), and work that has begun, which no thread can be made to leave.
    """

    def __init__(self, app: ASGIApp, settings: ServerSettings, metrics: Metrics) -> None:
        self.app = app
        self.settings = settings
        self.metrics = metrics
        self.doorkeeper = Doorkeeper(settings.keys)
        self.busy = self.held = 0
        self.pace = 0.1
        """Seconds that a request took lately, from one answer to the next while there was work."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        answer = Answer(send)
        start = time.perf_counter()
        caller = ""
        try:
            caller = self._admit(scope)
            if scope["method"] in READING:
                await self.app(scope, receive, answer)
            else:
                await self._work(scope, receive, answer)
        except Exception as error:
            if answer.begun:  # an answer that has begun can only be broken off
                raise
            if not isinstance(error, Refusal):
                log.exception("%s %s", scope["method"], scope["path"])
            await refused(scope["path"], error)(scope, receive, answer)
        finally:
            if answer.status:
                path = getattr(scope.get("route"), "path", "other")
                self.metrics.request(path, answer.status, caller, time.perf_counter() - start)

    # --------------------------------------------------------------------------------------------------- who asks what

    def _admit(self, scope: Scope) -> str:
        """The caller's name. Raises Refusal."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "")
        if self.settings.local and _hostname(host) not in LOCAL:
            raise Refusal(421, f"This server is not called {host!r}", "Ask for localhost.")
        origin = headers.get("origin")
        if origin and scope["method"] not in READING and origin.partition("://")[2] != host:
            raise Refusal(403, f"A page of {origin} may not ask this server", "Ask from a page of its own.")
        if self.doorkeeper.open or not KEYED.match(scope["path"]):
            return ""
        key = self.doorkeeper.known(_secret(headers))
        if key is None:
            raise Refusal(401, "No key, or none that is known here", "Send it: Authorization: Bearer KEY.")
        if scope["method"] not in READING and (wait := self.doorkeeper.wait(key)):
            raise Refusal(429, f"More than {key.per_minute:g} requests a minute", "Come back later.", wait)
        return key.name

    # ----------------------------------------------------------------------------------------------------- one request

    async def _work(self, scope: Scope, receive: Receive, answer: Answer) -> None:
        """Read the body, then answer, while watching whether the caller is still there."""
        body = bytearray()
        coming = Coming(receive)

        async def tell(message: Message) -> None:
            patience.reschedule(asyncio.get_running_loop().time() + self.settings.seconds)
            await answer(message)

        try:
            async with asyncio.timeout(self.settings.seconds) as patience:
                try:
                    self._check_room()
                    there = await self._arrive(scope, coming, body)
                except Refusal:
                    await _pass_over(coming, self.settings.body)
                    raise
                if not there:
                    self.metrics.left()
                    return
                self._check_room()  # again, for a slow body takes no place from those that are there
                with self._place():
                    await self._answer(scope, receive, answer, tell, bytes(body))
        except TimeoutError:
            if answer.begun:
                raise
            raise Refusal(504, f"No answer within {self.settings.seconds:g} seconds", "Ask again later.", 1) from None
        finally:
            self.held -= len(body)

    def _check_room(self) -> None:
        if self.busy >= self.settings.queue or self.held >= self.settings.held:
            raise Refusal(429, "Too many requests at once", "Come back later.", self.busy * self.pace)

    @contextlib.contextmanager
    def _place(self) -> Iterator[None]:
        """One of the places of those that are worked on or wait."""
        self.busy += 1
        self.metrics.busy.set(self.busy)
        start, beside = time.perf_counter(), self.busy
        try:
            yield
        finally:
            # One thread answers them all: what a request took, shared among those beside it, is the pace.
            self.pace += 0.1 * ((time.perf_counter() - start) / beside - self.pace)
            self.busy -= 1
            self.metrics.busy.set(self.busy)

    async def _arrive(self, scope: Scope, receive: Receive, body: bytearray) -> bool:
        """Fills `body`; False where the caller left. Raises Refusal for one that is too large."""
        announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        most = self.settings.body
        if announced.isdigit() and int(announced) > most:
            raise Refusal(413, f"A body of {int(announced):,} bytes; the limit is {most:,}", "Send a smaller picture.")
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return False
            part = message.get("body", b"")
            if len(body) + len(part) > most:
                raise Refusal(413, f"The body is larger than the limit, {most:,} bytes", "Send a smaller picture.")
            body += part
            self.held += len(part)
            if not message.get("more_body"):
                return True
            self._check_room()

    async def _answer(self, scope: Scope, receive: Receive, answer: Answer, tell: Send, body: bytes) -> None:
        """The app's answer to a body that is there, through `tell`; ended where the caller leaves."""
        left: Message = {"type": "http.disconnect"}
        given = False

        async def replay() -> Message:
            nonlocal given
            if given:
                await asyncio.Event().wait()  # whoever waits for the caller to leave is ended with the rest
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def leave() -> None:
            while await receive() != left:
                pass

        answering = asyncio.ensure_future(self.app(scope, replay, tell))
        leaving = asyncio.ensure_future(leave())
        try:
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if answering.done() or answer.ended:  # whoever has the whole answer may leave: the app tidies up after it
                await answering
            else:
                self.metrics.left()
        finally:
            for task in (answering, leaving):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await task


async def _pass_over(coming: Coming, most: int) -> None:
    """Let the rest of a refused body come, up to so many bytes and seconds: a caller that is still sending would not
    read the answer, but find the connection broken."""
    passed = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            while coming.more and passed <= most:
                message = await coming()
                passed += len(message.get("body", b""))


class Coming:
    """`receive`, and whether more of the body comes."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.more = True

    async def __call__(self) -> Message:
        message = await self._receive()
        self.more = bool(message.get("more_body"))
        return message


class Answer:
    """`send`, and what went through it."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0
        self.ended = False
        """Whether all of it was sent."""

    @property
    def begun(self) -> bool:
        return bool(self.status)

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        self.ended = message["type"] == "http.response.body" and not message.get("more_body")
        await self._send(message)


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _secret(headers: Mapping[str, str]) -> str:
    """The key that a request carries; empty where it has none."""
    scheme, _, secret = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return secret.strip()
    if "x-api-key" in headers:
        return headers["x-api-key"]
    cookies = [one.strip() for one in headers.get("cookie", "").split(";")]
    ours = next((one for one in cookies if one.startswith(f"{COOKIE}=")), "")  # others' may be what no cookie is
    try:
        cookie = SimpleCookie(ours).get(COOKIE)
    except CookieError:
        return ""
    return cookie.value if cookie else ""
