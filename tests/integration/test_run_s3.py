"""A whole run whose sources, manifest, tables and objects all lie on a real S3 server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from components.cli import main
from components.run.current import State
from components.run.runner import Runner
from components.storage.store import open_store
from tests.integration.runs import run_config
from tests.integration.s3_server import S3Server


def test_a_run_over_a_bucket(
    tiny_run: dict[str, Any],
    tiny_clips: Path,
    s3_server: S3Server,
    s3_bucket: str,
    tmp_path: Path,
) -> None:
    bucket = s3_server.client()
    bucket.upload_file(str(tiny_clips / "fish.mp4"), s3_bucket, "in/fish.mp4")
    edit = {"id": "cartoon", "category": "style", "prompt": "{caption}, cartoon style"}
    videos = [{"id": "fish", "uri": "fish.mp4", "prompt": "a red fish", "edits": [edit]}]
    manifest = yaml.safe_dump({"videos": videos})
    bucket.put_object(Bucket=s3_bucket, Key="in/manifest.yaml", Body=manifest.encode())
    tiny_run |= {
        "run": f"s3://{s3_bucket}/out/run",
        "manifest": f"s3://{s3_bucket}/in/manifest.yaml",
        # A Ray of its own, so that its workers inherit the server's address and credentials.
        "ray": {"num_cpus": 2},
    }
    config = tmp_path / "run.yaml"
    config.write_text(yaml.safe_dump(tiny_run), encoding="utf-8")

    main(["run", "--config", str(config)], standalone_mode=False)

    runner = Runner(run_config(tiny_run))
    assert_whole(runner.state())
    again = runner.run()
    assert not any(again.computed.values())
    assert not again.used_ray


def assert_whole(state: State) -> None:
    store = open_store(state.store.root)
    assert len(state.scores) == 1
    (row,) = state.edits.values()
    assert store.stat(row["video_uri"]) is not None
    page = store.read_bytes("report/index.html").decode()
    assert "a red fish, cartoon style" in page
    paths = [info.path for info in store.list()]
    assert any(path.startswith("report/media/") for path in paths)
    secrets = ("AWS_SECRET_ACCESS_KEY", "aws_secret")
    assert not any(word in page for word in secrets)
