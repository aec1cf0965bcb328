"""The switch, `tav submit`, and steps in this process."""

from __future__ import annotations

import os
import signal
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from components.cli.main import main
from components.config import RunConfig, parse
from components.errors import UserError
from components.launch import StepFailed, Where, launch_step
from components.storage import s3_client


@pytest.fixture
def document(tmp_path: Path, tiny_models: Path) -> dict[str, Any]:
    (tmp_path / "m.yaml").write_text(
        "videos:\n- {id: gone, uri: gone.mp4, prompt: a fish, edits: [{prompt: a cat}]}\n",
        encoding="utf-8",
    )
    return {
        "run": str(tmp_path / "run"),
        "manifest": str(tmp_path / "m.yaml"),
        "model": {"base": str(tiny_models / "base")},
        "score": {"model": str(tiny_models / "clip")},
    }


def test_a_step_in_this_process_ends_as_its_command_would(document: dict[str, Any]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(StepFailed, match=r"step ingest of .*: 100\.0% of the items failed"):
        launch_step("ingest", parse(RunConfig, document, "test"), Where())
    allowing = parse(RunConfig, document | {"max_failed_fraction": 1.0}, "test")
    outcome = launch_step("ingest", allowing, Where())
    assert (outcome.job, outcome.adopted) == ("local", False)
    absent = parse(RunConfig, document | {"manifest": "/none.yaml"}, "test")
    with pytest.raises(UserError, match=r"none\.yaml"):
        launch_step("ingest", absent, Where())
    assert signal.getsignal(signal.SIGTERM) is before


def test_sigterm_interrupts_a_step_in_this_process(
    document: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tests")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "tests")
    config = parse(RunConfig, document | {"manifest": "s3://bucket/m.yaml"}, "test")
    with socket.create_server(("127.0.0.1", 0)) as silent:  # a bucket that never answers
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
        s3_client.connection.cache_clear()  # an earlier test's would know nothing of this server
        term = threading.Timer(5, os.kill, (os.getpid(), signal.SIGTERM))
        term.start()
        try:
            with pytest.raises(KeyboardInterrupt):
                launch_step("ingest", config, Where())
        finally:
            term.cancel()
            s3_client.connection.cache_clear()


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"mode": "address"}, "an address goes with"),
        ({"address": "http://head:8265"}, "an address goes with"),
        ({"mode": "address", "address": "head:8265"}, "as http://host:8265"),
        ({"mode": "address", "address": "ray://head:10001"}, "as http://host:8265"),
        ({"mode": "address", "address": "http://me:secret@head:8265"}, "RAY_AUTH_TOKEN"),
        ({"mode": "kuberay", "namespace": "../kube-system"}, "a Kubernetes name has"),
        ({"mode": "kuberay", "queue": "A queue"}, "a Kubernetes name has"),
        ({"mode": "kuberay", "attempts": 0}, "attempts is 0, but must be at least 1"),
        ({"mode": "kuberay", "ttl_s": 0}, "ttl_s is 0, but must be at least 60"),
        ({"mode": "kuberay", "deadline_s": -1}, "deadline_s is -1"),
        ({"mode": "kuberay", "quue": "x"}, "did you mean 'queue'"),
        ({"mode": "cloud"}, "'local', 'address' or 'kuberay'"),
    ],
)
def test_a_place_that_makes_no_sense_is_refused(settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint) as caught:
        parse(Where, settings, "where")
    assert "secret" not in str(caught.value)


def test_submit_asks_where(tmp_path: Path) -> None:
    config = tmp_path / "run.yaml"
    config.write_text("{run: r, manifest: m.yaml, model: {base: tinyworld}}", encoding="utf-8")
    for options in ([], ["--ray", "http://head:8265", "--kuberay"]):
        result = CliRunner().invoke(main, ["submit", "--config", str(config), *options])
        assert result.exit_code == 2
        assert "either --ray http://host:8265 or --kuberay" in result.output
    result = CliRunner().invoke(main, ["submit", "--config", str(config), "--ray", "head"])
    assert result.exit_code == 1
    assert "as http://host:8265" in result.output
    options = ["--kuberay", "--attempts", "0"]
    result = CliRunner().invoke(main, ["submit", "--config", str(config), *options])
    assert result.exit_code == 1
    assert "attempts is 0" in result.output
