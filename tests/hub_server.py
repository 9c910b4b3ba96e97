"""A hub on this machine that speaks the protocol of the real one, as far as fetching a model needs it.

Model info with hashes, pull requests, `resolve` with the hub's headers, large files behind a redirect to another host
name (as the real hub's content network), byte ranges; and the faults of the real world on request: a connection cut in
the middle, altered bytes, ranges ignored, slowness.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass
class Commit:
    sha: str
    files: dict[str, bytes]


@dataclass
class Seen:
    """A request as it came."""

    method: str
    path: str
    range: str | None
    authorization: str | None


@dataclass
class HubServer:
    revisions: dict[tuple[str, str], Commit] = field(default_factory=dict)
    pull_requests: dict[str, list[dict[str, object]]] = field(default_factory=dict)
    cut_after: dict[str, list[int]] = field(default_factory=dict)
    """By file name: bytes after which the connection is cut, one entry for each request that is."""
    corrupt: set[str] = field(default_factory=set)
    ignore_ranges: bool = False
    seconds_per_chunk: float = 0.0
    gated: bool = False
    requests: list[Seen] = field(default_factory=list)

    def __enter__(self) -> HubServer:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def add(self, repository: str, files: dict[str, bytes], revision: str = "main") -> str:
        """Publish files; returns the commit."""
        sha = hashlib.sha1(repr((repository, revision, sorted(files.items()))).encode()).hexdigest()
        self.revisions[repository, revision] = self.revisions[repository, sha] = Commit(sha, files)
        return sha

    def fetched(self, name: str) -> list[Seen]:
        """GET requests that led to the bytes of a file."""
        return [seen for seen in self.requests if seen.method == "GET" and seen.path.endswith(f"/{name}")]


def is_large(name: str) -> bool:
    return name.endswith((".safetensors", ".bin"))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: HubServer

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._route()

    def do_GET(self) -> None:
        self._route()

    def _route(self) -> None:
        url = urlsplit(self.path)
        path = unquote(url.path)
        self.hub.requests.append(Seen(self.command, path, self.headers["Range"], self.headers["Authorization"]))
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/discussions", path):
            self._discussions(match[1], parse_qs(url.query))
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
            self._info(match[1], match[2] or "main")
        elif match := re.fullmatch(r"/cdn/([^/]+/[^/]+)/([0-9a-f]{40})/(.+)", path):
            self._bytes(self.hub.revisions[match[1], match[2]], match[3])
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/(refs/pr/\d+|[^/]+)/(.+)", path):
            self._resolve(match[1], match[2], match[3])
        else:
            self._json({"error": "not found"}, 404)

    def _info(self, repository: str, revision: str) -> None:
        commit = self.hub.revisions.get((repository, revision))
        if self.hub.gated:
            self._json({"error": "gated"}, 403, {"X-Error-Code": "GatedRepo"})
        elif commit is None:
            known = any(name == repository for name, _ in self.hub.revisions)
            code = "RevisionNotFound" if known else "RepoNotFound"
            self._json({"error": code}, 404, {"X-Error-Code": code})
        else:
            siblings = [_sibling(name, data) for name, data in commit.files.items()]
            stated = json.loads(commit.files.get("config.json", b"{}"))
            config = {name: stated[name] for name in ("architectures", "model_type") if name in stated}
            found = {"id": repository, "modelId": repository, "sha": commit.sha, "siblings": siblings, "tags": []}
            self._json(found | {"config": config})

    def _discussions(self, repository: str, query: dict[str, list[str]]) -> None:
        found = [
            request
            for request in self.hub.pull_requests.get(repository, [])
            if query.get("author", [None])[0] in (None, request["author"]["name"])  # type: ignore[index]
            and query.get("status", ["all"])[0] in ("all", request["status"])
        ]
        self._json({"discussions": found, "count": len(found), "start": 0})

    def _resolve(self, repository: str, revision: str, name: str) -> None:
        commit = self.hub.revisions.get((repository, revision))
        if commit is None or name not in commit.files:
            self._json({"error": "EntryNotFound"}, 404, {"X-Error-Code": "EntryNotFound"})
            return
        etag, size = _etag(name, commit.files[name]), len(commit.files[name])
        headers = {"X-Repo-Commit": commit.sha, "X-Linked-Etag": f'"{etag}"', "X-Linked-Size": str(size)}
        if is_large(name):
            location = f"http://localhost:{self.hub.port}/cdn/{repository}/{commit.sha}/{name}"
            self._json({}, 302, headers | {"Location": location})
        else:
            self._bytes(commit, name, headers | {"ETag": f'"{etag}"'})

    def _bytes(self, commit: Commit, name: str, headers: dict[str, str] | None = None) -> None:
        data = commit.files[name]
        if name in self.hub.corrupt:
            data = data[:-1] + bytes([data[-1] ^ 1])
        start, status, headers = 0, 200, dict(headers or {})
        if (match := re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")) and not self.hub.ignore_ranges:
            start, status = int(match[1]), 206
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(data) - start)}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        cuts = self.hub.cut_after.get(name)
        end = start + cuts.pop(0) if cuts else len(data)
        try:
            for at in range(start, min(end, len(data)), 1 << 14):
                self.wfile.write(data[at : min(at + (1 << 14), end)])
                self.wfile.flush()
                time.sleep(self.hub.seconds_per_chunk)
        except ConnectionError:  # the client died, as in the test that kills it
            self.close_connection = True
        if end < len(data):
            self.close_connection = True

    def _json(self, value: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        for key, text in {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **(headers or {}),
        }.items():
            self.send_header(key, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def pull_request(number: int, author: str, status: str = "open") -> dict[str, object]:
    """A pull request as the hub lists it."""
    return {
        "num": number,
        "author": {"name": author},
        "title": "Adding `safetensors` variant of this model",
        "status": status,
        "isPullRequest": True,
        "createdAt": "2024-03-07T00:00:00.000Z",
        "repo": {"name": "x", "type": "model"},
    }


def _etag(name: str, data: bytes) -> str:
    return hashlib.sha256(data).hexdigest() if is_large(name) else _blob_id(data)


def _blob_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _sibling(name: str, data: bytes) -> dict[str, object]:
    entry: dict[str, object] = {"rfilename": name, "size": len(data), "blobId": _blob_id(data)}
    if is_large(name):
        entry["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 135}
    return entry
