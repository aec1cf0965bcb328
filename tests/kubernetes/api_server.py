"""A small API server of Kubernetes for RayJobs and pods: its REST protocol over real HTTP.

It knows names, conflicts, selectors, merge patches, the status subresource, foreground deletion and
bearer tokens, and refuses what ``schema.problems`` finds, as an API server with strict field
validation does.
"""

from __future__ import annotations

import contextlib
import copy
import json
import threading
import time
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.kubernetes.schema import CRDS, problems

Found = dict[str, Any]
TOKEN = "tests-only"
OPERATOR_TOKEN = "tests-only-operator"
REASONS = {401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 409: "AlreadyExists"}


class Cluster(ThreadingHTTPServer):
    """The server and its state; one lock keeps requests apart."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.RLock()
        self.objects: dict[tuple[str, str, str], Found] = {}
        """By namespace, resource (``rayjobs``, ``pods``) and name."""
        self.logs: dict[str, list[str]] = {}
        """Lines that a pod has printed; an empty one closes the log."""
        self.faults: list[int] = []
        """HTTP codes that the next requests but the operator's get, whatever they ask."""
        self.version = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def change(self, found: Found) -> Found:
        self.version += 1
        found["metadata"]["resourceVersion"] = str(self.version)
        return copy.deepcopy(found)


@contextlib.contextmanager
def api_server() -> Iterator[Cluster]:
    with Cluster() as cluster:
        threading.Thread(target=cluster.serve_forever, args=(0.05,), daemon=True).start()
        yield cluster
        cluster.shutdown()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Cluster

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_PATCH = do_DELETE = do_GET

    def log_message(self, *arguments: Any) -> None:
        pass

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else {}
        with self.server.lock:
            caller = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
            if self.server.faults and caller != OPERATOR_TOKEN:
                self._fail(self.server.faults.pop(0), "injected")
                return
            if caller not in {TOKEN, OPERATOR_TOKEN}:
                self._fail(401, "Unauthorized")
                return
        parts = urlsplit(self.path).path.strip("/").split("/")
        match parts:
            case ["apis", "ray.io", "v1", "namespaces", namespace, "rayjobs", *rest]:
                self._resource(namespace, "rayjobs", rest, body)
            case ["api", "v1", "namespaces", _, "pods", name, "log"]:
                self._stream(name)
            case ["api", "v1", "namespaces", namespace, "pods", *rest]:
                self._resource(namespace, "pods", rest, body)
            case _:
                self._fail(404, "the server could not find the requested resource")

    def _resource(self, namespace: str, plural: str, rest: list[str], body: Found) -> None:
        with self.server.lock:
            match self.command, rest:
                case "GET", []:
                    self._list(namespace, plural)
                case "POST", []:
                    self._create(namespace, plural, body)
                case command, [name, *_] if (namespace, plural, name) not in self.server.objects:
                    self._fail(404, f'{plural} "{name}" not found: {command}')
                case "GET", [name]:
                    self._answer(200, self.server.objects[namespace, plural, name])
                case "PATCH", [name, *subresource]:
                    self._patch((namespace, plural, name), subresource, body)
                case "DELETE", [name]:
                    self._delete((namespace, plural, name), body)
                case _:
                    self._fail(405, "method not allowed")

    def _list(self, namespace: str, plural: str) -> None:
        query = parse_qs(urlsplit(self.path).query)
        selector = query.get("labelSelector", [""])[0]
        wanted = dict(term.split("=", 1) for term in selector.split(",") if term)
        items = [
            found
            for (place, kind, _), found in self.server.objects.items()
            if (place, kind) == (namespace, plural)
            and wanted.items() <= found["metadata"].get("labels", {}).items()
        ]
        self._answer(200, {"kind": "List", "apiVersion": "v1", "metadata": {}, "items": items})

    def _create(self, namespace: str, plural: str, body: Found) -> None:
        wrong = problems(body)
        if wrong:
            self._fail(422, f"is invalid: {'; '.join(wrong)}")
            return
        key = (namespace, plural, body["metadata"]["name"])
        if key in self.server.objects:
            self._fail(409, f'{plural} "{key[2]}" already exists')
            return
        if plural == "rayjobs":
            body.pop("status", None)  # a subresource, which creation ignores
            for name, field in CRDS["RayJobSpec"]["properties"].items():
                if "default" in field:
                    body["spec"].setdefault(name, field["default"])
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        body["metadata"] |= {
            "namespace": namespace,
            "uid": str(uuid.uuid4()),
            "creationTimestamp": now,
            "generation": 1,
        }
        self.server.objects[key] = body
        self._answer(201, self.server.change(body))

    def _patch(self, key: tuple[str, str, str], subresource: list[str], patch: Found) -> None:
        new = copy.deepcopy(self.server.objects[key])
        for part in subresource or ("metadata", "spec"):
            new[part] = _merged(new.get(part, {}), patch.get(part, {}))
        wrong = problems(_without_bookkeeping(new))
        if wrong:
            self._fail(422, f"is invalid: {'; '.join(wrong)}")
            return
        self.server.objects[key] = new
        self._answer(200, self.server.change(new))

    def _delete(self, key: tuple[str, str, str], _options: Found) -> None:
        """Foreground: the object stays, marked, until what it owns is gone."""
        found = self.server.objects[key]
        found["metadata"]["deletionTimestamp"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        found["metadata"]["finalizers"] = ["foregroundDeletion"]
        threading.Timer(0.3, self._collect, (key,)).start()
        self._answer(200, self.server.change(found))

    def _collect(self, key: tuple[str, str, str]) -> None:
        with self.server.lock:
            self.server.objects.pop(key, None)
            self.server.objects.pop((key[0], "pods", f"{key[2]}-pod"), None)

    def _stream(self, pod: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        sent = 0
        while True:
            lines = self.server.logs.get(pod, [])[sent:]
            sent += len(lines)
            for line in lines:
                if line == "":
                    self.wfile.write(b"0\r\n\r\n")
                    return
                data = f"{line}\n".encode()
                self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            self.wfile.flush()
            time.sleep(0.05)

    def _answer(self, code: int, document: Found) -> None:
        data = json.dumps(document).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _fail(self, code: int, message: str) -> None:
        reason = REASONS.get(code, "Unknown")
        status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code}
        self._answer(code, status | {"reason": reason, "message": message})


def _merged(old: Found, patch: Found) -> Found:
    """JSON merge patch (RFC 7386)."""
    new = dict(old)
    for name, value in patch.items():
        if value is None:
            new.pop(name, None)
        elif isinstance(value, dict):
            new[name] = _merged(new.get(name, {}), value)
        else:
            new[name] = value
    return new


def _without_bookkeeping(found: Found) -> Found:
    new = copy.deepcopy(found)
    for name in ("uid", "creationTimestamp", "generation", "resourceVersion"):
        new["metadata"].pop(name, None)
    return new
