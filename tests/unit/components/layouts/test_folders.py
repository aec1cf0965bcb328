"""Any folder of videos becomes a manifest of the ids that the folder itself has as one."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.errors import UserError
from components.layouts.folders import read
from components.layouts.importing import import_benchmark
from components.manifest.load import load_manifest
from tests.benchmark_folders import write_frames
from tests.sample_videos import write_video


def test_the_manifest_says_what_the_folder_says(tmp_path: Path) -> None:
    root = tmp_path / "clips"
    (root / "a").mkdir(parents=True)
    write_video(root / "walk.mp4", 3)
    write_video(root / "a/my walk.mp4", 3)
    write_frames(root / "b/run", 3)
    edits = "edits:\n- {id: puppy, category: object, replace: {rabbit: puppy}}\n- {prompt: a cat}\n"
    (root / "edits.yaml").write_text(edits, encoding="utf-8")
    target = tmp_path / "set.yaml"
    import_benchmark("folders", str(root), str(target))
    assert load_manifest(str(target), str(root)).videos == load_manifest(str(root)).videos
    assert {"walk.mp4", "a/my walk.mp4", "b/run"} == {v["uri"] for v in read(root).videos}


def test_a_folder_of_frames_is_a_video_itself(tmp_path: Path) -> None:
    write_frames(tmp_path / "run", 3)
    import_benchmark("folders", str(tmp_path / "run"), str(tmp_path / "set.yaml"))
    (video,) = load_manifest(str(tmp_path / "set.yaml"), str(tmp_path / "run")).videos
    assert (video.video_id, video.uri, video.edits) == ("run", str(tmp_path / "run"), ())


def test_bad_edits_are_refused(tmp_path: Path) -> None:
    write_video(tmp_path / "walk.mp4", 3)
    (tmp_path / "edits.yaml").write_text("edits: [{promt: x}]", encoding="utf-8")
    with pytest.raises(UserError, match="did you mean 'prompt'"):
        read(tmp_path)
