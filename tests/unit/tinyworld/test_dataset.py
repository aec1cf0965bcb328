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

from tinyworld.dataset import (
    Dataset,
    more_edits,
    random_clips,
    random_edits,
    write_dataset,
)
from tinyworld.draw import render
from tinyworld.hiding import hides, hiding_clips, hiding_edits
from tinyworld.scenes import (
    CAMERAS,
    FRAMES,
    MOTIONS,
    OF_A_THING,
    OF_THE_FRAME,
    read_caption,
)


def test_things_motions_and_cameras_take_turns_and_equal_seeds_give_equal_clips() -> None:
    clips = random_clips(24, seed=1)
    assert [len(scene.things) for scene in clips.values()] == [1, 2] * 12
    turns = [(len(s.things), s.things[0].motion) for s in clips.values()]
    assert Counter(turns) == {(n, motion): 2 for n in (1, 2) for motion in MOTIONS}
    cameras = Counter(scene.camera for scene in clips.values())
    assert cameras.pop("still") == 12
    assert set(cameras) == set(CAMERAS) - {"still"}
    # Every motion meets a still camera and a moving one.
    met = {(s.things[0].motion, s.camera == "still") for s in clips.values()}
    assert len(met) == 2 * len(MOTIONS)
    assert {scene.style for scene in clips.values()} == {"plain"}
    assert clips == random_clips(24, seed=1)
    assert clips != random_clips(24, seed=2)
    assert list(clips.items())[:5] == list(random_clips(5, seed=1).items())


def test_an_edit_changes_one_word_of_its_kind() -> None:
    rng = np.random.default_rng(3)
    kinds = {"object": {"color", "shape"}, "background": {"background"}, "style": {"style"}}
    of_object = set()
    for scene in random_clips(40, seed=4).values():
        for category, edited in random_edits(scene, rng).items():
            changed = [(-1, n) for n in OF_THE_FRAME if getattr(scene, n) != getattr(edited, n)]
            for k, (old, new) in enumerate(zip(scene.things, edited.things, strict=True)):
                changed += [(k, n) for n in OF_A_THING if getattr(old, n) != getattr(new, n)]
                assert new.motion == old.motion
            ((which, name),) = changed
            assert name in kinds[category]
            assert (edited.camera, edited.seed) == (scene.camera, scene.seed)
            of_object |= {(which, name)} if category == "object" else set()
    assert of_object == {(which, name) for which in (0, 1) for name in ("color", "shape")}


def test_the_manifest_names_clips_that_are_there_and_prompts_of_this_world(tmp_path: Path) -> None:
    document = yaml.safe_load(write_dataset(tmp_path, Dataset(count=2, seed=5)).read_text())
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
    write_dataset(tmp_path / "b", Dataset(count=3, seed=7))
    found = contents(tmp_path / "a")
    assert found.keys() == {
        "manifest.yaml",
        *(f"clips/{name}.mp4" for name in ("00", "01", "02")),
        *(f"masks/{name}/{at:05}.png" for name in ("00", "01", "02") for at in range(FRAMES)),
    }
    assert contents(tmp_path / "b") == found
    # What is asked of whom may not change with a release: figures are of these clips.
    digest = "df29460d2f5b571835bf08656d5bef78f8407756b17718d71d80b1addc4aa732"
    assert hashlib.sha256(found["manifest.yaml"]).hexdigest() == digest


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
    plain = yaml.safe_load(write_dataset(tmp_path / "a", Dataset(count=3, seed=7)).read_text())
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
        ("--edits", "3", "--objects"),
        ("--frames", "1"),
        ("--frames", "129"),
    ],
)
def test_no_clips_or_no_number_is_refused(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = drawn(str(tmp_path / "a"), "--random", "1", *words)
    assert done.returncode == 2
    assert re.search(
        "1 or more|invalid int|must be 3 to 4|must be 2 to 128|without --hiding", done.stderr
    )
    assert not (tmp_path / "a").exists()


def test_clips_of_the_demo_take_no_options_of_others(tmp_path: Path) -> None:
    done = drawn(str(tmp_path / "a"), "--maps")
    assert done.returncode == 2
    assert "are of --random clips" in done.stderr


def test_one_thing_hides_the_other_and_edits_are_of_either(tmp_path: Path) -> None:
    words = ("--random", "2", "--hiding", "--objects", "--maps", "--frames", "30")
    done = drawn(str(tmp_path), *words)
    assert done.returncode == 0, done.stderr
    clips = hiding_clips(2, seed=1)
    videos = yaml.safe_load((tmp_path / "manifest.yaml").read_text())["videos"]
    for video, (name, scene) in zip(videos, clips.items(), strict=True):
        assert (video["id"], video["maps"]) == (name, f"depth/{name}")
        clip = render(scene, 30)
        pictures = sorted((tmp_path / video["maps"]).iterdir())
        near = np.stack([np.asarray(Image.open(path)) for path in pictures])
        assert np.array_equal(near, clip.near)
        assert len(list((tmp_path / video["mask"]).iterdir())) == 30
        hidden = clip.hidden[:, 1 - clip.front]
        assert hidden.max() >= 0.5
        assert hidden.min() <= 0.1
        assert [edit["id"].split("-")[0] for edit in video["edits"]] == ["front", "behind"]
        for edit, which in zip(video["edits"], (clip.front, 1 - clip.front), strict=True):
            _, changed = edit["id"].split("-")
            old, new = read_caption(video["prompt"]).things, read_caption(edit["prompt"]).things
            assert old[1 - which] == new[1 - which]
            pairs = zip(OF_A_THING, old[which], new[which], strict=True)
            assert [word for word, was, now in pairs if was != now] == [changed]


def test_scenes_in_which_nothing_is_hidden_are_not_among_them() -> None:
    lone = next(iter(random_clips(1, seed=1).values()))
    assert not hides(lone)
    edits = hiding_edits(next(iter(hiding_clips(1, seed=2).values())), np.random.default_rng(1))
    assert [category for category, _ in edits.values()] == ["object", "object", "background"]
