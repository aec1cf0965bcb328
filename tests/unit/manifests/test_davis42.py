"""The paper's benchmark as a manifest: its clips, and edits of ours that are what they claim."""

from __future__ import annotations

import difflib
from collections import Counter
from pathlib import Path

import pytest
from open_clip.tokenizer import SimpleTokenizer

from components.manifest.edits import VideoEntry, expand_edit
from components.manifest.load import load_manifest

MANIFEST = Path(__file__).parents[3] / "manifests/datasets/davis42.yaml"
CLIPS = """\
bear blackswan boat breakdance-flare camel car-roundabout car-shadow car-turn cows dog dog-agility
drift-turn elephant flamingo girl-dog gold-fish golf guitar-violin hike hockey horsejump-high
horsejump-low kid-football kite-surf lab-coat libby lions longboard lucia mallard-water man-bike
mbike-santa mbike-trick motorbike parkour rhino running scooter-gray snowboard swing tandem tennis
"""


@pytest.fixture(scope="module")
def videos() -> tuple[VideoEntry, ...]:
    return load_manifest(str(MANIFEST)).videos


def test_the_papers_clips_below_a_root_given_at_run_time(tmp_path: Path) -> None:
    videos = load_manifest(str(MANIFEST), str(tmp_path)).videos
    assert [(video.video_id, video.uri) for video in videos] == [
        (name, f"{tmp_path}/{name}") for name in CLIPS.split()
    ]
    on_s3 = load_manifest(str(MANIFEST), "s3://bucket/DAVIS").videos
    assert on_s3[0].uri == "s3://bucket/DAVIS/bear"


def test_140_edits_a_third_of_each_kind_and_each_kind_of_every_clip(
    videos: tuple[VideoEntry, ...],
) -> None:
    kinds = Counter(edit.category for video in videos for edit in video.edits)
    assert kinds == {"object": 47, "background": 47, "style": 46}
    for video in videos:
        assert {edit.category for edit in video.edits} == {"object", "background", "style"}


def test_every_prompt_is_its_caption_but_for_one_part(videos: tuple[VideoEntry, ...]) -> None:
    prompts = []
    for video in videos:
        assert video.prompt is not None
        source = video.prompt.split()
        for edit in video.edits:
            prompt = expand_edit(edit, video.prompt)
            prompts.append(prompt)
            if edit.category == "style":
                assert prompt.startswith(f"{video.prompt}, ")
                continue
            matcher = difflib.SequenceMatcher(a=source, b=prompt.split(), autojunk=False)
            changed = [code for code in matcher.get_opcodes() if code[0] != "equal"]
            first, last = changed[0], changed[-1]
            kept = len(source) - (last[2] - first[1])
            assert kept >= len(source) / 2, prompt
    assert len(set(prompts)) == len(prompts) == 140


def test_clip_reads_every_prompt_whole(videos: tuple[VideoEntry, ...]) -> None:
    encode = SimpleTokenizer().encode  # CLIP's own, with the vocabulary that open_clip ships
    for video in videos:
        assert video.prompt is not None
        for text in (video.prompt, *(expand_edit(edit, video.prompt) for edit in video.edits)):
            assert len(encode(text)) + 2 <= 77, text  # and the marks of begin and end
