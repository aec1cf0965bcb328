"""Each step of a run goes on after its S3 server was away for 20 s."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.run.runner import Runner
from components.steps import STEPS
from components.storage import s3_client
from components.storage.tables import read_table
from tests.integration.conftest import HEAD
from tests.integration.s3_server import S3Server
from tests.random_controls import build_controlnet
from tests.runs import run_config

pytestmark = pytest.mark.soak

OUTAGE = 20.0
VIDEOS = 4
TABLES = dict(
    zip(STEPS, ("videos", "captions", "controls", "latents", "edits", "scores"), strict=True)
)


@pytest.fixture(scope="module")
def run_on_s3(
    s3_server: S3Server,
    tiny_models: Path,
    tiny_clips: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, Any]]:
    """A run of one's own Ray, whose workers inherit the server's address and credentials."""
    folder = tmp_path_factory.mktemp("control")
    net = build_controlnet(folder / "net", tiny_models / "base", seed=1)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3_server.environment.items():
            patch.setenv(name, value)
        s3_client.connection.cache_clear()
        client, bucket = s3_server.client(), "outages"
        client.create_bucket(Bucket=bucket)
        edits = [{"id": "cartoon", "category": "style", "prompt": "{caption}, cartoon style"}]
        videos = []
        for number in range(VIDEOS):
            name = ("fish", "car", "pair", "ball")[number % 4]
            client.upload_file(str(tiny_clips / f"{name}.mp4"), bucket, f"in/{number}.mp4")
            videos.append({"id": f"v{number}", "uri": f"{number}.mp4", "edits": edits})
        manifest = yaml.safe_dump({"videos": videos}).encode()
        client.put_object(Bucket=bucket, Key="in/manifest.yaml", Body=manifest)
        with subprocess.Popen(
            [sys.executable, "-c", HEAD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as head:
            assert head.stdout is not None
            yield {
                "run": f"s3://{bucket}/run",
                "manifest": f"s3://{bucket}/in/manifest.yaml",
                "model": {"base": str(tiny_models / "base")},
                "video": {"num_frames": 4, "width": 64, "height": 64},
                "caption": {"model": str(tiny_models / "blip2"), "max_new_tokens": 8}
                | {"batch_size": 1},
                "control": {
                    "nets": [{"kind": "controlnet", "model": str(net), "map": "canny"}],
                },
                "tune": {"steps": 2, "checkpoint_every": 1, "checkpoint_upload_seconds": 0},
                "invert": {"steps": 2},
                "sample": {"steps": 2},
                "score": {"model": str(tiny_models / "clip")},
                "ray": {"address": head.stdout.readline().strip()},
            }
            assert head.stdin is not None
            head.stdin.close()
    s3_client.connection.cache_clear()


class Outage(threading.Thread):
    """Kills the gateway when a step has committed its first row, and brings it back."""

    def __init__(self, server: S3Server, prefix: str) -> None:
        super().__init__(daemon=True)
        self._server, self._prefix = server, prefix
        self.rows_before = 0
        self.over = 0.0

    def run(self) -> None:
        client = self._server.client()
        until = time.monotonic() + 300
        while time.monotonic() < until:
            listing = client.list_objects_v2(Bucket="outages", Prefix=self._prefix)
            self.rows_before = listing["KeyCount"]
            if self.rows_before:
                self._server.kill_gateway()
                time.sleep(OUTAGE)
                self._server.start_gateway()
                self.over = time.monotonic()
                return
            time.sleep(0.02)


@pytest.mark.parametrize("step", STEPS)
def test_a_step_outlives_an_outage(
    run_on_s3: dict[str, Any], s3_server: S3Server, step: str
) -> None:
    outage = Outage(s3_server, f"run/tables/{TABLES[step]}/")
    outage.start()
    runner = Runner(run_config(run_on_s3))
    result = runner.run([step])
    ended = time.monotonic()
    outage.join()
    assert 0 < outage.rows_before < VIDEOS, "the server went in the middle of the step"
    assert 0 < outage.over < ended, "the step ended after the server had come back"
    assert result.computed == {step: VIDEOS}
    assert len(read_table(runner.store, TABLES[step])) == VIDEOS
    assert read_table(runner.store, "failures") == []
    if step == STEPS[-1]:
        again = Runner(run_config(run_on_s3)).run()
        assert not any(again.computed.values())
        assert again.failed_fraction == 0
        assert "AWS_ENDPOINT_URL_S3" in os.environ
