"""A dashboard that starts, breaks, forgets or refuses; tests/integration has a real one."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from components.config import RunConfig, parse
from components.errors import UserError
from components.launch import StepFailed, Where, launch_step

CONFIG = {"run": "s3://b/run", "manifest": "s3://b/m.yaml", "model": {"base": "tinyworld"}}


class Dashboard(ThreadingHTTPServer):
    """Knows the jobs that were submitted, each of which has ended at once."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.refusals: list[tuple[int, str]] = []
        """What the next requests get instead of an answer."""
        self.end: dict[str, Any] = {"status": "SUCCEEDED", "driver_exit_code": 0}
        self.forgets = False
        """Whether another head takes over once a job is submitted."""
        self.jobs: dict[str, dict[str, Any]] = {}
        self.submitted = 0


class Handler(BaseHTTPRequestHandler):
    server: Dashboard

    def do_GET(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "{}")
        if self.path == "/api/version":
            self._answer(200, {"ray_version": "2.60.0", "version": "4", "ray_commit": ""})
        elif self.server.refusals:
            self._answer(*self.server.refusals.pop(0))
        elif self.command == "POST":
            name = body["submission_id"]
            details = {"type": "SUBMISSION", "submission_id": name, "entrypoint": ""}
            self.server.jobs[name] = details | self.server.end
            self.server.submitted += 1
            if self.server.forgets:
                self.server.jobs.clear()
            self._answer(200, {"submission_id": name, "job_id": name})
        elif self.path == "/api/jobs/":
            self._answer(200, list(self.server.jobs.values()))
        else:
            found = self.server.jobs.get(self.path.removeprefix("/api/jobs/"))
            self._answer(*((200, found) if found else (404, "Job does not exist")))

    do_POST = do_GET

    def _answer(self, code: int, answer: Any) -> None:
        data = json.dumps(answer).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def dashboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[Dashboard]:
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("components.launch.ray_jobs._PAUSE_S", 0.05)
    monkeypatch.setattr("components.launch.ray_jobs.OUTAGE_S", 2.0)
    monkeypatch.setattr("components.launch.step._FIRST_PAUSE_S", 0.05)
    with Dashboard() as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


def launch(dashboard: Dashboard, **settings: Any) -> int:
    address = f"http://127.0.0.1:{dashboard.server_address[1]}"
    where = Where(mode="address", address=address, **settings)
    return launch_step("tune", parse(RunConfig, CONFIG, "test"), where).attempt


def test_a_head_that_has_just_started_is_waited_for(dashboard: Dashboard) -> None:
    no_agent = (500, "No available agent to submit job, please try again later.")
    dashboard.refusals = [(503, "starting"), no_agent, no_agent]
    assert launch(dashboard) == 0
    assert dashboard.submitted == 1


def test_a_lasting_outage_and_a_refusal_are_errors(dashboard: Dashboard) -> None:
    dashboard.refusals = [(503, "starting")] * 1000
    with pytest.raises(UserError, match=r"has not answered for 2 s .* the same command again"):
        launch(dashboard)
    for refusal, complaint in (
        ((400, "no such field"), "Ray at http://.* refuses: .*no such field"),
        ((403, "not yours"), "wants a token: set RAY_AUTH_MODE"),
    ):
        dashboard.refusals = [refusal]
        with pytest.raises(UserError, match=complaint):
            launch(dashboard)


def test_a_job_that_a_new_head_does_not_know_was_lost(dashboard: Dashboard) -> None:
    dashboard.forgets = True
    with pytest.raises(StepFailed, match="lost the job"):
        launch(dashboard, attempts=2)
    assert dashboard.submitted == 2


@pytest.mark.parametrize(("code", "tries"), [(1, 3), (2, 1), (3, 1), (None, 3), (-9, 3)])
def test_exit_codes_that_say_no_are_not_asked_again(
    dashboard: Dashboard, code: int | None, tries: int
) -> None:
    dashboard.end = {"status": "FAILED", "driver_exit_code": code, "message": "it broke"}
    with pytest.raises(StepFailed, match="it broke"):
        launch(dashboard, attempts=3)
    assert sorted(name[-2:] for name in dashboard.jobs) == [f"-{n}" for n in range(tries)]
