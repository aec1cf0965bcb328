"""V2VBench's index is read by number; what is wrong with a video or edit costs it alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.errors import UserError
from components.layouts.v2vbench import place, read, sought
from tests.benchmark_folders import v2vbench_data, write_frames, write_v2vbench


def test_edits_are_called_by_their_numbers(tmp_path: Path) -> None:
    data = v2vbench_data(["hike", "01"], edits=2)
    data[0]["edit"][1] |= {"category": "style", "unknown": [1, {"deep": []}]}
    data[0]["edit"][0] |= {"category": "weather"}
    del data[1]["prompt"]
    write_v2vbench(tmp_path, data, ["hike", "01"])
    found = read(tmp_path)
    assert found.left_out == []
    assert found.videos[0] == {
        "id": "hike",
        "uri": "videos/hike.mp4",
        "prompt": "a hike on a road",
        "edits": [
            {"id": "0", "category": "other", "prompt": "a hike on a road, number 0"},
            {"id": "1", "category": "style", "prompt": "a hike on a road, number 1"},
        ],
    }
    assert (found.videos[1]["id"], "prompt" in found.videos[1]) == ("01", False)


def test_clips_may_be_folders_of_pictures_and_gifs(tmp_path: Path) -> None:
    write_v2vbench(tmp_path, v2vbench_data(["a", "b", "c", "d"]), ["a", "d"])
    write_frames(tmp_path / "videos/a", 2)  # their reader takes the folder first
    (tmp_path / "videos/b.gif").write_bytes(b"GIF89a")
    write_frames(tmp_path / "frames/c", 2)
    write_frames(tmp_path / "frames/d", 2)
    uris = [video["uri"] for video in read(tmp_path).videos]
    assert uris == ["videos/a", "videos/b.gif", "frames/c", "videos/d.mp4"]


def test_a_bad_video_or_edit_is_left_out_and_told(tmp_path: Path) -> None:
    names = ["good", "gone", "../good", "good", "Good", "list", "long", "edits", "prompt"]
    data: list[Any] = [*v2vbench_data(names), "text", {"video_id": 7, "edit": []}, {"edit": []}]
    data[5]["edit"] = "none"
    data[6]["edit"] *= 400
    data[7]["edit"] = [
        *(data[7]["edit"][0], {}, {"prompt": ["x"]}, {"prompt": 5}, {"prompt": "{x}"}, "text"),
        *(data[7]["edit"][0], {"prompt": "\x1b[2J"}, {"prompt": "the last"}),
    ]
    data[8]["prompt"] = {"a": "b"}
    write_v2vbench(tmp_path, data, ["good", "list", "long", "edits", "prompt"])
    found = read(tmp_path)
    kept = {video["id"]: [edit["id"] for edit in video["edits"]] for video in found.videos}
    assert kept == {"good": ["0", "1", "2"], "edits": ["0", "8"]}
    told = "\n".join(found.left_out)
    for line in (
        "('gone'): neither videos/gone.mp4 nor .gif",
        "('../good'): the video's name is '../good', but ids are",
        "('good'): the name is that of line 2 ('good')",
        "('Good'): the name is that of line 2 ('good'), or differs only in case",
        "('list'): it has no list edit:",
        "('long'): it has 1200 edits, but the limit is 1000",
        "('edits'), edit 1: it has no prompt",
        "('edits'), edit 2: an edit's prompt is a list (list), but must be text",
        "('edits'), edit 3: an edit's prompt is 5 (int), but must be text",
        "('edits'), edit 4: the prompt '{x}' holds",
        "('edits'), edit 5: it has no prompt",
        "('edits'), edit 6: it has the prompt of edit 0",
        "('edits'), edit 7: an edit's prompt holds the control character U+001B",
        "('prompt'): the prompt of video 'prompt' is a dict (dict), but must be text",
        "(7): the video's name is 7 (int), but must be text",
        "(None): the video's name is missing",
    ):
        assert line in told
    assert "\x1b" not in told


def test_two_of_a_name_on_one_line_are_told(tmp_path: Path) -> None:
    write_v2vbench(tmp_path, [], ["a"])
    video = "{video_id: a, edit: [{prompt: a dog}]}"
    (tmp_path / "config.yaml").write_text(f"data: [{video}, {video}]\n", encoding="utf-8")
    found = read(tmp_path)
    assert [len(found.videos), len(found.left_out)] == [1, 1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read"),
        ("data: [", "is no YAML"),
        ("data: !!python/object:os.system {}", "is no YAML"),
        ("- a", "holds no list data:"),
        ("data: {a: 1}", "holds no list data:"),
        ("data: [{video_id: a, video_id: b}]", "'video_id' is given twice"),
        (f"data: {'[' * 40}{']' * 40}", "nested deeper"),
    ],
)
def test_an_index_that_cannot_be_read_is_refused(
    tmp_path: Path, text: str | None, said: str
) -> None:
    if text is not None:
        (tmp_path / "config.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"config\.yaml") as caught:
        read(tmp_path)
    assert said in str(caught.value)


def test_ids_have_a_place_and_others_none() -> None:
    assert str(place("hike", "0")) == "hike/0.mp4"
    for video, edit in (
        *(("hike", "00"), ("hike", "-1"), ("hike", "x"), ("hike", "1000"), ("hike", "1/2")),
        *(("../hike", "0"), ("/hike", "0"), ("", "0"), ("hike", "٣")),
    ):
        assert place(video, edit) is None
    assert sought(["3", "oil", "1"]) == ["3", "oil", "1", "0", "2"]
    assert sought([]) == []
