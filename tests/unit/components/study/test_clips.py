"""Clips are fetched once and checked; noise is drawn anew in every pixel of every frame."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from components.errors import SourceError, TransientError
from components.storage.local import LocalStore
from components.storage.store import file_sha256
from components.study.clips import Clips
from components.study.design import StudyClip
from components.video.io import encode_mp4, read_mp4_frames
from components.video.read import probe
from tests.finished_run import drawn_clip


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "run")


@pytest.fixture
def clips(store: LocalStore, tmp_path: Path) -> Clips:
    (tmp_path / "clips").mkdir()
    return Clips(store, tmp_path / "clips")


def source(store: LocalStore, tmp_path: Path, fps: float = 10) -> StudyClip:
    encode_mp4(tmp_path / "a.mp4", drawn_clip(0.5, 6, 80, 48), fps=fps, crf=20)
    store.write_file("clips/a.mp4", tmp_path / "a.mp4")
    return StudyClip(path="clips/a.mp4", sha256=file_sha256(tmp_path / "a.mp4"))


def test_a_clip_is_fetched_once(store: LocalStore, clips: Clips, tmp_path: Path) -> None:
    one = source(store, tmp_path)
    assert clips.fetch(one).read_bytes() == (tmp_path / "a.mp4").read_bytes()
    store.delete(one.path)
    assert file_sha256(clips.fetch(one)) == one.sha256


@pytest.mark.parametrize("sha256", ["", "../../etc/passwd", "A" * 64, "0" * 63])
def test_a_digest_that_is_none_is_refused(clips: Clips, sha256: str) -> None:
    with pytest.raises(SourceError, match="which is none"):
        clips.fetch(StudyClip(path="clips/a.mp4", sha256=sha256))


def test_another_clip_or_none_is_refused(store: LocalStore, clips: Clips, tmp_path: Path) -> None:
    one = source(store, tmp_path)
    with pytest.raises(TransientError, match="changed or damaged"):
        clips.fetch(StudyClip(path=one.path, sha256="0" * 64))
    with pytest.raises(TransientError, match="is gone"):
        clips.fetch(StudyClip(path="clips/b.mp4", sha256="0" * 64))
    with pytest.raises(SourceError, match=r"holds the segment '\.\.'"):
        clips.fetch(StudyClip(path="../b.mp4", sha256="0" * 64))
    assert not list((tmp_path / "clips").glob("*.mp4"))


@pytest.mark.parametrize("fps", [10, 0.5])
def test_noise_has_the_sources_form_and_no_consistency(
    store: LocalStore, clips: Clips, tmp_path: Path, fps: float
) -> None:
    one = source(store, tmp_path, fps)
    path = clips.noise(one, 3)
    found = probe(path)
    assert (found.num_frames, found.width, found.height) == (6, 80, 48)
    assert found.fps == pytest.approx(fps)
    frames = read_mp4_frames(path).mean(axis=-1)
    assert frames.std(axis=(1, 2)).min() > 30, "each frame is noise"
    neighbours = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in pairwise(frames)]
    assert max(map(abs, neighbours)) < 0.1, "and no frame is like the one before"


def test_equal_seeds_give_equal_noise(store: LocalStore, tmp_path: Path) -> None:
    one = source(store, tmp_path)
    found = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        (tmp_path / name).mkdir()
        found.append(Clips(store, tmp_path / name).noise(one, seed).read_bytes())
    assert found[0] == found[1] != found[2]
