"""A picture's bytes from an http(s) address, without becoming anybody's way into this machine's network."""

from __future__ import annotations

import io
import socket
import time
import zlib
from functools import cache
from http.client import HTTPException, HTTPResponse
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from seesay.errors import ImageNotFound, ImageRefused, ImageTooLarge, ImageUnreadable
from seesay.images.formats import SNIFFED, sniff
from seesay.images.limits import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    import ssl

    from _typeshed import WriteableBuffer

CHUNK = 2**16
REDIRECTS = frozenset({301, 302, 303, 307, 308})


def fetch(url: str, *, limits: Limits = DEFAULT_LIMITS, allow_private: bool = False) -> bytes:
    """The bytes that the address answers with, after redirects, with the transfer's compression undone.

    Covers: only http and https, also after each redirect; the host is looked up once per hop and the connection goes to
    an address that was checked, so that a name cannot be rebound in between, while certificate and Host header still
    carry the name; `is_public` says which addresses are refused (`allow_private` lifts this); bytes are limited as
    announced, as received and as decompressed; the deadline is for everything, redirects and slow dripping included; an
    answer that does not begin as a picture is dropped after its first piece.

    Does not cover: the resolver's own time; ports (every port of a public address may be asked); public addresses that
    lead into private networks by port forwarding. Proxies named in the environment are not used: a proxy would do the
    connecting, and the address check would be void. No cookies or credentials are sent, and nothing is retried.

    Raises ImageRefused, ImageNotFound (no such host, not 200), ImageUnreadable (cut short, no picture), ImageTooLarge
    (bytes or seconds).
    """
    deadline = time.monotonic() + limits.seconds
    for _ in range(limits.redirects + 1):
        try:
            answer = _get(url, deadline, limits, allow_private)
            if isinstance(answer, bytes):
                return answer
            url = urljoin(url, answer)
        except TimeoutError as error:
            remedy = "try again, or raise Limits(seconds=...)"
            raise ImageTooLarge(f"{url} did not finish within {limits.seconds:g} seconds", remedy) from error
        except (HTTPException, zlib.error) as error:
            raise ImageUnreadable(f"truncated or broken answer from {url} ({error!r})", "try again") from error
        except (OSError, ValueError) as error:  # look-up, connection, certificate; malformed address
            raise ImageNotFound(f"cannot reach {url} ({error})", "check the address and the network") from error
    message = f"more than {limits.redirects} redirects, the last to {url}"
    raise ImageRefused(message, "give the final address, or raise Limits(redirects=...)")


def is_public(address: str) -> bool:
    """Whether an IP address is one that anybody on the internet may be sent to.

    False for private, shared (100.64/10), loopback, link-local, multicast, reserved, documentation, benchmarking and
    unspecified addresses, and for IPv6 that wraps an IPv4 address: mapped, compatible, NAT64, 6to4, Teredo.
    """
    ip = ip_address(address)
    if ip.version == 6 and ip not in GLOBAL_UNICAST:
        return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved) and not any(ip in net for net in NOT_PUBLIC)


GLOBAL_UNICAST = ip_network("2000::/3")  # RFC 4291; mapped, compatible and NAT64 addresses are outside
NOT_PUBLIC = (  # what `is_global` lets pass, in the oldest Python we support or by design
    ip_network("192.0.0.0/24"),  # protocol assignments (RFC 6890)
    ip_network("192.88.99.0/24"),  # 6to4 relays (RFC 7526)
    ip_network("2001::/23"),  # Teredo (RFC 4380) and other protocol assignments
    ip_network("2002::/16"),  # 6to4 (RFC 3056)
    ip_network("3fff::/20"),  # documentation (RFC 9637)
)


def _get(url: str, deadline: float, limits: Limits, allow_private: bool) -> bytes | str:
    """One hop: the body, or where the answer redirects to."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ImageRefused(f"{url!r} is no http or https address", "only http:// and https:// are followed")
    host = parts.hostname.encode("idna").decode()
    port = parts.port or (443 if parts.scheme == "https" else 80)
    with _connect(host, port, deadline, allow_private) as plain:
        if parts.scheme == "http":
            return _exchange(plain, parts, host, deadline, limits)
        plain.settimeout(_left(deadline))
        with _tls().wrap_socket(plain, server_hostname=host) as secure:
            return _exchange(secure, parts, host, deadline, limits)


def _connect(host: str, port: int, deadline: float, allow_private: bool) -> socket.socket:
    """A connection to one of the host's acceptable addresses, which share the time that is left."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(info[4][0]) for info in found))
    acceptable = [address for address in addresses if allow_private or is_public(address)]
    if not acceptable:
        # Without the addresses: a server that passes this on must not become a map of its network.
        message = f"{host} is not at a public address"
        remedy = "for sources you trust: --allow-private-urls, in Python allow_private=True"
        raise ImageRefused(message, remedy)
    for index, address in enumerate(acceptable):
        left = len(acceptable) - index
        try:
            return socket.create_connection((address, port), timeout=_left(deadline) / left)
        except OSError:
            if left == 1:
                raise
    raise AssertionError("unreachable: the last address connects or raises")


@cache
def _tls() -> ssl.SSLContext:
    """Certificates and host names are verified against the system's authorities (or SSL_CERT_FILE)."""
    import ssl

    return ssl.create_default_context()


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


class _Timed(io.RawIOBase):
    """What HTTPResponse reads from: every receive ends at the deadline, however little came each time before."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self.sock, self.deadline = sock, deadline

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        self.sock.settimeout(_left(self.deadline))
        return self.sock.recv_into(buffer)


def _exchange(sock: socket.socket, parts: SplitResult, host: str, deadline: float, limits: Limits) -> bytes | str:
    target = quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), safe="/%:=&?~+!$,;'@()*[]|")
    name = f"[{host}]" if ":" in host else host
    lines = [
        f"GET {target} HTTP/1.1",
        f"Host: {name}:{parts.port}" if parts.port else f"Host: {name}",
        "User-Agent: seesay",
        "Accept: image/*, */*;q=0.5",
        "Accept-Encoding: identity",
        "Connection: close",
    ]
    sock.settimeout(_left(deadline))
    sock.sendall("\r\n".join([*lines, "", ""]).encode("ascii"))
    response = HTTPResponse(_Timed(sock, deadline), method="GET")  # type: ignore[arg-type]  # it only calls makefile
    response.begin()
    if response.status in REDIRECTS and (location := response.getheader("Location")):
        return location.encode("latin-1").decode("utf-8", "replace")  # as browsers read it
    if response.status != 200:
        message = f"{parts.geturl()} answered {response.status} {response.reason}".rstrip()
        raise ImageNotFound(message, "open the address in a browser to see whether it still exists")
    return _body(response, parts.geturl(), limits)


def _body(response: HTTPResponse, url: str, limits: Limits) -> bytes:
    """The whole body, as long as it keeps to the limits, to the length it announced, and begins as a picture does."""
    announced = response.length
    limits.check_bytes(announced or 0)
    # Asked for identity, some servers compress all the same.
    encoding = response.getheader("Content-Encoding", "").strip().lower() or "identity"
    if encoding not in ("identity", "gzip", "x-gzip", "deflate"):
        raise ImageUnreadable(f"{url} answered in {encoding}, which was not asked for", "download it in a browser")
    inflater = None if encoding == "identity" else _Inflater()
    received, body = 0, bytearray()
    while chunk := response.read(CHUNK):
        received += len(chunk)
        body += inflater.inflate(chunk, limits.bytes + 1 - len(body)) if inflater else chunk
        limits.check_bytes(max(received, len(body)))
        if len(body) >= SNIFFED and sniff(bytes(body[:SNIFFED])) is None:
            message = f"{url} answered with {response.getheader('Content-Type', 'no type')}, not a picture"
            raise ImageUnreadable(message, "give the address of the picture itself")
    if (announced is not None and received < announced) or (inflater and not inflater.eof):
        of = f" of {announced:,}" if announced is not None else ""
        raise ImageUnreadable(f"{url} is truncated: {received:,}{of} bytes came", "try again")
    return bytes(body)


class _Inflater:
    """zlib or gzip, told apart by the header; gzip also of several members behind one another (RFC 1952)."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(47)

    @property
    def eof(self) -> bool:
        """Whether the last member that began has ended."""
        return self._member.eof

    def inflate(self, data: bytes, most: int) -> bytes:
        """So many bytes at most. Raises zlib.error."""
        inflated = self._member.decompress(data, most)
        while self._member.unused_data.startswith(b"\x1f\x8b") and len(inflated) < most:
            data, self._member = self._member.unused_data, zlib.decompressobj(47)
            inflated += self._member.decompress(data, most - len(inflated))
        return inflated
