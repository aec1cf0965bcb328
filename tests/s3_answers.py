"""An HTTP server that answers as S3 does when it refuses; what it lets pass goes to a real one."""

from __future__ import annotations

import contextlib
import http.client
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from typing_extensions import override


@dataclass
class Request:
    """What a client asked for."""

    method: str
    path: str
    access_key: str
    region: str


@dataclass
class Answers:
    """What is answered, and what was asked."""

    refuse: Callable[[Request], tuple[int, str] | None]
    """The status and code to refuse a request with; none lets it pass."""
    forward: str = ""
    """``host:port`` of a real server for what passes; without one all objects are ``x``."""
    url: str = ""
    seen: list[Request] = field(default_factory=list)
    folder: Path = Path()
    """Where the client's configuration lies."""


@contextlib.contextmanager
def s3_answers(answers: Answers) -> Iterator[Answers]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            signed = self.headers.get("Authorization", "")
            key, region = re.search(r"Credential=([^/]*)/[^/]*/([^/]*)/", signed).groups()  # type: ignore[union-attr]
            request = Request(self.command, self.path, key, region)
            answers.seen.append(request)
            if (refusal := answers.refuse(request)) is not None:
                status, code = refusal
                text = f"<Error><Code>{code}</Code><Message>of {key}</Message></Error>"
                self._send(status, {"Content-Type": "application/xml"}, text.encode())
            elif answers.forward:
                there = http.client.HTTPConnection(answers.forward)
                there.request(self.command, self.path, body, dict(self.headers))
                answer = there.getresponse()
                kept = {k: v for k, v in answer.headers.items() if k != "Transfer-Encoding"}
                self._send(answer.status, kept, answer.read())
                there.close()
            else:
                told = {"ETag": '"1"', "Last-Modified": "Sat, 28 Nov 2026 12:00:00 GMT"}
                listing = b"<R/>" if "list-type" in self.path or "uploads" in self.path else b"x"
                self._send(200, told, listing if self.command in {"GET", "HEAD"} else b"")

        do_HEAD = do_PUT = do_POST = do_DELETE = do_GET

        def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            headers.setdefault("Content-Length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        @override
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    answers.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield answers
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
