"""The clips of the ablation and what is asked of each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml

from eval.ablation.clips import random_clips, random_edits, write_dataset
from tinyworld.scenes import ATTRIBUTES, MOTIONS, read_caption


def test_every_motion_takes_its_turn_and_equal_seeds_give_equal_clips() -> None:
    clips = random_clips(12, seed=1)
    assert sorted(scene.motion for scene in clips.values()) == sorted(MOTIONS * 2)
    assert clips == random_clips(12, seed=1)
    assert clips != random_clips(12, seed=2)


def test_an_edit_changes_one_attribute_of_its_kind() -> None:
    rng = np.random.default_rng(3)
    kinds = {"object": {"color", "shape"}, "background": {"background"}, "style": {"style"}}
    of_object = set()
    for scene in random_clips(20, seed=4).values():
        for category, edited in random_edits(scene, rng).items():
            (changed,) = (n for n in ATTRIBUTES if getattr(scene, n) != getattr(edited, n))
            assert changed in kinds[category]
            assert (edited.motion, edited.seed) == (scene.motion, scene.seed)
            of_object |= {changed} if category == "object" else set()
    assert of_object == {"color", "shape"}


def test_the_manifest_names_clips_that_are_there_and_prompts_of_this_world(tmp_path: Path) -> None:
    document = yaml.safe_load(write_dataset(tmp_path, 2, seed=5).read_text())
    assert [len(video["edits"]) for video in document["videos"]] == [3, 3]
    for video in document["videos"]:
        assert (tmp_path / video["uri"]).stat().st_size > 0
        for edit in video["edits"]:
            assert read_caption(edit["prompt"]) != read_caption(video["prompt"])
