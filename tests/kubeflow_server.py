"""A small server of KFP's v2beta1 HTTP API, which refuses what the real one would.

Bodies are held against kfp-server-api's models (their names, and their types), and a pipeline's
arguments against the inputs that the pipeline itself declares.
"""

from __future__ import annotations

import datetime as dt
import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kfp_server_api
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

ROOT = "/apis/v2beta1"
PAGE = 2
"""Items of a page at most, however many are asked for."""
_FREE = {"object", "dict(str, object)"}
_JSON = {"str": str, "int": int, "bool": bool, "datetime": str}
_VALUES = {"STRING": str, "BOOLEAN": bool, "NUMBER_DOUBLE": float, "STRUCT": dict, "LIST": list}


class RefusedError(Exception):
    """A request that the API does not take."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class State:
    """What the server holds, and how it is out of order."""

    token: str | None = None
    status: int | None = None
    """Answer everything with this HTTP status."""
    tables: dict[str, dict[str, dict[str, Any]]] = field(
        default_factory=lambda: {"experiments": {}, "runs": {}, "recurringruns": {}}
    )
    requests: list[str] = field(default_factory=list)


MODELS = {
    "experiments": ("V2beta1Experiment", "experiment_id"),
    "runs": ("V2beta1Run", "run_id"),
    "recurringruns": ("V2beta1RecurringRun", "recurring_run_id"),
}
LISTS = {"experiments": "experiments", "runs": "runs", "recurringruns": "recurringRuns"}


def check_model(document: Any, name: str, path: str = "body") -> None:
    """Hold a JSON value against one of kfp-server-api's models."""
    if name in _FREE:
        return
    if name in _JSON:
        good = isinstance(document, _JSON[name]) or (name == "str" and isinstance(document, int))
        if not good:
            raise RefusedError(400, f"{path}: {document!r} is no {name}")
        return
    if name.startswith("list["):
        for index, item in enumerate(document):
            check_model(item, name[5:-1], f"{path}[{index}]")
        return
    model = getattr(kfp_server_api, name)
    if not model.openapi_types:  # an enumeration
        if document not in model.allowable_values:
            raise RefusedError(400, f"{path}: {document!r} is none of {model.allowable_values}")
        return
    names = {wire: attribute for attribute, wire in model.attribute_map.items()}
    for key, value in document.items():
        if key not in names:
            raise RefusedError(400, f"{path}: {name} has no field {key!r}")
        check_model(value, model.openapi_types[names[key]], f"{path}.{key}")


def check_pipeline(body: dict[str, Any]) -> None:
    """The pipeline is one, and its arguments are those that it declares."""
    document = body.get("pipeline_spec") or {}
    spec = pipeline_spec_pb2.PipelineSpec()
    try:
        json_format.ParseDict(document.get("pipeline_spec", document), spec)
    except json_format.ParseError as error:
        raise RefusedError(400, f"pipeline_spec: {error}") from error
    if not spec.deployment_spec["executors"]:
        raise RefusedError(400, "pipeline_spec runs nothing")
    given = (body.get("runtime_config") or {}).get("parameters") or {}
    declared = spec.root.input_definitions.parameters
    for name, value in given.items():
        if name not in declared:
            raise RefusedError(400, f"the pipeline has no parameter {name!r}")
        kind = pipeline_spec_pb2.ParameterType.ParameterTypeEnum.Name(declared[name].parameter_type)
        if not isinstance(value, _VALUES[kind]):
            raise RefusedError(400, f"parameter {name} is {value!r}, but must be {kind}")
    for name, one in declared.items():
        if name not in given and not one.is_optional and not one.HasField("default_value"):
            raise RefusedError(400, f"parameter {name} is missing")


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def _answer(self) -> None:
        try:
            status, document = 200, self._respond()
        except RefusedError as refused:
            status, document = refused.status, {"error": str(refused), "message": str(refused)}
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_DELETE = _answer

    def _respond(self) -> dict[str, Any]:
        state = self.server.state
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        state.requests.append(f"{self.command} {self.path}")
        if state.status is not None:
            raise RefusedError(state.status, "the database is away\nwith a second line")
        if state.token is not None and self.headers.get("Authorization") != f"Bearer {state.token}":
            raise RefusedError(401, "the token has expired")
        address = urlsplit(self.path)
        if not address.path.startswith(ROOT + "/"):
            raise RefusedError(404, f"no such path: {address.path}")
        first, *rest = address.path.removeprefix(ROOT + "/").split("/")
        if first == "healthz":
            return {"multi_user": False}
        if first not in MODELS:
            raise RefusedError(404, f"no such path: {address.path}")
        if self.command == "POST" and not rest:
            return self._create(first, body)
        if self.command == "GET" and not rest:
            return self._list(first, {k: v[0] for k, v in parse_qs(address.query).items()})
        return self._about_one(first, *rest[0].partition(":")[::2])

    def _about_one(self, first: str, name: str, verb: str) -> dict[str, Any]:
        state = self.server.state
        if name not in state.tables[first]:
            raise RefusedError(404, f"{first} {name} not found")
        if self.command == "POST" and verb == "terminate":
            state.tables[first][name]["state"] = "CANCELING"
            return {}
        if self.command == "DELETE":
            del state.tables[first][name]
            return {}
        return state.tables[first][name]

    def _create(self, kind: str, body: Any) -> dict[str, Any]:
        model, key = MODELS[kind]
        check_model(body, model)
        if not body.get("display_name"):
            raise RefusedError(400, "display_name is missing")
        if kind != "experiments":
            check_pipeline(body)
            if body.get("experiment_id") not in self.server.state.tables["experiments"]:
                raise RefusedError(400, f"no experiment {body.get('experiment_id')!r}")
        if kind == "recurringruns":
            cron = body["trigger"]["cron_schedule"]["cron"]
            if len(cron.split()) != 6 or not 1 <= int(body["max_concurrency"]) <= 10:
                raise RefusedError(400, f"bad trigger {body['trigger']}")
        now = dt.datetime.now(dt.UTC).isoformat().replace("+00:00", "Z")
        made = body | {key: str(uuid.uuid4()), "created_at": now}
        if kind == "runs":
            made["state"] = "PENDING"
        self.server.state.tables[kind][made[key]] = made
        return dict(made)

    def _list(self, kind: str, query: dict[str, str]) -> dict[str, Any]:
        items = list(self.server.state.tables[kind].values())
        for predicate in json.loads(query.get("filter") or "{}").get("predicates", []):
            key = {"name": "display_name"}.get(predicate["key"], predicate["key"])
            wanted = predicate.get("stringValue", predicate.get("string_value"))
            items = [item for item in items if item.get(key) == wanted]
        if experiment := query.get("experiment_id"):
            items = [item for item in items if item.get("experiment_id") == experiment]
        if query.get("sort_by", "").endswith("desc"):
            items.reverse()
        start = int(query.get("page_token") or 0)
        page = items[start : start + PAGE]
        more = str(start + PAGE) if start + PAGE < len(items) else ""
        return {LISTS[kind]: page, "total_size": len(items), "next_page_token": more}

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        """Say nothing."""


class Server(ThreadingHTTPServer):
    state: State


@contextmanager
def serving() -> Iterator[tuple[str, State]]:
    """A server on a free port: its address, and what it holds."""
    server = Server(("127.0.0.1", 0), _Handler)
    server.state = State()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", server.state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
