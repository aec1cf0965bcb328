"""LOVEU's table is read by its headings or rows; what is wrong with a row costs that row."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.errors import UserError
from components.layouts.loveu import place, read, sought
from tests.benchmark_folders import (
    HEADER,
    KINDS,
    SIZES,
    loveu_row,
    loveu_table,
    write_frames,
    write_loveu,
    write_table,
)


def unpack(root: Path, rows: list[list[str]], *clips: str, frames: int = 32) -> None:
    write_table(root, rows)
    for clip in clips:
        section, _, name = clip.partition(".")
        write_frames(root / section / "480p_frames" / name, frames)


def bare(text: str) -> list[str]:
    return [text, *[""] * 6]


@pytest.mark.parametrize("headings", [True, False])
def test_the_published_table_is_taken_whole(tmp_path: Path, *, headings: bool) -> None:
    write_loveu(tmp_path, frames=1, headings=headings)
    found = read(tmp_path)
    assert found.left_out == []
    sections = [video["id"].partition(".")[0] for video in found.videos]
    assert {name: sections.count(name) for name in SIZES} == SIZES
    video = found.videos[0]
    assert video == {
        "id": "DAVIS_480p.dav-0",
        "uri": "DAVIS_480p/480p_frames/dav-0",
        "prompt": "a dav-0 swims",
        "frames": {"num_frames": 1, "selection": "uniform", "start": 0},
        "edits": [
            {"id": kind, "category": category, "prompt": f"a dav-0 swims, {kind}"}
            for kind, category in zip(
                KINDS, ("style", "object", "background", "other"), strict=True
            )
        ],
    }
    assert "76 clip(s) do not have 32 or 128 frames" in found.remarks[0]


def test_clips_have_their_own_number_of_frames(tmp_path: Path) -> None:
    rows = [bare("DAVIS Videos:"), loveu_row("a"), loveu_row("b")]
    unpack(tmp_path, rows, "DAVIS_480p.a")
    write_frames(tmp_path / "DAVIS_480p/480p_frames/b", 128, size=8)
    for name in ("._00000.jpg", "notes.txt"):  # as macOS leaves them
        (tmp_path / "DAVIS_480p/480p_frames/a" / name).write_bytes(b"x")
    found = read(tmp_path)
    assert [video["frames"]["num_frames"] for video in found.videos] == [32, 128]
    assert found.remarks == []


def test_headings_count_whatever_their_order_and_place(tmp_path: Path) -> None:
    rows = [
        *(loveu_row("early"), bare("VIDEVO videos"), loveu_row("a"), bare("")),
        *(bare("Davis:"), loveu_row("b"), bare("Pexels Videos:"), loveu_row("c")),
    ]
    unpack(tmp_path, rows, "videvo_480p.a", "DAVIS_480p.b", "DAVIS_480p.c", frames=32)
    found = read(tmp_path)
    assert [video["id"] for video in found.videos] == ["videvo_480p.a", "DAVIS_480p.b"]
    early, other = found.left_out
    assert early.startswith("line 2 ('early'): it stands below no heading")
    assert other.startswith("line 9 ('c'): it stands below no heading")


def test_a_bad_row_is_left_out_and_told(tmp_path: Path) -> None:
    no_caption, no_edit, brace = loveu_row("no-caption"), loveu_row("no-edit"), loveu_row("brace")
    no_caption[1], no_edit[3], brace[2] = "", "nan", "{caption} in oil"
    same, none, long = loveu_row("same"), loveu_row("none"), loveu_row("x" * 95)
    same[5] = same[2]
    none[2:6] = ["", "", "{", "x" * 3000]
    rows = [
        bare("DAVIS Videos:"),
        *(loveu_row(name) for name in ("good", "good", "GOOD", "gone", "../good", "/etc", "con")),
        *(no_caption, no_edit, brace, same, none, long, ["", "nameless", *["x"] * 4]),
        ["short", "a row that ends early"],
    ]
    names = ("good", "no-caption", "no-edit", "brace", "same", "none", "short", long[0])
    unpack(tmp_path, rows, *(f"DAVIS_480p.{name}" for name in names))
    (tmp_path / "DAVIS_480p/480p_frames/gone").mkdir()
    found = read(tmp_path)
    kept = {video["id"]: [edit["id"] for edit in video["edits"]] for video in found.videos}
    assert kept == {
        "DAVIS_480p.good": list(KINDS),
        "DAVIS_480p.no-edit": ["style", "background", "multiple"],
        "DAVIS_480p.brace": ["object", "background", "multiple"],
        "DAVIS_480p.same": ["style", "object", "background"],
    }
    told = "\n".join(found.left_out)
    for line in (
        "line 4 ('good'): the name is that of line 3 ('good')",
        "line 5 ('GOOD'): the name is that of line 3 ('good'), or differs only in case",
        "line 6 ('gone'): the folder DAVIS_480p/480p_frames/gone holds no .jpg frames",
        "line 7 ('../good'): the video's name is '../good', but ids are",
        "line 8 ('/etc'): the video's name is '/etc', but ids are",
        "line 9 ('con'): the video's name is 'con', but ids are",
        "line 10 ('no-caption'): it has no caption: fill in 'Our GT caption'",
        "line 11 ('no-edit'), edit object: it has no prompt",
        "line 12 ('brace'), edit style: its prompt holds {caption}, which a manifest would fill in",
        "line 13 ('same'), edit multiple: it has the prompt of edit style",
        "line 14 ('none'), edit multiple: an edit's prompt has 3000 characters",
        "line 14 ('none'): it has no edit that can be taken",
        "line 16 (''): the video's name is empty",
        "line 17 ('short'): it has no edit that can be taken",
    ):
        assert line in told
    assert "but ids are 1 to 100" in next(line for line in found.left_out if "line 15" in line)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"", "lacks"),
        (b"Video name,Our GT caption\nx,y\n", "'Style Change Caption', 'Object Change Caption'"),
        (b'Video name,"Our\n', "is no CSV"),
        (b"x" * (8 << 20) + b"y", "which is the limit"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    if content is not None:
        (tmp_path / "LOVEU-TGVE-2023_Dataset.csv").write_bytes(content)
    with pytest.raises(UserError, match=r"LOVEU-TGVE-2023_Dataset\.csv") as caught:
        read(tmp_path)
    assert said in str(caught.value)


@pytest.mark.parametrize("change", ["shifted", "short"])
def test_neither_headings_nor_the_known_rows_are_refused(tmp_path: Path, change: str) -> None:
    rows = loveu_table(headings=False)
    write_table(tmp_path, rows[1:] if change == "shifted" else rows[:40])
    with pytest.raises(UserError, match="no heading such as 'DAVIS Videos:', and its"):
        read(tmp_path)


def test_blank_lines_do_not_count_as_rows(tmp_path: Path) -> None:
    write_loveu(tmp_path, only=["you-3"], frames=1, headings=False)
    file = tmp_path / "LOVEU-TGVE-2023_Dataset.csv"
    lines = file.read_text("utf-8").splitlines()
    text = "\ufeff\n" + "\n\n".join(lines)
    file.write_text(text.replace("\ufeff\n", "\ufeff"), encoding="utf-8")
    assert [video["id"] for video in read(tmp_path).videos] == ["youtube_480p.you-3"]


def test_all_columns_may_stand_in_any_order(tmp_path: Path) -> None:
    order = [6, 5, 4, 3, 2, 1, 0]
    rows = [bare("DAVIS Videos:"), loveu_row("a")]
    turned = [[row[at] for at in order] for row in rows]
    write_table(tmp_path, turned, [HEADER[at] for at in order])
    write_frames(tmp_path / "DAVIS_480p/480p_frames/a", 32)
    (video,) = read(tmp_path).videos
    assert [edit["prompt"] for edit in video["edits"]] == [f"a a swims, {k}" for k in KINDS]


def test_ids_have_a_place_and_others_none() -> None:
    assert str(place("DAVIS_480p.gold-fish", "style")) == "DAVIS_480p/gold-fish/style"
    assert str(place("videvo_480p.a.b", "multiple")) == "videvo_480p/a.b/multiple"
    for video, edit in (
        *(("gold-fish", "style"), ("DAVIS_480p.", "style"), ("DAVIS_480p", "style")),
        *(("other.gold-fish", "style"), ("DAVIS_480p.gold-fish", "oil")),
        *(("DAVIS_480p.../x", "style"), ("DAVIS_480p.x", "../style"), ("DAVIS_480p..", "style")),
    ):
        assert place(video, edit) is None
    assert sought(["style", "oil"]) == [*KINDS, "oil"]
