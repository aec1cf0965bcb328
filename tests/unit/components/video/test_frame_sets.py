"""Which pictures of a folder are the clip."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import SourceError
from components.video.frame_sets import choose_frames, natural_key

FRAMES = [f"{i:05d}.png" for i in range(12)]


@pytest.mark.parametrize(
    "beside",
    [
        ["cover.jpg"],
        ["cover.png"],
        ["folder.jpg", "poster.webp", "Thumbs.db", "notes.txt"],
        ["preview1.jpg"],
        ["00003.jpg"],
        ["thumb_2.png", "aaa.png", "zzz.png"],
        [f"{i:05d}_mask.png" for i in range(12)],
        [f"{i:05d}_mask.jpg" for i in range(5)],
        [f"{i:05d} (1).png" for i in range(3)] + [f"{i:05d}.depth.png" for i in range(12)],
    ],
)
def test_what_lies_beside_the_set_is_left_out_and_told(beside: list[str]) -> None:
    found = choose_frames("set", [*beside, *FRAMES])
    assert found.names == tuple(FRAMES)
    first = min(beside, key=natural_key)
    (remark,) = found.remarks
    assert remark.startswith(f"{len(beside)} file(s) beside 12 frame(s) left out: {first}")


@pytest.mark.parametrize(
    "names",
    [
        FRAMES,
        [*FRAMES, "._00001.png", ".DS_Store", ".cover.jpg"],
        [f"frame{i}.jpg" for i in range(7, 31)],
        [f"frame{i}.jpg" for i in range(0, 50, 5)],
        [f"frame{i}.jpeg" if i % 2 else f"FRAME{i}.JPG" for i in range(1, 9)],
        ["-2.png", "-1.png", "0.png", "1.png"],
        ["1403636579763555584.png", "1403636579813555584.png", "1403636579863555584.png"],
        ["00-00-58.png", "00-00-59.png", "00-01-00.png"]
        + [f"00-02-{i:02d}.png" for i in range(60)],
        [f"2024-01-{d:02d} 10.{m:02d}.00.png" for d in (1, 2) for m in range(60)],
        [f"2024-0{m}-{d:02d}.png" for m in (1, 2) for d in range(1, 28)],
        [f"20240101_2359{s:02d}.png" for s in range(60)] + ["20240102_000000.png"],
        [f"t={i // 4}.{25 * (i % 4):02d}.png" for i in range(12)],
        ["1305031102.175304.png", "1305031102.211214.png", "1305031103.211214.png"],
        [f"shot{i // 5}_{i:04d}.png" for i in range(10)],
        [f"v2_frame{i}.tif" for i in range(1, 5)],
        ["only.png"],
        ["0.png"],
    ],
)
def test_sets_are_read_in_the_order_of_their_numbers(names: list[str]) -> None:
    found = choose_frames("set", sorted(names, reverse=True))
    assert found.names == tuple(name for name in names if not name.startswith("."))
    assert not [remark for remark in found.remarks if "left out" in remark]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["left_1.png", "left_2.png", "right_1.png", "right_2.png"], "2 left_#.png, 2 right_#.png"),
        (["frame0.jpg", "frame0.png"], "1 frame#.jpg, 1 frame#.png"),
        ([f"{i}.{end}" for i in range(9) for end in ("jpg", "png")], "9 #.jpg, 9 #.png"),
        (["mask_1.png", "mask_2.png", "1.png", "2.png"], r"2 sets of pictures .*move the others"),
        (["cam0_1.png", "cam0_2.png", "cam1_1.png", "cam1_2.png"], r"several sequences .*cam1_1"),
        ([f"s{i}_e{j}_{k}.png" for i in (1, 2) for j in (1, 2) for k in (1, 2)], "several seq"),
        ([*FRAMES, "1.png"], r"00001\.png and set/1\.png have one number"),
        ([*FRAMES, "00001.PNG"], r"set/00001\.(png|PNG) and set/00001\.(png|PNG) have one number"),
        (["0001.jpg", "0001.jpeg", "0002.jpg"], r"have one number: keep one"),
        (["0.5.png", "0.25.png", "1.0.png"], r"whose order is unclear: give all fractions one len"),
        (["3fa.png", "b7c.png", "c9d.png"], r"3 sets of pictures .*numbered \(0001\.png"),
        (["notes.txt", ".1.png", "clip.mp4"], r"holds 0 frames: .* end in \.png, .*\.bmp, \.tif"),
        ([], "holds 0 frames"),
    ],
)
def test_what_is_ambiguous_is_refused_with_its_names(names: list[str], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        choose_frames("set", names)


@pytest.mark.parametrize(
    ("names", "remark"),
    [
        (["1.png", "2.png", "4.png", "5.png"], r"jump in 1 place\(s\), after 2\.png: "),
        ([f"f{i}.jpg" for i in (0, 5, 10, 20, 25, 40)], r"in 2 place\(s\), after f10\.jpg, f25"),
        ([f"f{i}.jpg" for i in (1, 2, 4, 5, 9, 10, 12, 13, 99)], r"f2\.jpg, f5\.jpg, f10\.jpg, …"),
        (["a.png", "b.png", "c.png"], "no numbers in their names: they are in alphabetical order"),
        (["a\n.png", *FRAMES], r"left out: 'a\\n\.png'"),
    ],
)
def test_gaps_and_missing_numbers_are_told(names: list[str], remark: str) -> None:
    (found,) = choose_frames("set", names).remarks
    assert re.search(remark, found), found


def test_plain_names_are_a_set_without_their_companions() -> None:
    names = ["a.png", "b.png", "a_mask.png", "b_mask.png", "cover.jpg"]
    assert choose_frames("set", names).names == ("a.png", "b.png")


@given(
    st.lists(st.integers(0, 10**6), unique=True, min_size=2),
    st.sampled_from(["{}.png", "frame_{}.jpg", "Take 2 {:07d}.webp", "x{}y.bmp"]),
    st.randoms(),
)
def test_sets_of_one_pattern_keep_the_order_of_version_1(
    numbers: list[int], pattern: str, random: Any
) -> None:
    names = [pattern.format(number) for number in numbers]
    expected = tuple(sorted(names, key=natural_key))
    random.shuffle(names)
    assert choose_frames("set", names).names == expected


@given(st.lists(st.text("ab01_-. #", min_size=1, max_size=9).map("{}.png".format), unique=True))
def test_every_picture_is_a_frame_or_told(names: list[str]) -> None:
    try:
        found = choose_frames("set", names)
    except SourceError:
        return
    visible = [name for name in names if not name.startswith(".")]
    assert set(found.names) <= set(visible)
    left = len(visible) - len(found.names)
    told = [remark for remark in found.remarks if remark.startswith(f"{left} file(s)")]
    assert len(told) == (1 if left else 0)


def test_many_pictures_are_judged_quickly() -> None:
    names = [f"{i:x}{'abc'[i % 3]}{i}.png" for i in range(50_000)]
    started = time.process_time()
    with pytest.raises(SourceError, match="sets of pictures"):
        choose_frames("set", names)
    assert time.process_time() - started < 10
