"""A Hugging Face Hub on the loopback: the part of its API that fetching models uses, with faults on demand."""

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

LARGE = 1000
"""Files of at least so many bytes, and all weights, are kept as Git LFS keeps them."""


@dataclass
class Repository:
    """A model's repository.

    Attributes:
        commits: files by name, by commit.
        head: the commit that ``main`` is.
        card: its card's front matter.
        gated: whether terms have to be accepted first.
    """

    commits: dict[str, dict[str, bytes]]
    head: str
    card: Mapping[str, Any] = field(default_factory=dict)
    gated: bool = False


@dataclass
class Hub:
    """A running Hub.

    Attributes:
        url: its address.
        repositories: by name.
        asked: method, path and Range header of all requests.
        cut: bytes after which the next answers with weights break off, one entry an answer.
        hang: bytes after which answers with weights stand still until the client goes.
        lie: bytes sent in place of weights.
    """

    url: str
    repositories: dict[str, Repository]
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    cut: list[int] = field(default_factory=list)
    hang: int | None = None
    lie: bytes | None = None
    hung: threading.Event = field(default_factory=threading.Event)

    def offer(self, name: str, files: Mapping[str, bytes], **card: Any) -> str:
        """Put files into a repository as a new commit; gives the commit."""
        text = json.dumps([name, {k: hashlib.sha1(v).hexdigest() for k, v in files.items()}], sort_keys=True)
        commit = hashlib.sha1(text.encode()).hexdigest()
        known = self.repositories.get(name)
        commits = {**(known.commits if known else {}), commit: dict(files)}
        self.repositories[name] = Repository(commits, commit, card or (known.card if known else {}))
        return commit

    def ranges(self) -> list[str]:
        """Give the Range headers with which weights were asked for, in order; empty where there was none."""
        return [range_ for method, path, range_ in self.asked if method == "GET" and path.startswith("/blob/")]


@contextmanager
def running_hub() -> Iterator[Hub]:
    """Run a Hub until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    hub = Hub(f"http://127.0.0.1:{server.server_address[1]}", {})
    server.hub = hub  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(False)

    def do_GET(self) -> None:
        self._answer(True)

    def _answer(self, body: bool) -> None:
        hub: Hub = self.server.hub  # type: ignore[attr-defined]
        path = unquote(urlsplit(self.path).path)
        hub.asked.append((self.command, path, self.headers.get("Range", "")))
        parts = path.strip("/").split("/")
        if parts[0] == "blob":
            self._blob(hub, parts[1], body)
        elif parts[:2] == ["api", "models"]:
            self._info(hub, "/".join(parts[2:4]), parts[5] if parts[4:5] == ["revision"] else "main", body)
        elif parts[2:3] == ["resolve"]:
            self._resolve(hub, "/".join(parts[:2]), parts[3], "/".join(parts[4:]), body)
        else:
            self._error(404, "EntryNotFound")

    def _find(self, hub: Hub, name: str, revision: str) -> tuple[Repository, str] | None:
        repository = hub.repositories.get(name)
        if repository is None:
            self._error(404, "RepoNotFound")
            return None
        commit = repository.head if revision == "main" else revision
        if commit not in repository.commits:
            self._error(404, "RevisionNotFound")
            return None
        return repository, commit

    def _info(self, hub: Hub, name: str, revision: str, body: bool) -> None:
        if (found := self._find(hub, name, revision)) is None:
            return
        repository, commit = found
        siblings = []
        for file, data in repository.commits[commit].items():
            sibling: dict[str, Any] = {"rfilename": file, "size": len(data), "blobId": hashlib.sha1(data).hexdigest()}
            if _is_large(file, data):
                sibling["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
            siblings.append(sibling)
        told = {
            "id": name,
            "modelId": name,
            "sha": commit,
            "siblings": siblings,
            "tags": [],
            "cardData": repository.card,
        }
        self._send(200, json.dumps(told).encode(), body, {"Content-Type": "application/json"})

    def _resolve(self, hub: Hub, name: str, revision: str, file: str, body: bool) -> None:
        if (found := self._find(hub, name, revision)) is None:
            return
        repository, commit = found
        if repository.gated:
            self._error(403, "GatedRepo")
            return
        data = repository.commits[commit].get(file)
        if data is None:
            self._error(404, "EntryNotFound")
            return
        headers = {"X-Repo-Commit": commit}
        if _is_large(file, data):
            digest = hashlib.sha256(data).hexdigest()
            headers |= {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(data)), "ETag": '"pointer"'}
            # As on the real one, weights come from another host.
            headers["Location"] = f"http://localhost:{self.server.server_address[1]}/blob/{digest}"  # type: ignore[misc]
            self._send(302, b"", body, headers)
        else:
            self._send(200, data, body, {**headers, "ETag": f'"{hashlib.sha1(data).hexdigest()}"'})

    def _blob(self, hub: Hub, digest: str, body: bool) -> None:
        data = next(
            d
            for r in hub.repositories.values()
            for files in r.commits.values()
            for d in files.values()
            if hashlib.sha256(d).hexdigest() == digest
        )
        if hub.lie is not None:
            data = hub.lie
        total, start, headers = len(data), 0, {}
        if (asked := self.headers.get("Range", "")).startswith("bytes="):
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            headers = {"Content-Range": f"bytes {start}-{total - 1}/{total}"}
        data = data[start:]
        stop = hub.cut.pop(0) if hub.cut else hub.hang
        self._send(206 if start else 200, data, body, headers, stop)
        if stop is not None:
            self.close_connection = True
            hub.hung.set()
            if hub.hang is not None:
                self.connection.settimeout(20)
                with suppress(OSError):
                    self.connection.recv(1)

    def _send(self, code: int, data: bytes, body: bool, headers: Mapping[str, str], stop: int | None = None) -> None:
        self.send_response(code)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            with suppress(OSError):
                self.wfile.write(data[:stop])

    def _error(self, code: int, kind: str) -> None:
        self._send(code, b"", False, {"X-Error-Code": kind, "X-Error-Message": kind})


def _is_large(file: str, data: bytes) -> bool:
    return len(data) >= LARGE or file.endswith(".safetensors")
