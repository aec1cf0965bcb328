"""Whole runs on a real Ray: what is computed, what is computed again, and what a bad item costs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import yaml

from components.errors import UserError
from components.run.current import State
from components.run.perform import perform
from components.run.record import load_run
from components.run.runner import Runner, RunResult
from components.storage.schemas import SCHEMAS
from components.storage.store import file_sha256
from components.storage.tables import read_table
from tests import bad_videos
from tests.runs import counts, run_config, tiny_videos, write_manifest
from tests.unit.components.test_bad_input import KINDS

DOCUMENTED = Path(__file__).parents[2] / "docs" / "python.md"


def run(document: dict[str, Any]) -> tuple[RunResult, State]:
    runner = Runner(run_config(document))
    return runner.run(), runner.state()


@pytest.mark.soak
def test_a_run_from_python_as_documented_makes_everything_once(
    tiny_run: dict[str, Any], tiny_clips: Path, tmp_path: Path
) -> None:
    write_manifest(tiny_run, tiny_videos(tiny_clips))
    done = documented(0, tiny_run, tmp_path)
    # pair has no prompt, so BLIP-2 captions it; fish's prompt is the manifest's.
    assert (
        "{'ingest': 2, 'caption': 1, 'control': 0, 'tune': 2, 'sample': 3, 'score': 3}"
        in done.stdout
    )
    assert "3 scored, 0.0 failed" in done.stdout
    assert done.stdout.count("tav_paper_v1") == 3
    config = run_config(tiny_run | {"seed": 7})
    assert Path(done.stdout.splitlines()[-1]) == Path(config.run, "report/index.html")
    assert_complete(load_run(config.run), Path(config.run))

    again = perform("run", config)
    assert not any(again.computed.values())
    assert not again.used_ray
    assert again.problem is None


@pytest.mark.soak
def test_variants_from_python_as_documented(
    tiny_run: dict[str, Any], tiny_clips: Path, tmp_path: Path
) -> None:
    write_manifest(tiny_run, tiny_videos(tiny_clips)[:1])
    lines = documented(1, tiny_run, tmp_path).stdout.splitlines()
    for name in ("full", "no_tuning"):
        assert f"{name} 2 edits by tune_a_video" in lines
        assert sum(f" {name} tav_paper_v1 " in line for line in lines) == 2


def documented(number: int, run: dict[str, Any], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a program of the documentation on a run's configuration."""
    (folder / "my-run.yaml").write_text(yaml.safe_dump(run), encoding="utf-8")
    programs = re.findall(r"```python\n(.*?)```", DOCUMENTED.read_text("utf-8"), re.DOTALL)
    (folder / "program.py").write_text(programs[number], encoding="utf-8")
    command = [sys.executable, "program.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)


def assert_complete(state: State, root: Path) -> None:
    for table, schema in SCHEMAS.items():
        rows = read_table(state.store, table)
        assert bool(rows) == (table not in ("failures", "artefacts", "controls")), table
        for row in rows:
            assert set(row) == set(schema.names)
    for row in state.first.edits.values():
        assert file_sha256(root / row["video_uri"]) == row["sha256"]
        with av.open(root / row["video_uri"]) as video:
            stream = video.streams.video[0]
            assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
            assert sum(1 for _ in video.decode(stream)) == row["num_frames"] == 4
    for row in read_table(state.store, "adapters"):
        assert file_sha256(root / row["uri"]) == row["sha256"]
    assert not list((root / "checkpoints").glob("*"))
    for row in read_table(state.store, "scores"):
        assert 0 < row["values"]["frame_consistency"] <= 100.001
        assert -100 <= row["values"]["textual_alignment"] <= 100


def write_video(path: Path, frames: int, size: tuple[int, int] = (64, 64)) -> Path:
    width, height = size
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=8)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv444p"
        for number in range(frames):
            picture = np.full((height, width, 3), number * 8 % 256, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def test_a_step_may_go_longer_without_an_outcome_than_ray_data_allows(
    tiny_run: dict[str, Any], tiny_clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray.data

    # Its 30 minutes as a blink: no actor starts and no video is read in that time.
    allowed = ray.data.DataContext.get_current()
    monkeypatch.setattr(allowed, "execution_no_progress_timeout_s", 0.05)
    tiny_run["ray"]["flow"] = False
    write_manifest(tiny_run, tiny_videos(tiny_clips)[:1])
    assert Runner(run_config(tiny_run)).run(("ingest",)).computed["ingest"] == 1


def test_bad_items_become_rows_and_the_rest_is_done(
    tiny_run: dict[str, Any], tiny_clips: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "videos"
    kinds = {kind.name.removeprefix("video-"): kind for kind in KINDS if "video-" in kind.name}
    edit = {"id": "e", "category": "style", "prompt": "{caption}, cartoon style"}
    videos: list[dict[str, Any]] = []
    for name in kinds:
        (folder / name).mkdir(parents=True)
        uri = os.fsencode(getattr(bad_videos, name)(folder / name))
        if name != "name_that_is_no_unicode":  # no manifest can say it
            video = {"id": name, "uri": uri.decode(), "prompt": "a fish", "edits": [edit]}
            videos.append(video)
    odd, good = folder / "odd.mp4", tiny_clips / "fish.mp4"
    write_video(odd, frames=8, size=(51, 37))
    too_long = {"id": "long", "category": "object", "prompt": "a very red fish " * 60}
    no_word = {"id": "word", "category": "object", "replace": {"elephant": "mouse"}}
    videos.insert(9, {"id": "odd", "uri": str(odd), "prompt": "a fish", "edits": [edit]})
    videos.append(
        {"id": "good", "uri": str(good), "prompt": "a fish", "edits": [edit, too_long, no_word]}
    )
    write_manifest(tiny_run, videos)
    tiny_run["video"] |= {"num_frames": 8, "limits": {"decode_seconds": 6, "duration": 1000}}
    tiny_run["max_attempts"] = 1  # what took too long would be tried again
    result, state = run(tiny_run)

    assert set(state.first.edits) == {"odd/e", "good/e"}
    assert len(state.first.scores) == 2
    failed = {row["edit_id"] or row["video_id"]: row for row in state.open_failures}
    bad = {str(video["id"]) for video in videos} - {"odd", "good"}
    assert len(bad) >= 28
    assert set(failed) == bad | {"good/long", "good/word"}
    assert len(read_table(state.store, "failures")) == len(failed)  # one row each
    assert result.failed_fraction == pytest.approx((len(bad) + 2) / (len(bad) + 4))
    for name in bad:
        assert re.search(kinds[name].value, failed[name]["message"]), failed[name]["message"]
        assert failed[name]["retryable"] == (name == "endless")
    for name, words in {
        "good/long": ("77", "cut off", "Shorten"),
        "good/word": ("elephant", "a fish"),
    }.items():
        for word in words:
            assert word in failed[name]["message"], (name, failed[name]["message"])
    assert failed["good/long"]["error_type"] == "PromptError"

    # What failed for good is not tried again, until its source changes.
    again, _ = run(tiny_run)
    assert counts(again) == {}
    shutil.copy(good, folder / "missing" / "missing.mp4")
    healed = Runner(run_config(tiny_run)).run(("ingest", "caption"))
    assert counts(healed) == {"ingest": 1}
    assert healed.status.steps["tune"].left == 1


@pytest.mark.soak
def test_a_disk_that_fills_up_stops_the_run_with_a_remedy(
    tiny_run: dict[str, Any], tiny_clips: Path, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small file system takes root")
    try:
        tiny_run["run"] = str(disk / "run")
        write_manifest(tiny_run, tiny_videos(tiny_clips)[:1])
        runner = Runner(run_config(tiny_run))
        for before, table in (((), "videos"), (("ingest", "caption"), "adapters")):
            runner.run(before)
            filler = fill(disk, but=16 << 10)
            with pytest.raises(UserError) as caught:
                runner.run()
            assert re.search(
                r"/disk/run/.* cannot be written \(No space left on device\): free some space "
                "there, or use another run root; what is committed stays",
                str(caught.value),
            ), caught.value
            assert read_table(runner.store, table) == []
            assert not list(disk.rglob(".tmp-*")), "nothing is half-written"
            filler.unlink()
        assert counts(runner.run(("tune",))) == {"tune": 1}
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(disk: Path, *, but: int) -> Path:
    """Fill a file system but for some bytes."""
    filler = disk / "filler"
    filler.write_bytes(bytes(shutil.disk_usage(disk).free - but))
    return filler
