"""Workers that share a GPU, and what the autoscaler is told. The GPU here is Ray's word alone."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from components.run.cluster import Cluster
from components.run.runner import Runner
from components.storage.tables import read_table
from tests.runs import run_config, write_manifest

pytestmark = pytest.mark.soak


def test_two_workers_share_one_gpu(tiny_run: dict[str, Any], tiny_clips: Path) -> None:
    videos = [
        {"id": name, "uri": str(tiny_clips / f"{name}.mp4"), "prompt": "a thing"}
        for name in ("fish", "car")
    ]
    write_manifest(tiny_run, videos)
    tiny_run["tune"] = {"steps": 300, "checkpoint_every": 0}
    tiny_run["ray"] |= {"workers": 2, "videos_per_shard": 1, "flow": False}
    tiny_run["ray"] |= {"gpus_per_worker": 0.5, "accelerator_type": "A100"}
    runner = Runner(run_config(tiny_run))
    assert runner.run(("ingest", "caption", "tune")).failed_fraction == 0
    first, second = (
        (row["created_at"] - dt.timedelta(seconds=row["seconds"]), row["created_at"])
        for row in read_table(runner.store, "adapters")
    )
    assert max(first[0], second[0]) < min(first[1], second[1]), "they ran one after the other"


def test_the_autoscaler_is_told_what_all_workers_need(tiny_run: dict[str, Any]) -> None:
    from ray._private.ray_constants import AUTOSCALER_RESOURCE_REQUEST_CHANNEL
    from ray.experimental.internal_kv import _internal_kv_get

    tiny_run["ray"] |= {"workers": 3, "gpus_per_worker": 0.25, "request_resources": True}
    tiny_run["ray"]["accelerator_type"] = "A100"
    with Cluster(run_config(tiny_run)) as cluster:
        cluster.start()
        asked = json.loads(_internal_kv_get(AUTOSCALER_RESOURCE_REQUEST_CHANNEL))
    worker = {"CPU": 1, "GPU": 0.25, "accelerator_type:A100": 0.001}
    assert asked == [worker] * 3
