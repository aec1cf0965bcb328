"""A server that speaks as much of the Hugging Face hub's HTTP protocol as its client needs.

It serves folders as models of one commit. What a request asks is answered from the files: commit
and list of files (``/api/models``), head and content of each (``/resolve``).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
_REVISIONS = ("main", COMMIT)


class Hub:
    """What the server holds, and what was asked of it."""

    def __init__(self, models: Mapping[str, Path]) -> None:
        self.models = models
        self.asked: list[str] = []
        self.url = ""

    def files(self, model: str) -> list[str]:
        folder = self.models[model]
        return sorted(f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file())


class _Server(ThreadingHTTPServer):
    hub: Hub


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.hub.asked.append(f"{self.command} {path}")
        words = path.strip("/").split("/")
        if words[:2] == ["api", "models"]:
            self._about("/".join(words[2:4]), words[4:])
        elif words[2:3] == ["resolve"]:
            self._file("/".join(words[:2]), words[3], "/".join(words[4:]))
        else:
            self._refuse("RepoNotFound")

    def _about(self, model: str, rest: list[str]) -> None:
        if model not in self.server.hub.models:
            return self._refuse("RepoNotFound")
        what, revision = (rest[0], rest[1]) if rest else ("revision", "main")
        if revision not in _REVISIONS:
            return self._refuse("RevisionNotFound")
        names = self.server.hub.files(model)
        if what == "tree":
            folder = self.server.hub.models[model]
            tree = [
                {
                    "type": "file",
                    "path": name,
                    "size": (folder / name).stat().st_size,
                    "oid": hashlib.sha256((folder / name).read_bytes()).hexdigest()[:40],
                }
                for name in names
            ]
            return self._send(json.dumps(tree).encode(), "application/json")
        about = {"id": model, "sha": COMMIT, "siblings": [{"rfilename": n} for n in names]}
        return self._send(json.dumps(about).encode(), "application/json")

    def _file(self, model: str, revision: str, name: str) -> None:
        if model not in self.server.hub.models:
            return self._refuse("RepoNotFound")
        if revision not in _REVISIONS:
            return self._refuse("RevisionNotFound")
        if name not in self.server.hub.files(model):
            return self._refuse("EntryNotFound")
        body = (self.server.hub.models[model] / name).read_bytes()
        digest = hashlib.sha256(body).hexdigest()
        headers = {"ETag": f'"{digest}"', "X-Repo-Commit": COMMIT}
        return self._send(body, "application/octet-stream", headers)

    def _refuse(self, code: str) -> None:
        self._send(b"{}", "application/json", {"X-Error-Code": code}, status=404)

    def _send(
        self,
        body: bytes,
        kind: str,
        headers: Mapping[str, str] | None = None,
        status: int = 200,
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@contextlib.contextmanager
def serve(models: Mapping[str, Path]) -> Iterator[Hub]:
    """Serve folders by hub id on the loopback address, until the block ends."""
    hub = Hub(models)
    server = _Server(("127.0.0.1", 0), _Handler)
    server.hub = hub
    hub.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
