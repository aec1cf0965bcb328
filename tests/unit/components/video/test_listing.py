"""Which files below a folder are videos."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.video.listing import find_videos

CLIPS = ["clip1.mp4", "clip2.webm"]


@pytest.mark.parametrize(
    "beside",
    [
        ["clip1.jpg", "clip2.jpg"],
        ["clip1.webp", "clip2.png", "clip1.info.json", "clip1.en.vtt", "clip2.srt"],
        ["thumbs/clip1.jpg", "thumbs/clip2.jpg"],
        ["thumbs/clip1_thumb.jpg", "thumbs/clip2_thumb.jpg"],
        ["cover.jpg", "art/poster.png", "art/back.png"],
        ["0001.png", "0002.png", "0003.png"],
        ["covers/dQw4w9WgXcQ.jpg", "covers/9bZkp7q19f0.jpg"],
        ["clip3.mp4.part", "clip4.webm.crdownload", "clip5.f137.mp4.ytdl", "clip6.mp4.part-Frag3"],
        ["readme", "list.txt", "sound.m4a", "clip1.description"],
    ],
)
def test_what_downloaders_leave_beside_clips_is_no_video(beside: list[str]) -> None:
    found = find_videos([*beside, *CLIPS])
    assert (found.files, found.folders) == (tuple(CLIPS), ())
    (remark,) = found.remarks
    assert remark.startswith(f"{len(beside)} file(s) that are no videos are left out (")


def test_what_is_left_out_is_counted_by_suffix() -> None:
    others = ["a.jpg", "b.JPG", "c.json", "d", "e.jpg", "sub/f.vtt"]
    (remark,) = find_videos([*CLIPS, *others]).remarks
    assert remark == (
        "6 file(s) that are no videos are left out (a.jpg, b.JPG, c.json, …): 3 .jpg, 1 .json, "
        "1 without a suffix, 1 .vtt"
    )


@pytest.mark.parametrize("mark", [".part", ".aria2", ".crdownload", ".ytdl"])
def test_unfinished_downloads_are_left_out_and_told(mark: str) -> None:
    """Firefox and aria2 give a file its name before it is whole."""
    found = find_videos([*CLIPS, f"clip1.mp4{mark}"])
    assert found.files == ("clip2.webm",)
    assert any(
        remark.startswith("1 video(s) are still being downloaded and left out (clip1.mp4): run")
        for remark in found.remarks
    )


@pytest.mark.parametrize(
    ("names", "files", "folders"),
    [
        (["1.png", "2.png"], [], [""]),
        (["1.png", "2.jpg"], [], [""]),
        (["a/1.png", "a/2.png", "b/1.png"], [], ["a", "b"]),
        (["a/1.png", "a/cover.jpg", "a/notes.txt"], [], ["a"]),
        (["a/1.png", "a/2.png", "clip.mp4"], ["clip.mp4"], ["a"]),
        (["a.mp4", "a/1.png", "a/2.png"], ["a.mp4"], ["a"]),
        (["a/b/c/x.mov", "d/e/0001.png", "d/e/0002.png"], ["a/b/c/x.mov"], ["d/e"]),
        (["left_1.png", "left_2.png", "right_1.png"], [], [""]),
        (["a.png", "b.png"], [], [""]),
        (["photo.png"], [], [""]),
        (["artist/cover.jpg", "artist/live/1.png", "artist/live/2.png"], [], ["artist/live"]),
        (["walk1.jpg", "walk2.jpg", "walk1/1.png", "walk2/1.png"], [], ["walk1", "walk2"]),
        # numbered clips, and folders of fewer or more frames than there are clips
        (["1.mp4", "2.mp4", "f/1.png", "f/2.png", "f/3.png"], ["1.mp4", "2.mp4"], ["f"]),
        (
            [f"{i}.mp4" for i in range(9)] + ["f/1.png", "f/2.png"],
            [f"{i}.mp4" for i in range(9)],
            ["f"],
        ),
        ([f"{i}/{j}.png" for i in range(9) for j in range(5)], [], [str(i) for i in range(9)]),
        ([], [], []),
    ],
)
def test_files_and_folders_of_frames_are_videos(
    names: list[str], files: list[str], folders: list[str]
) -> None:
    found = find_videos(names)
    assert (list(found.files), list(found.folders)) == (files, folders)


PARTS = st.sampled_from(["a", "b1", "b2", "001", "002", "x.info", "thumbs"])
NAMES = st.builds(
    lambda parts, suffix: "/".join(parts) + suffix,
    st.lists(PARTS, min_size=1, max_size=3),
    st.sampled_from([".mp4", ".png", ".jpg", ".json", ".part", ".mp4.part", ""]),
)


@given(st.lists(NAMES, unique=True), st.randoms())
def test_every_file_is_a_video_a_frame_or_told(names: list[str], random: object) -> None:
    found = find_videos(names)
    inside = [name for name in names if name.rpartition("/")[0] in found.folders]
    counts = [int(remark.partition(" ")[0]) for remark in found.remarks]
    assert len(found.files) + len(inside) + sum(counts) == len(names)
    assert set(found.files) <= {name for name in names if name.endswith(".mp4")}
    random.shuffle(names)  # type: ignore[attr-defined]
    assert find_videos(names) == found


def test_large_listings_are_judged_quickly() -> None:
    names = [f"{i:05d}/{j:05d}.png" for i in range(4000) for j in range(12)]
    names += [f"clips/{i:05d}.mp4" for i in range(20_000)]
    started = time.process_time()
    found = find_videos(names)
    assert (len(found.folders), len(found.files)) == (4000, 20_000)
    assert time.process_time() - started < 20
