"""Downloads from a real server on this machine: what it may do to us, and what we never do for it."""

import gzip
import shutil
import socket
import ssl
import subprocess
import threading
import time
import zlib
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from seesay.errors import ImageError, ImageNotFound, ImageRefused, ImageTooLarge, ImageUnreadable
from seesay.images import Limits, open_image
from seesay.images.fetch import _tls, fetch, is_public


class Answers(BaseHTTPRequestHandler):
    """Each path misbehaves in the way its name says."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):  # the name that http.server calls
        self.server.seen.append((self.path, self.headers["Host"]))
        self.close_connection = True
        with suppress(BrokenPipeError, ConnectionResetError):  # the client has seen enough
            getattr(self, self.path.strip("/").split("?")[0].split("/")[0].replace("-", "_"))()

    def log_message(self, *_):
        pass

    def answer(self, body, status=200, **headers):
        self.send_response(status)
        headers = {"Content_Type": "image/jpeg", "Content_Length": str(len(body))} | headers
        for name, value in headers.items():
            if value is not None:
                self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def photo(self):
        self.answer(self.server.jpeg)

    def no_length(self):
        self.answer(self.server.jpeg, Content_Length=None)

    def chunked(self):
        body, step = self.server.jpeg, 10_000
        pieces = [body[at : at + step] for at in range(0, len(body), step)] + [b""]
        framed = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
        self.answer(framed, Content_Length=None, Transfer_Encoding="chunked")

    def chunked_short(self):
        self.answer(b"5000\r\n" + self.server.jpeg[:1000], Content_Length=None, Transfer_Encoding="chunked")

    def octets(self):
        self.answer(self.server.jpeg, Content_Type="text/plain")

    def gzipped(self):
        self.answer(gzip.compress(self.server.jpeg), Content_Encoding="gzip")

    def deflated(self):
        self.answer(zlib.compress(self.server.jpeg), Content_Encoding="deflate")

    def gzip_short(self):
        self.answer(gzip.compress(self.server.jpeg)[:-4000], Content_Encoding="gzip")

    def gzip_lie(self):
        self.answer(self.server.jpeg, Content_Encoding="gzip")

    def gzip_bomb(self):
        self.answer(gzip.compress(self.server.jpeg + bytes(50_000_000)), Content_Encoding="gzip")

    def brotli(self):
        self.answer(b"\x0b\x02\x80", Content_Encoding="br")

    def huge(self):
        self.answer(self.server.jpeg, Content_Length=str(10**12))

    def endless(self):
        self.answer(self.server.jpeg, Content_Length=None)
        while True:
            self.wfile.write(bytes(2**16))

    def lying_short(self):
        self.answer(self.server.jpeg[:5000], Content_Length=str(len(self.server.jpeg)))

    def lying_long(self):
        self.answer(self.server.jpeg + b"something else", Content_Length=str(len(self.server.jpeg)))

    def page(self):
        self.answer(b"<!DOCTYPE html><html><body>A cat, they say</body></html>", Content_Type="text/html")

    def gone(self):
        self.answer(b"nothing", status=404)

    def empty(self):
        self.answer(b"")

    def not_http(self):
        self.wfile.write(b"220 mail.example ESMTP ready\r\n")

    def drip(self):
        self.answer(b"", Content_Length=str(len(self.server.jpeg)))
        for byte in self.server.jpeg:
            self.wfile.write(bytes([byte]))
            time.sleep(0.02)

    def drip_headers(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        for _ in range(500):
            self.wfile.write(b"X")
            time.sleep(0.02)

    def silence(self):
        time.sleep(1)

    def loop(self):
        self.answer(b"", status=302, Location="/loop")

    def hop(self):
        """/hop/3 goes to /hop/2, and so on to the photo."""
        left = int(self.path.rsplit("/", 1)[1])
        self.answer(b"", status=301 + left % 2, Location=f"../hop/{left - 1}" if left > 1 else "/photo?from=hop")

    def members(self):
        body, half = self.server.jpeg, len(self.server.jpeg) // 2
        self.answer(gzip.compress(body[:half]) + gzip.compress(body[half:]) + b"\0" * 9, Content_Encoding="gzip")

    def members_short(self):
        body, half = self.server.jpeg, len(self.server.jpeg) // 2
        self.answer(gzip.compress(body[:half]) + gzip.compress(body[half:])[:-99], Content_Encoding="gzip")

    def members_bomb(self):
        self.answer(gzip.compress(self.server.jpeg) + gzip.compress(bytes(5_000_000)) * 9, Content_Encoding="gzip")

    def padded(self):
        self.answer(gzip.compress(self.server.jpeg) + bytes(5_000_000), Content_Encoding="gzip", Content_Length=None)

    def no_encoding(self):
        self.answer(self.server.jpeg, Content_Encoding="")

    def accent(self):
        self.answer(b"", status=302, Location="/photo/caf\u00e9".encode().decode("latin-1"))  # http.server's own way

    def nowhere(self):
        self.answer(b"", status=302, Location="http://[oops")

    def to(self):
        self.answer(b"", status=307, Location=self.path.removeprefix("/to/"))


@pytest.fixture(scope="module")
def server(photos):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.jpeg, server.seen = (photos / "rocket.jpg").read_bytes(), []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def url(server):
    return f"http://127.0.0.1:{server.server_port}"


PATHS = ["photo", "no-length", "chunked", "octets", "gzipped", "deflated", "lying-long", "hop/3", "photo?a=b c&d=ü"]
PATHS += ["members", "no-encoding"]


@pytest.mark.parametrize("path", PATHS)
def test_a_photo_arrives(server, url, path):
    assert fetch(f"{url}/{path}", allow_private=True) == server.jpeg


def test_a_redirect_is_read_as_utf_8(server, url):
    assert fetch(f"{url}/accent", allow_private=True) == server.jpeg
    assert server.seen[-1][0] == "/photo/caf%C3%A9"


def test_open_image_takes_addresses(url):
    assert open_image(f"{url}/photo", allow_private=True).size == (640, 427)
    assert open_image(f"{url.upper()}/photo", allow_private=True, side=100).size == (160, 107)
    with pytest.raises(ImageRefused):
        open_image(f"{url}/photo")


@pytest.mark.parametrize(
    ("path", "error", "says"),
    [
        ("lying-short", ImageUnreadable, "truncated: 5,000 of 112,"),
        ("chunked-short", ImageUnreadable, "truncated"),
        ("gzip-short", ImageUnreadable, "truncated"),
        ("gzip-lie", ImageUnreadable, "broken answer"),
        ("not-http", ImageUnreadable, "broken answer"),
        ("brotli", ImageUnreadable, "answered in br"),
        ("page", ImageUnreadable, "text/html, not a picture"),
        ("gone", ImageNotFound, "404 Not Found"),
        ("huge", ImageTooLarge, "1,000,000,000,000 bytes"),
        ("endless", ImageTooLarge, "the limit is 1,000,000"),
        ("gzip-bomb", ImageTooLarge, "the limit is 1,000,000"),
        ("members-short", ImageUnreadable, "truncated"),
        ("members-bomb", ImageTooLarge, "the limit is 1,000,000"),
        ("padded", ImageTooLarge, "bytes"),
        ("nowhere", ImageNotFound, "cannot reach"),
        ("loop", ImageRefused, "more than 5 redirects"),
        ("hop/7", ImageRefused, "more than 5 redirects"),
        ("to/file:///etc/passwd", ImageRefused, "no http or https"),
        ("to/ftp://127.0.0.1/cat.jpg", ImageRefused, "no http or https"),
    ],
)
def test_what_a_server_may_do_wrong(url, path, error, says):
    with pytest.raises(error, match=says) as caught:
        fetch(f"{url}/{path}", limits=Limits(bytes=1_000_000), allow_private=True)
    assert caught.value.remedy


def test_empty_body_is_not_a_picture(url):
    with pytest.raises(ImageUnreadable, match="empty"):
        open_image(f"{url}/empty", allow_private=True)


@pytest.mark.parametrize("path", ["drip", "drip-headers", "silence"])
def test_deadline_is_for_the_whole_download(url, path):
    """No single read waits long in the first two; a timeout per read would never fire."""
    with pytest.raises(ImageTooLarge, match=r"within 0\.3 seconds"):
        fetch(f"{url}/{path}", limits=Limits(seconds=0.3), allow_private=True)


def test_nobody_listens():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ImageNotFound, match="cannot reach"):
        fetch(f"http://127.0.0.1:{port}/", allow_private=True)


@pytest.mark.parametrize(
    "bad", ["http://cat.invalid:99999/", "http://a..b/", "http://[::1/x", "http://\x00/", "http://" + "a" * 300]
)
def test_malformed_addresses(bad):
    with pytest.raises(ImageError):
        fetch(bad)


REFUSED = [
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "100.127.255.255",
    "192.0.0.8",
    "192.88.99.1",
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "64:ff9b::7f00:1",
    "64:ff9b::808:808",
    "64:ff9b:1::a00:1",
    "100::1",
    "2001::1",
    "3fff::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fe80::1%1",
    "fec0::1",
    "ff02::1",
    "4000::1",
]


@pytest.mark.parametrize("address", REFUSED)
def test_addresses_that_are_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "172.32.0.1", "100.63.0.1", "93.184.215.14", "2606:2800:21f::1", "2a00:1450::1"]
)
def test_addresses_that_are_public(address):
    assert is_public(address)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1", "[::1]", "[::ffff:127.0.0.1]"]
)
def test_every_spelling_of_this_machine_is_refused(server, host):
    server.seen.clear()
    with pytest.raises((ImageRefused, ImageNotFound)):
        fetch(f"http://{host}:{server.server_port}/photo")
    assert not server.seen


@pytest.mark.parametrize(
    "target", ["http://127.0.0.2:{port}/photo", "//127.0.0.2:{port}/photo", "http://169.254.169.254/latest/"]
)
def test_redirect_to_a_private_address(server, url, monkeypatch, target):
    """Here 127.0.0.1 plays the public server; all of 127/8 reaches it, so only the guard keeps us away."""
    monkeypatch.setattr("seesay.images.fetch.is_public", lambda ip: ip == "127.0.0.1" or is_public(ip))
    assert fetch(f"{url}/photo") == server.jpeg
    server.seen.clear()
    with pytest.raises(ImageRefused, match="not at a public address"):
        fetch(f"{url}/to/{target.format(port=server.server_port)}")
    assert len(server.seen) == 1


def test_a_name_cannot_be_rebound_between_check_and_connection(server, monkeypatch):
    """The name is looked up once, and the connection goes to that answer; a second answer would be this machine."""
    port = server.server_port
    lookups, connections = [], []

    def rebinding(host, *_, **__):
        lookups.append(host)
        address = "93.184.215.14" if len(lookups) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    def connect(address, timeout):
        connections.append(address)
        raise ConnectionRefusedError("no network in tests")

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(ImageNotFound):
        fetch(f"http://rebind.example:{port}/photo")
    assert lookups == ["rebind.example"]
    assert connections == [("93.184.215.14", port)]


def test_private_answers_beside_public_ones_are_passed_over(server, monkeypatch):
    answers = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, 80)) for ip in ("127.0.0.2", "10.0.0.1", "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers)
    monkeypatch.setattr("seesay.images.fetch.is_public", lambda ip: ip == "127.0.0.1")
    tried = []

    def connect(address, timeout):
        tried.append(address)
        sock = socket.socket()
        sock.settimeout(timeout)
        sock.connect(address)
        return sock

    monkeypatch.setattr(socket, "create_connection", connect)
    assert fetch(f"http://mixed.example:{server.server_port}/photo") == server.jpeg
    assert tried == [("127.0.0.1", server.server_port)]
    assert server.seen[-1] == ("/photo", f"mixed.example:{server.server_port}")


def test_proxies_of_the_environment_are_not_used(server, url, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert fetch(f"{url}/photo", allow_private=True) == server.jpeg


@pytest.fixture
def secure(server, tmp_path):
    """The same answers over TLS, with a certificate for localhost that nobody has signed. Yields (url, certificate)."""
    if not shutil.which("openssl"):
        pytest.skip("openssl makes the certificate")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=localhost"
    extension = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command.split(), *extension], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    tls = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    tls.jpeg, tls.seen = server.jpeg, []
    tls.handle_error = lambda *_: None  # refused handshakes are what the test wants
    tls.socket = context.wrap_socket(tls.socket, server_side=True)
    thread = threading.Thread(target=tls.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    _tls.cache_clear()
    yield f"https://localhost:{tls.server_port}", certificate
    _tls.cache_clear()
    tls.shutdown()
    tls.server_close()
    thread.join()


def test_certificates_are_verified_by_name(server, secure, monkeypatch):
    url, certificate = secure
    with pytest.raises(ImageNotFound, match="certificate verify failed"):
        fetch(f"{url}/photo", allow_private=True)
    _tls.cache_clear()
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert fetch(f"{url}/photo", allow_private=True) == server.jpeg
    with pytest.raises(ImageNotFound, match="certificate verify failed"):
        fetch(f"{url.replace('localhost', '127.0.0.1')}/photo", allow_private=True)
    with pytest.raises(ImageRefused):
        fetch(f"{url}/photo")
