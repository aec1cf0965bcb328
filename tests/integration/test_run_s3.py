"""A whole run whose sources, manifest, tables and objects all lie on a real S3 server."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from benchmarks.chaos.plain import PlainRunner
from components.run.clips import clip_reference
from components.run.current import State
from components.run.runner import Runner
from components.steps.ingest import load_mask
from components.storage.open import open_store
from components.storage.store import file_sha256
from components.video.io import probe
from components.video.sources import source_sha256
from tests.integration.s3_server import S3Server
from tests.runs import counts, run_config, tiny_document, write_manifest
from tests.sample_videos import grey_frames, write_folder, write_video

HOSTILE = "<script>alert(1)</script> $(touch owned) `id`; rm -rf / | \"x\" & 'y' \\"


@pytest.fixture
def ray_logs() -> Iterator[Path]:
    """A folder for a Ray's files, short enough for the names of its sockets."""
    folder = Path(tempfile.mkdtemp(prefix="tav", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_a_run_over_a_bucket(
    tiny_run: dict[str, Any],
    tiny_clips: Path,
    s3_server: S3Server,
    s3_bucket: str,
    tmp_path: Path,
    ray_logs: Path,
) -> None:
    bucket = s3_server.client()
    bucket.upload_file(str(tiny_clips / "fish.mp4"), s3_bucket, "in/fish.mp4")
    edits = [
        {"id": "cartoon", "category": "style", "prompt": "{caption}, cartoon style"},
        {"id": "hostile", "prompt": HOSTILE},
        {"id": "impossible", "replace": {"elephant": "mouse"}},
    ]
    videos = [{"id": "fish", "uri": "fish.mp4", "prompt": "a red fish", "edits": edits}]
    manifest = yaml.safe_dump({"videos": videos})
    bucket.put_object(Bucket=s3_bucket, Key="in/manifest.yaml", Body=manifest.encode())
    tiny_run |= {
        "run": f"s3://{s3_bucket}/out/run",
        "manifest": f"s3://{s3_bucket}/in/manifest.yaml",
        "max_failed_fraction": 0.5,
        # A Ray of its own, so that its workers inherit the server's address and credentials.
        "ray": {"num_cpus": 2},
    }
    config = tmp_path / "run.yaml"
    config.write_text(yaml.safe_dump(tiny_run), encoding="utf-8")

    done = subprocess.run(
        [sys.executable, "-m", "components.cli", "--verbose", "run", "--config", str(config)],
        env=os.environ | {"RAY_TMPDIR": str(ray_logs)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-3000:]
    runner = Runner(run_config(tiny_run))
    assert_whole(runner.state())
    again = runner.run()
    assert not any(again.computed.values())
    assert not again.used_ray
    assert not list(tmp_path.rglob("owned"))
    told = {"output": done.stdout + done.stderr} | artefacts(s3_server, s3_bucket) | files(ray_logs)
    for kind in ("output", "tables/edits/", "tables/failures/", "run.json", "ray/", "report/"):
        assert any(name.startswith(kind) for name in told), kind
    assert holding(told, s3_bucket), "what is sought can be found"
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"):
        assert holding(told, s3_server.environment[name]) == [], name


def assert_whole(state: State) -> None:
    store = open_store(state.store.root)
    assert {edit for edit, _ in state.first.scores} == {"fish/cartoon", "fish/hostile"}
    assert state.first.edits["fish/hostile"]["prompt"] == HOSTILE
    assert [row["edit_id"] for row in state.open_failures] == ["fish/impossible"]
    for row in state.first.edits.values():
        assert store.stat(row["video_uri"]) is not None
    page = store.read_bytes("report/index.html").decode()
    assert "a red fish, cartoon style" in page
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert" not in page
    paths = [info.path for info in store.list()]
    assert any(path.startswith("report/media/") for path in paths)


def artefacts(server: S3Server, bucket: str) -> dict[str, str]:
    """Every object of the run as text; rows unpacked, for they are compressed in their files."""
    client, found = server.client(), {}
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="out/run/")
    for key in [item["Key"] for page in pages for item in page["Contents"]]:
        data = client.get_object(Bucket=bucket, Key=key)["Body"].read()
        text = data.decode("latin-1")
        if key.endswith(".parquet"):
            table = pq.read_table(io.BytesIO(data))
            text += str(table.schema.metadata) + str(table.to_pylist())
        found[key.removeprefix("out/run/")] = text
    return found


def files(folder: Path) -> dict[str, str]:
    """What a Ray wrote: its logs, and those of its workers."""
    return {
        f"ray/{path.relative_to(folder)}": path.read_bytes().decode("latin-1")
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


def holding(told: dict[str, str], what: str) -> list[str]:
    return [name for name, text in told.items() if what in text]


def test_finished_edits_in_a_bucket_are_a_variant(
    tiny_models: Path,
    tiny_clips: Path,
    s3_server: S3Server,
    s3_bucket: str,
    tmp_path: Path,
) -> None:
    client, document = s3_server.client(), tiny_document(tmp_path, tiny_models)
    theirs = write_video(tmp_path / "a.mp4", 4, size=(64, 64))
    client.upload_file(str(theirs), s3_bucket, "edits/fish/cartoon.mp4")
    edits = [
        {"id": "cartoon", "category": "style", "prompt": "{caption}, cartoon style"},
        {"id": "gone", "category": "style", "prompt": "{caption}, gone"},
    ]
    fish = {"id": "fish", "uri": str(tiny_clips / "fish.mp4"), "prompt": "a red fish"}
    write_manifest(document, [fish | {"edits": edits}])
    videos = f"s3://{s3_bucket}/edits/{{video}}/{{edit}}.mp4"
    document["variants"] = {
        "source": {"method": "identity"},
        "theirs": {"method": "precomputed", "precomputed": {"videos": videos}},
    }
    runner = PlainRunner(run_config(document))
    assert counts(runner.run()) == {"ingest": 1, "sample": 4, "score": 3}
    state = runner.state()
    assert set(state.views["source"].edits) == {"fish/cartoon", "fish/gone"}
    edit = state.views["theirs"].edits["fish/cartoon"]
    assert edit["given_sha256"] == file_sha256(theirs)
    (failure,) = state.open_failures
    assert f"s3://{s3_bucket}/edits/fish/gone.mp4 does not exist" in failure["message"]
    assert counts(PlainRunner(run_config(document)).run()) == {}

    # A folder of frames in its place, and another object: one is found, one is read again.
    folder = write_folder(tmp_path / "frames", [f"{n}.png" for n in range(4)], size=(64, 64))
    for path in folder.iterdir():
        client.upload_file(str(path), s3_bucket, f"edits/fish/gone.mp4/{path.name}")
    write_video(theirs, grey_frames(8, 64, 64)[4:])
    client.upload_file(str(theirs), s3_bucket, "edits/fish/cartoon.mp4")
    runner = PlainRunner(run_config(document))
    assert counts(runner.run()) == {"sample": 2, "score": 2}
    state = runner.state()
    assert state.views["theirs"].edits["fish/cartoon"]["edit_key"] != edit["edit_key"]
    assert state.open_failures == []
    assert counts(PlainRunner(run_config(document)).run()) == {}


def test_masks_in_a_bucket_are_read_with_their_clips(
    tiny_models: Path,
    tiny_clips: Path,
    s3_server: S3Server,
    s3_bucket: str,
    tmp_path: Path,
) -> None:
    client, document = s3_server.client(), tiny_document(tmp_path, tiny_models)
    found = probe(tiny_clips / "fish.mp4")
    document |= {"manifest": f"s3://{s3_bucket}/in/set.yaml", "method": "identity"}
    fish = {"id": "fish", "uri": "fish.mp4", "mask": "masks/fish", "prompt": "a red fish"}
    videos = [fish, fish | {"id": "gone", "mask": "masks/gone"}]
    client.upload_file(str(tiny_clips / "fish.mp4"), s3_bucket, "in/fish.mp4")
    text = yaml.safe_dump({"videos": videos})
    client.put_object(Bucket=s3_bucket, Key="in/set.yaml", Body=text.encode())
    mask = tmp_path / "mask"
    mask.mkdir()
    for index in range(found.num_frames):
        picture = Image.new("1", (found.width, found.height))
        picture.paste(1, (0, 0, found.width // 2, found.height))
        picture.save(mask / f"{index:05d}.png")
        client.upload_file(
            str(mask / f"{index:05d}.png"), s3_bucket, f"in/masks/fish/{index:05d}.png"
        )

    runner = PlainRunner(run_config(document))
    assert counts(runner.run(["ingest"])) == {"ingest": 2}
    state = runner.state()
    row = state.first.videos["fish"]
    assert (row["mask_uri"], row["mask_sha256"]) == (
        f"s3://{s3_bucket}/in/masks/fish",
        source_sha256(mask),
    )
    seen = load_mask(clip_reference(row), state.config.video.limits)
    assert seen is not None
    assert seen.shape == (4, 64, 64)
    assert seen[:, :, :32].all()
    assert not seen[:, :, 32:].any()
    (failure,) = state.open_failures
    assert f"mask: s3://{s3_bucket}/in/masks/gone does not exist" in failure["message"]
    assert counts(PlainRunner(run_config(document)).run(["ingest"])) == {}

    # Another picture under one name.
    Image.new("1", (found.width, found.height), 1).save(mask / "00001.png")
    client.upload_file(str(mask / "00001.png"), s3_bucket, "in/masks/fish/00001.png")
    runner = PlainRunner(run_config(document))
    assert counts(runner.run(["ingest"])) == {"ingest": 1}
    assert runner.state().first.videos["fish"]["mask_sha256"] == source_sha256(mask)
    assert counts(PlainRunner(run_config(document)).run(["ingest"])) == {}
