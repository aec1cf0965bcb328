"""The demo's clips: of all that the world has, the same bytes each time, edited in three ways."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml

from tinyworld.clips import CLIPS, write_clips
from tinyworld.details import looks
from tinyworld.draw import render
from tinyworld.scenes import read_caption

ROOT = Path(__file__).parents[3]


def test_the_same_bytes_each_time(tiny_clips: Path, tmp_path: Path) -> None:
    for path in write_clips(tmp_path):
        assert path.read_bytes() == (tiny_clips / path.name).read_bytes()


def test_they_show_what_the_world_has() -> None:
    scenes = CLIPS.values()
    assert {len(scene.things) for scene in scenes} == {1, 2}
    assert any(scene.camera != "still" for scene in scenes)
    assert len({thing.motion for scene in scenes for thing in scene.things}) > 2
    worn = {look.pattern for scene in scenes for look in looks(scene)}
    assert len(worn) > 2, "details are seen"
    assert len({look.rim for scene in scenes for look in looks(scene)}) == 2


def test_their_things_can_be_read_in_every_frame() -> None:
    for name, scene in CLIPS.items():
        clip = render(scene, 8)
        assert clip.hidden.max() <= 0.9, name
        assert (clip.hidden > 0.5).mean() < 0.3, name
        assert np.ptp(clip.centers, axis=0).max() > 10, name


def test_the_manifest_edits_every_clip_in_three_ways(tiny_clips: Path) -> None:
    path = ROOT / "manifests/datasets/demo.yaml"
    videos = yaml.safe_load(path.read_text())["videos"]
    assert {video["id"] for video in videos} == set(CLIPS)
    for video in videos:
        folder, name = (path.parent / video["uri"]).resolve().parent, Path(video["uri"]).name
        assert folder == ROOT / "runs/demo-clips"
        assert (tiny_clips / name).is_file()
        scene = CLIPS[video["id"]]
        prompt = video.get("prompt", scene.caption())
        assert read_caption(prompt) == scene.words
        categories = [edit["category"] for edit in video["edits"]]
        assert categories == ["object", "background", "style"]
        for edit in video["edits"]:
            asked = edit.get("prompt", prompt).replace("{caption}", prompt)
            for old, new in edit.get("replace", {}).items():
                assert old in asked
                asked = asked.replace(old, new)
            words = read_caption(asked)
            assert len(words.things) == len(scene.things), "the ground truth can judge it"
            assert words != scene.words
    assert any("prompt" not in video for video in videos), "BLIP-2 has nothing to do"
