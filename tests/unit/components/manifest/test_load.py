"""Manifests of every format, folders of videos, and saved manifests."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from components.manifest.edits import default_name
from components.manifest.fields import valid_id
from components.manifest.load import (
    EditEntry,
    Manifest,
    ManifestError,
    VideoEntry,
    load_manifest,
)
from components.storage import address
from components.video.sources import fetch_source
from tests.manifest_files import problems, write
from tests.sample_videos import write_folder

YAML = """\
videos:
  - id: rabbit
    uri: videos/a rabbit.mp4
    mask: m/a rabbit
    prompt: a rabbit is eating a watermelon
    frames: {num_frames: 8, selection: stride, start: 1, stride: 2}
    edits:
      - {id: puppy, category: object, replace: {rabbit: puppy}}
      - {id: cartoon, category: style, prompt: "{caption}, cartoon style"}
  - id: car
    uri: s3://bucket/car.mp4
    edits:
      - prompt: a car on the beach
"""


JSONL = """\
{"id": "rabbit", "uri": "videos/a rabbit.mp4", "mask": "m/a rabbit", \
"prompt": "a rabbit is eating a watermelon", \
"frames": {"num_frames": 8, "selection": "stride", "start": 1, "stride": 2}, "edits": \
[{"id": "puppy", "category": "object", "replace": {"rabbit": "puppy"}}, \
{"id": "cartoon", "category": "style", "prompt": "{caption}, cartoon style"}]}

{"id": "car", "uri": "s3://bucket/car.mp4", "edits": [{"prompt": "a car on the beach"}]}
"""


CSV = """\
id,uri,mask,prompt,edit_id,category,edit_prompt,replace,num_frames,selection,start,stride
rabbit,videos/a rabbit.mp4,m/a rabbit,a rabbit is eating a watermelon,puppy,object,,rabbit=puppy,8,stride,1,2
car,s3://bucket/car.mp4,,,,,a car on the beach,,,,,
rabbit,,,,cartoon,style,"{caption}, cartoon style",,,,,
"""  # noqa: E501 - a table


def expected(folder: Path) -> Manifest:
    rabbit = VideoEntry(
        video_id="rabbit",
        uri=f"{folder}/videos/a rabbit.mp4",
        mask=f"{folder}/m/a rabbit",
        prompt="a rabbit is eating a watermelon",
        video={"num_frames": 8, "selection": "stride", "start": 1, "stride": 2},
        edits=(
            EditEntry(name="puppy", category="object", replace={"rabbit": "puppy"}),
            EditEntry(name="cartoon", category="style", prompt="{caption}, cartoon style"),
        ),
    )
    name = default_name("a car on the beach", None)
    car = VideoEntry(
        video_id="car",
        uri="s3://bucket/car.mp4",
        edits=(EditEntry(name=name, category="other", prompt="a car on the beach"),),
    )
    return Manifest(name="set", videos=(rabbit, car))


@pytest.mark.parametrize(
    ("suffix", "content"),
    [(".yaml", YAML), (".yml", YAML), (".jsonl", JSONL), (".csv", CSV), (".csv", "\ufeff" + CSV)],
)
def test_every_text_format_says_the_same(tmp_path: Path, suffix: str, content: str) -> None:
    assert load_manifest(write(tmp_path, f"set{suffix}", content)) == expected(tmp_path)


def test_json_says_the_same(tmp_path: Path) -> None:
    videos = [json.loads(line) for line in JSONL.splitlines() if line]
    path = write(tmp_path, "set.json", json.dumps({"videos": videos}, indent=1))
    assert load_manifest(path) == expected(tmp_path)


def test_json_escapes_are_read_as_json_means_them(tmp_path: Path) -> None:
    prompt = r"a \U0001F600 \\\\ud83d\\ude00 🎈🎈"
    rows = [{"id": "a", "uri": "/a.mp4", "prompt": prompt}]
    path = write(tmp_path, "set.json", json.dumps({"videos": rows}))
    assert load_manifest(path).videos[0].prompt == prompt


def test_parquet_says_the_same_and_counts_rows(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet as pq

    source = write(tmp_path, "source.csv", CSV)
    table = pyarrow.csv.read_csv(source)  # empty cells become nulls, frame numbers integers
    assert table.schema.field("num_frames").type == pa.int64()
    pq.write_table(table, tmp_path / "set.parquet")
    assert load_manifest(f"{tmp_path}/set.parquet") == expected(tmp_path)
    bad = pa.table({"id": ["a", "a/b"], "uri": ["a.mp4", "b.mp4"], "start": [0, -1]})
    pq.write_table(bad, tmp_path / "bad.parquet")
    lines = problems(f"{tmp_path}/bad.parquet")
    assert [line[:6] for line in lines] == ["row 2:", "row 2:"]
    assert "must be at least 0" in lines[1]


def test_lines_are_those_of_the_file(tmp_path: Path) -> None:
    for suffix, content, lines in [(".yaml", YAML, [2, 10]), (".jsonl", JSONL, [1, 3])]:
        manifest = load_manifest(write(tmp_path, f"set{suffix}", content))
        assert [entry.line for entry in manifest.videos] == lines


def test_common_edits_go_to_every_video_after_its_own(tmp_path: Path) -> None:
    text = YAML + "edits:\n  - {id: snow, category: background, prompt: '{caption}, in snow'}\n"
    manifest = load_manifest(write(tmp_path, "set.yaml", text))
    names = [[edit.name for edit in entry.edits] for entry in manifest.videos]
    assert names == [["puppy", "cartoon", "snow"], [names[1][0], "snow"]]


def test_a_folder_of_videos_is_a_manifest(tmp_path: Path) -> None:
    folder = tmp_path / "my videos"
    write_folder(folder / "walk_frames", ["1.png"])
    for name in ["walk.mp4", "my walk.mp4", "sub/walk.webm", "sub/run.v2.mov"]:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    manifest = load_manifest(str(folder))
    assert manifest.name == "my-videos"
    ids = {
        Path(entry.uri).relative_to(folder).as_posix(): entry.video_id for entry in manifest.videos
    }
    assert ids["walk.mp4"] == "walk"
    assert ids["walk_frames"] == "walk_frames"
    assert ids["my walk.mp4"].startswith("my-walk-")
    assert ids["sub/walk.webm"].startswith("sub-walk-")
    assert all(valid_id(name) for name in ids.values())
    assert all(entry.edits == () and entry.line is None for entry in manifest.videos)
    (folder / "edits.yaml").write_text("edits:\n  - {id: snow, prompt: '{caption}, in snow'}\n")
    edited = load_manifest(folder.as_uri())
    assert {entry.edits[0].name for entry in edited.videos} == {"snow"}
    assert {entry.video_id for entry in edited.videos} == set(ids.values())
    (folder / "edits.yaml").write_text("edits:\n  - {id: snow}\nvideos: []\n")
    with pytest.raises(ManifestError, match=r"edits\.yaml: 1 problem.*\n.*line 1: must hold edits"):
        load_manifest(str(folder))
    (folder / "edits.yaml").write_text("edits:\n  - {id: snow}\n")
    with pytest.raises(ManifestError, match=r"edits\.yaml.*\n.*line 2: .*prompt or replace"):
        load_manifest(str(folder))


def test_of_a_downloaders_folder_only_the_clips_are_videos(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for clip in ("One [abc1].mp4", "Two [xyz2].mp4"):
        for end in ("", ".jpg", ".info.json", ".en.vtt"):
            (tmp_path / (clip if not end else clip.replace(".mp4", end))).touch()
    (tmp_path / "Three.mp4.part").touch()
    (tmp_path / ".cache").touch()
    (tmp_path / "edits.yaml").write_text("edits: [{id: snow, prompt: '{caption}, in snow'}]")
    manifest = load_manifest(str(tmp_path))
    assert [Path(entry.uri).name for entry in manifest.videos] == [
        "One [abc1].mp4",
        "Two [xyz2].mp4",
    ]
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage() == (
        f"{tmp_path}: 7 file(s) that are no videos are left out (One [abc1].en.vtt, One "
        "[abc1].info.json, One [abc1].jpg, …): 2 .vtt, 2 .json, 2 .jpg, 1 .part"
    )
    caplog.clear()
    (tmp_path / "more").mkdir()
    assert load_manifest(str(write_folder(tmp_path / "more" / "frames", ["1.png"]))).videos
    assert not caplog.records


@pytest.mark.parametrize("uri", ["..", "../../set/", ".././../set"])
def test_ids_do_not_depend_on_how_the_folder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    folder = tmp_path / "set"
    write_folder(folder / "sub" / "frames", ["1.png"])
    (folder / "walk.mp4").touch()
    expected = load_manifest(str(folder))
    assert [entry.video_id for entry in expected.videos][1] == "walk"
    monkeypatch.chdir(folder / "sub")
    assert load_manifest(uri) == expected


def test_frames_beside_their_own_clip_may_not_share_its_id(tmp_path: Path) -> None:
    write_folder(tmp_path / "walk", ["1.png", "2.png"])
    (tmp_path / "walk.mp4").touch()
    (line,) = problems(str(tmp_path))
    assert "'walk' is used twice" in line
    assert line.count("walk.mp4") == 1


def test_two_videos_of_a_folder_may_not_share_an_id(tmp_path: Path) -> None:
    for name in ("a.mp4", "a.webm"):
        (tmp_path / name).touch()
    (line,) = problems(str(tmp_path))
    assert "'a' is used twice" in line
    assert "a.mp4" in line
    assert "a.webm" in line


def test_size_is_bounded_before_parsing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = write(tmp_path, "set.yaml", YAML)
    monkeypatch.setattr("components.syntax.document.MAX_BYTES", 100)
    assert f"has {len(YAML)} bytes, but the limit is 100: split it" in problems(uri)[0]


def test_an_address_is_parsed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []

    def count(uri: str) -> Any:
        parsed.append(uri)
        return split(uri)

    split = address._split
    monkeypatch.setattr(address, "_split", count)
    rows = "".join(json.dumps({"id": f"v{i}", "uri": f"{i}.mp4"}) + "\n" for i in range(3))
    path = write(tmp_path, "set.jsonl", rows)
    load_manifest(path)
    assert parsed == [path, str(tmp_path), "0.mp4", "1.mp4", "2.mp4"]
    parsed.clear()
    file = write_folder(tmp_path / "frames", ["1.png"])
    fetch_source(str(file), tmp_path)
    assert parsed == [str(file)]


def test_honest_aliases_are_expanded(tmp_path: Path) -> None:
    first_video = "  - {id: a, uri: a.mp4, edits: &e [{prompt: x}]}\n"
    text = "videos:\n" + first_video + "  - {id: b, uri: b.mp4, edits: *e}\n"
    first, second = load_manifest(write(tmp_path, "set.yaml", text)).videos
    assert first.edits == second.edits


def test_a_large_manifest_is_read_in_seconds(tmp_path: Path) -> None:
    row: dict[str, Any] = {"uri": "s3://b/v.mp4", "frames": {"num_frames": 8}}
    row["edits"] = [{"id": f"e{i}", "prompt": f"{{caption}}, style {i}"} for i in range(4)]
    rows = "\n".join(json.dumps({"id": f"v{i}", **row}) for i in range(20_000))
    started = time.process_time()
    assert len(load_manifest(write(tmp_path, "set.jsonl", rows)).videos) == 20_000
    assert time.process_time() - started < 100


def test_the_module_loads_quickly_and_without_heavy_libraries() -> None:
    code = (
        "import sys, components.manifest.load;"
        "print(sorted({'av', 'boto3', 'numpy', 'pyarrow', 'pydantic', 'ray', 'torch'}"
        " & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_relative_addresses_begin_at_the_root_that_the_run_gives(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    uri = write(
        tmp_path,
        "set.jsonl",
        '{"id": "a", "uri": "a", "mask": "m/a"}\n{"id": "b", "uri": "/b.mp4"}\n',
    )
    one, other = load_manifest(uri, str(tmp_path / "data")).videos
    assert (one.uri, one.mask) == (f"{tmp_path}/data/a", f"{tmp_path}/data/m/a")
    assert other.uri == "/b.mp4"
    assert load_manifest(uri, "s3://bucket/data/").videos[0].uri == "s3://bucket/data/a"
    assert load_manifest(uri, f"file://{tmp_path}/data").videos[0].uri == f"{tmp_path}/data/a"
    assert load_manifest(uri).videos[0].uri == f"{tmp_path}/a"
