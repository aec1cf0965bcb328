"""Clips by chance, and what is asked of each."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from tinyworld.dataset import random_clips, random_edits, write_dataset
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


def drawn(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tinyworld.clips", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_equal_arguments_give_equal_bytes_each_time(tmp_path: Path) -> None:
    done = drawn(str(tmp_path / "a"), "--random", "3", "--seed", "7")
    assert done.stdout.strip() == str(tmp_path / "a/manifest.yaml")
    write_dataset(tmp_path / "b", 3, seed=7)
    found = contents(tmp_path / "a")
    assert sorted(found) == ["clips/00.mp4", "clips/01.mp4", "clips/02.mp4", "manifest.yaml"]
    assert contents(tmp_path / "b") == found
    # What python -m eval.ablation wrote for these arguments.
    digest = "c926f0b6ef5b62848d279dedb2e0becfd505cf7aa1dd5c41c1c246a51f744ec3"
    assert hashlib.sha256(found["manifest.yaml"]).hexdigest() == digest


@pytest.mark.parametrize("words", [("--random", "0"), ("--random", "x"), ("--seed", "-1")])
def test_no_clips_or_no_number_is_refused(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = drawn(str(tmp_path / "a"), "--random", "1", *words)
    assert done.returncode == 2
    assert re.search("1 or more|invalid int", done.stderr)
    assert not (tmp_path / "a").exists()
