"""What a run says while it runs: JSON lines of driver and workers, and metrics for Prometheus."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.runs import write_manifest

pytestmark = pytest.mark.soak

READ_PORT = """
import ray

ray.init(address={address!r}, log_to_driver=False)
print([node["MetricsExportPort"] for node in ray.nodes()][0])
"""


def metrics_port(address: str) -> int:
    code = READ_PORT.format(address=address)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    return int(done.stdout.split()[-1])


class Scraper(threading.Thread):
    """Reads a node's metrics again and again, as Prometheus does, and keeps ours."""

    def __init__(self, port: int, run: str) -> None:
        super().__init__(daemon=True)
        self._url = f"http://127.0.0.1:{port}/metrics"
        self._run = run
        self.stop = threading.Event()
        self.values: dict[tuple[str, ...], float] = {}

    def run(self) -> None:
        while not self.stop.wait(0.5):
            with urllib.request.urlopen(self._url, timeout=10) as answer:
                for line in answer.read().decode().splitlines():
                    self._take(line)

    def _take(self, line: str) -> None:
        found = re.fullmatch(r"(ray_tav_\w+)\{(.*)\} (\S+)", line)
        if found is None:
            return
        labels = dict(re.findall(r'(\w+)="([^"]*)"', found[2]))
        if labels["run"] == self._run and "le" not in labels:
            key = (found[1], labels["step"], labels.get("outcome", ""))
            self.values[tuple(filter(None, key))] = float(found[3])


@pytest.fixture
def observed_run(tiny_run: dict[str, Any], tiny_clips: Path, tmp_path: Path) -> Path:
    """One good video, long in tuning, and one that is damaged; the configuration's file."""
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(b"no mp4")
    video = {"id": "fish", "uri": str(tiny_clips / "fish.mp4"), "prompt": "a red fish"}
    write_manifest(tiny_run, [video, video | {"id": "damaged", "uri": str(damaged)}])
    tiny_run |= {"tune": {"steps": 400, "checkpoint_every": 0}, "log_format": "json"}
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(tiny_run), encoding="utf-8")
    return path


def test_json_lines_and_metrics(observed_run: Path, tiny_run: dict[str, Any]) -> None:
    scraper = Scraper(metrics_port(tiny_run["ray"]["address"]), tiny_run["run"])
    scraper.start()
    command = [sys.executable, "-m", "components.cli", "--verbose", "run"]
    command += ["--config", str(observed_run)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=300, env=dict(os.environ)
    )
    assert done.returncode == 3, done.stderr  # the damaged video
    time.sleep(1)
    scraper.stop.set()
    scraper.join()
    assert scraper.values["ray_tav_items_total", "ingest", "done"] == 1
    assert scraper.values["ray_tav_items_total", "ingest", "failed"] == 1
    assert scraper.values["ray_tav_item_seconds_count", "ingest"] == 1
    assert scraper.values["ray_tav_item_seconds_sum", "ingest"] > 0
    assert not any("gpu" in name for name, *_ in scraper.values)  # none was used

    records = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert {record["run"] for record in records} == {tiny_run["run"]}
    said = [(one.get("step"), one.get("video"), one["level"], one["message"]) for one in records]
    assert ("ingest", "fish", "debug", "8 of 24 frames") not in said  # 4 frames are asked for
    assert ("ingest", "fish", "debug", "4 of 24 frames") in said  # of a Ray Data worker
    assert ("tune", "fish", "debug") in [one[:3] for one in said if "step 400/400" in one[3]]
    (failure,) = [one for one in said if one[2] == "warning" and one[0] == "ingest"]
    assert failure[1] == "damaged"
    assert "Reporting training result" not in done.stderr
