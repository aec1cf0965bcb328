"""The tiny world's benchmark is what its command draws and writes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import yaml

from components.manifest.load import load_manifest
from tinyworld.dataset import Dataset, asked, chosen, random_clips

MANIFEST = Path(__file__).parents[3] / "manifests/datasets/tinyworld40.yaml"


def test_it_is_what_the_named_command_writes() -> None:
    clips, wanted = random_clips(40, 1), Dataset(count=40, seed=1, edits=140)
    found = asked(clips, chosen(clips, wanted), wanted)
    assert yaml.safe_load(MANIFEST.read_text())["videos"] == found


def test_forty_clips_of_a_folder_given_at_run_time_and_140_edits_of_the_papers_kinds() -> None:
    videos = load_manifest(str(MANIFEST), "s3://bucket/tinyworld40").videos
    assert [video.uri for video in videos] == [
        f"s3://bucket/tinyworld40/clips/{number:02}.mp4" for number in range(40)
    ]
    kinds = Counter(edit.category for video in videos for edit in video.edits)
    assert kinds == {"object": 47, "background": 47, "style": 46}
