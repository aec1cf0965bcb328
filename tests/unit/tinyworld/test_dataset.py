"""Clips by chance, and what is asked of each."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from tinyworld.dataset import more_edits, random_clips, random_edits, write_dataset
from tinyworld.draw import render
from tinyworld.scenes import ATTRIBUTES, FRAMES, MOTIONS, read_caption


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
    assert found.keys() == {
        "manifest.yaml",
        *(f"clips/{name}.mp4" for name in ("00", "01", "02")),
        *(f"masks/{name}/{at:05}.png" for name in ("00", "01", "02") for at in range(FRAMES)),
    }
    assert contents(tmp_path / "b") == found
    # But for the masks, what python -m eval.ablation wrote for these arguments.
    digest = "c926f0b6ef5b62848d279dedb2e0becfd505cf7aa1dd5c41c1c246a51f744ec3"
    without = re.sub(rb" *mask: .*\n", b"", found["manifest.yaml"])
    assert hashlib.sha256(without).hexdigest() == digest


@pytest.mark.parametrize(("count", "edits"), [(40, 140), (2, 6), (2, 8)])
def test_edits_of_the_papers_number_are_distinct_and_balanced(count: int, edits: int) -> None:
    clips, rng = random_clips(count, seed=1), np.random.default_rng([1, 1])
    asked = [
        (name, kind, edited)
        for name, scene in clips.items()
        for kind, edited in random_edits(scene, rng).items()
    ]
    asked += [(name, *edit) for name, edit in more_edits(clips, edits - 3 * count, 1).items()]
    assert len(asked) == edits
    assert len({(name, edited.caption()) for name, _, edited in asked}) == edits
    kinds = Counter(kind for _, kind, _ in asked)
    assert max(kinds.values()) - min(kinds.values()) <= 1


def test_one_edit_more_leaves_all_others_as_they_were(tmp_path: Path) -> None:
    plain = yaml.safe_load(write_dataset(tmp_path / "a", 3, seed=7).read_text())
    done = drawn(str(tmp_path / "b"), "--random", "3", "--seed", "7", "--edits", "11")
    assert done.returncode == 0, done.stderr
    more = yaml.safe_load((tmp_path / "b/manifest.yaml").read_text())
    added = [video["edits"].pop() for video in more["videos"][:2]]
    assert more == plain
    assert [edit["id"] for edit in added] == ["object-2", "background-2"]


@pytest.mark.parametrize(
    "words",
    [
        ("--random", "0"),
        ("--random", "x"),
        ("--seed", "-1"),
        ("--edits", "2"),
        ("--edits", "5"),
    ],
)
def test_no_clips_or_no_number_is_refused(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = drawn(str(tmp_path / "a"), "--random", "1", *words)
    assert done.returncode == 2
    assert re.search("1 or more|invalid int|must be 3 to 4", done.stderr)
    assert not (tmp_path / "a").exists()


def test_masks_are_where_the_object_is_drawn(tmp_path: Path) -> None:
    (video,) = yaml.safe_load(write_dataset(tmp_path, 1, seed=7).read_text())["videos"]
    (scene,) = random_clips(1, seed=7).values()
    files = sorted((tmp_path / video["mask"]).iterdir())
    masks = np.stack([np.asarray(Image.open(path)) for path in files])
    assert (masks == render(scene).masks).all()


def test_masks_that_are_there_are_left_alone(tmp_path: Path) -> None:
    write_dataset(tmp_path, 1, seed=7)
    first, other = sorted((tmp_path / "masks/00").iterdir())[:2]
    before = first.stat().st_mtime_ns
    other.write_bytes(b"half")
    write_dataset(tmp_path, 1, seed=7)
    assert first.stat().st_mtime_ns == before
    assert other.read_bytes() != b"half"
