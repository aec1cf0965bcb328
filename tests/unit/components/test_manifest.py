"""Manifests of every format, and everything that the linter must catch."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.edits import MAX_PROMPT_CHARS, default_name
from components.errors import ItemError, UserError
from components.manifest import (
    Category,
    EditEntry,
    Manifest,
    ManifestError,
    VideoEntry,
    expand_edit,
    from_document,
    load_manifest,
    to_document,
)
from components.manifest_lint import valid_id
from tests.sample_videos import write_folder

YAML = """\
videos:
  - id: rabbit
    uri: videos/a rabbit.mp4
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
{"id": "rabbit", "uri": "videos/a rabbit.mp4", "prompt": "a rabbit is eating a watermelon", \
"frames": {"num_frames": 8, "selection": "stride", "start": 1, "stride": 2}, "edits": \
[{"id": "puppy", "category": "object", "replace": {"rabbit": "puppy"}}, \
{"id": "cartoon", "category": "style", "prompt": "{caption}, cartoon style"}]}

{"id": "car", "uri": "s3://bucket/car.mp4", "edits": [{"prompt": "a car on the beach"}]}
"""
CSV = """\
id,uri,prompt,edit_id,category,edit_prompt,replace,num_frames,selection,start,stride
rabbit,videos/a rabbit.mp4,a rabbit is eating a watermelon,puppy,object,,rabbit=puppy,8,stride,1,2
car,s3://bucket/car.mp4,,,,a car on the beach,,,,,
rabbit,,,cartoon,style,"{caption}, cartoon style",,,,,
"""


def expected(folder: Path) -> Manifest:
    rabbit = VideoEntry(
        video_id="rabbit",
        uri=f"{folder}/videos/a rabbit.mp4",
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


def write(folder: Path, name: str, content: str | bytes) -> str:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def problems(uri: str) -> list[str]:
    """The lines of the error that a manifest is refused with."""
    with pytest.raises(ManifestError) as caught:
        load_manifest(uri)
    first, *lines = str(caught.value).splitlines()
    assert first.startswith(uri)
    assert first.endswith("problem(s) in the manifest")
    return [line.strip() for line in lines]


def yaml_problems(folder: Path, text: str) -> list[str]:
    return problems(write(folder, "set.yaml", text))


@pytest.mark.parametrize(
    ("suffix", "content"),
    [(".yaml", YAML), (".yml", YAML), (".jsonl", JSONL), (".csv", CSV), (".csv", "\ufeff" + CSV)],
)
def test_every_text_format_says_the_same(tmp_path: Path, suffix: str, content: str) -> None:
    assert load_manifest(write(tmp_path, f"set{suffix}", content)) == expected(tmp_path)


def test_json_is_yaml(tmp_path: Path) -> None:
    videos = [json.loads(line) for line in JSONL.splitlines() if line]
    path = write(tmp_path, "set.json", json.dumps({"videos": videos}, indent=1))
    assert load_manifest(path) == expected(tmp_path)


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
    for suffix, content, lines in [(".yaml", YAML, [2, 9]), (".jsonl", JSONL, [1, 3])]:
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


def test_two_videos_of_a_folder_may_not_share_an_id(tmp_path: Path) -> None:
    for name in ("a.mp4", "a.webm"):
        (tmp_path / name).touch()
    (line,) = problems(str(tmp_path))
    assert "'a' is used twice" in line
    assert "a.mp4" in line
    assert "a.webm" in line


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("videos:\n  - {id: a, uri: a.mp4}\n  - {id: a, uri: b.mp4}", 3, "'a' is used twice"),
        ("videos:\n  - id: a\n    uri: a.mp4\n    id: b", 4, "the key 'id' is given twice"),
        ("videos:\n  - {id: a}", 2, "the uri of video 'a' is missing"),
        ("videos:\n  - {uri: a.mp4}", 2, "a video's id is missing"),
        ("videos:\n  - {id: 12, uri: a.mp4}", 2, r"is 12 \(int\), but must be text: .* quotes"),
        ("videos:\n  - {id: 2020-01-01, uri: a.mp4}", 2, r"\(date\)"),
        ("videos:\n  - {id: a, uri: 'ftp://h/a.mp4'}", 2, "unknown scheme 'ftp'"),
        ("videos:\n  - {id: a, uri: 's3:///a.mp4'}", 2, "names no bucket"),
        ("videos:\n  - {id: a, uri: 'file://a.mp4'}", 2, "is no absolute address"),
        ("videos:\n  - {id: a, uri: ''}", 2, "the uri of video 'a' is empty"),
        ('videos:\n  - {id: a, uri: "a\\0.mp4"}', 2, r"control character U\+0000"),
        ("videos:\n  - id: a\n    uri: a.mp4\n    prompt: ''", 4, "prompt of video 'a' is empty"),
        ("videos:\n  - id: a\n    uri: a.mp4\n    prompt:", 4, "prompt of video 'a' is missing"),
        (
            "videos:\n  - {id: a, uri: a.mp4, promt: x}",
            2,
            "'promt' in a video; did you mean 'prompt'",
        ),
        ("vidoes: []", 1, "'vidoes' in the manifest; did you mean 'videos'"),
        ("videos:\n  - {id: a, uri: a.mp4, edits: {prompt: x}}", 2, "must be a list"),
        ("videos:\n  - a.mp4", 2, "a video is a str, but must be a mapping"),
        ("videos:\n  - {1: x, id: a, uri: a.mp4}", 2, "a key is of type int"),
        (
            "videos:\n  - id: a\n    uri: a.mp4\n    frames: {num_frames: 0}",
            4,
            "must be at least 1",
        ),
        ("videos:\n  - id: a\n    uri: a.mp4\n    frames: {fit: zoom}", 4, "'crop', 'pad' or"),
        (
            "videos:\n  - id: a\n    uri: a.mp4\n    frames: {start: true}",
            4,
            "start .* of type bool",
        ),
        ("videos:\n  - id: a\n    uri: a.mp4\n    frames: {frames: 3}", 4, "unknown key 'frames'"),
        ("videos: [}", 1, "is no YAML"),
        ("videos:\n\t- x", 2, "is no YAML"),
        ("videos: !!python/object/apply:os.system [ls]", 1, "must be|names 0|is no YAML"),
        ("videos: !!python/name:os.system x", 1, "is no YAML: could not determine a constructor"),
        (f"videos: {'[' * 500}{']' * 500}", 1, "nested deeper than"),
        (f"videos: [{{id: a, uri: {'9' * 5000}}}]", 1, "no usable value"),
    ],
)
def test_each_problem_is_named_with_its_line(
    tmp_path: Path, text: str, line: int, message: str
) -> None:
    lines = yaml_problems(tmp_path, text)
    found = [one for one in lines if re.search(message, one)]
    assert found, lines
    assert found[0].startswith(f"line {line}:") or (line == 1 and "names 0" in found[0])


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ("{id: e}", "needs either prompt or replace, not both or none"),
        ("{id: e, prompt: x, replace: {a: b}}", "needs either prompt or replace, not both or none"),
        ("{id: e, prompt: ''}", "an edit's prompt is empty"),
        ("{id: e, prompt: '   '}", "an edit's prompt is empty"),
        ("{id: e, prompt: 7}", "must be text"),
        (f"{{id: e, prompt: {'x' * 2001}}}", "has 2001 characters, but the limit is 2000"),
        ('{id: e, prompt: "a\\x07b"}', r"control character U\+0007"),
        ('{id: e, prompt: "a\\nb"}', r"control character U\+000A"),
        ('{id: e, prompt: "a\\u202Eb"}', r"control character U\+202E"),
        ("{id: e, prompt: '{caption.__class__}'}", r"the only placeholder is \{caption\}"),
        ("{id: e, prompt: 'a {word}'}", r"the only placeholder is \{caption\}"),
        ("{id: e, prompt: x, category: objekt}", "unknown category 'objekt': use object"),
        ("{id: e, prompt: x, category: [style]}", "unknown category a list"),
        ("{id: e, prompt: x, kategory: style}", "did you mean 'category'"),
        ("{id: e, replace: {}}", "must map 1 to 20 words"),
        ("{id: e, replace: rabbit}", "must map 1 to 20 words"),
        ("{id: e, replace: {a: ''}}", "what replaces 'a' is empty"),
        ("{id: e, replace: {a: b, A: c}}", "names 'A' twice"),
        ("{id: ../e, prompt: x}", r"an edit's id is '\.\./e'"),
        ("{id: f, prompt: y}", "the same id 'f', the first .line 5.: keep one"),
        ("{id: g, prompt: y}", "the same prompt 'y', the first .line 5.: keep one"),
    ],
)
def test_each_problem_of_an_edit_is_named(tmp_path: Path, edit: str, message: str) -> None:
    start = "videos:\n  - id: a\n    uri: a.mp4\n    edits:\n      - {id: f, prompt: y}\n"
    (line,) = yaml_problems(tmp_path, f"{start}      - {edit}\n")
    assert line.startswith("line 6: ")
    assert re.search(message, line), line


@pytest.mark.parametrize(
    "name",
    ["../a", "a/b", "/a", ".a", "-a", "_a", "a b", "a..b", "", "ä", "a\n", "a" * 101, "a\\b"],
)
def test_ids_that_are_no_safe_path_are_refused(tmp_path: Path, name: str) -> None:
    assert not valid_id(name)
    row = json.dumps({"id": name, "uri": "a.mp4"})
    assert any("a video's id" in line for line in problems(write(tmp_path, "set.jsonl", row)))


@pytest.mark.parametrize("name", ["a", "0", "a.b", "a-b_c.mp4", "A" * 100])
def test_plain_ids_are_taken(name: str) -> None:
    assert valid_id(name)


def test_all_problems_are_told_at_once_and_in_order(tmp_path: Path) -> None:
    rows = [f"  - {{id: v{i}, uri: 'x://{i}'}}" for i in range(250)]
    lines = yaml_problems(tmp_path, "\n".join(["videos:", *rows]))
    assert len(lines) == 101
    assert lines[0].startswith("line 2: unknown scheme")
    assert lines[99].startswith("line 101:")
    assert lines[100] == "and 150 more"


def test_bad_lines_of_jsonl_are_named_and_the_others_still_judged(tmp_path: Path) -> None:
    rows = [
        '{"id": "a", "uri": "a.mp4"}',
        '{"id": "b", "uri": ',
        '{"id": "c", "id": "d", "uri": "c.mp4"}',
        '{"id": "e", "uri": NaN}',
        f"{'[' * 100_000}",
        '{"id": "a", "uri": "f.mp4"}',
        '{"id": "g\u2028", "uri": "g.mp4"}',
    ]
    lines = problems(write(tmp_path, "set.jsonl", "\n".join(rows)))
    assert [line.split(":")[0] for line in lines] == [f"line {n}" for n in (2, 3, 4, 5, 6, 7)]
    assert "the key 'id' is given twice" in lines[1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,uri,promt\na,a.mp4,x\n", "line 1: unknown column 'promt'; did you mean 'prompt'?"),
        ("id,id,uri\na,a,a.mp4\n", "line 1: the column 'id' is given twice: keep one"),
        ("id,uri\na,a.mp4,x\n", "line 2: has 3 cells, but the header has 2: quote cells"),
        ('id,uri\na,"a.mp4\n', "line 2: is no CSV: unexpected end of data"),
        ("id,uri\na,a.mp4\na,b.mp4\n", "line 3: the video's uri is not that of line 2"),
        ("id,uri,replace\na,a.mp4,rabbit\n", "line 2: replace holds 'rabbit': write"),
        ("id,uri,replace\na,a.mp4,x=y;x=z\n", "line 2: replace holds 'x=z': write distinct"),
        ("id,uri,num_frames\na,a.mp4,many\n", "line 2: the frames of video 'a': num_frames"),
        ("id,uri\n,a.mp4\n", "line 2: a video's id is missing"),
        ("id,uri,edit_prompt\na,a.mp4,x\na,,x\n", "line 3: two of the edits of video 'a'"),
    ],
)
def test_each_problem_of_csv_is_named(tmp_path: Path, text: str, message: str) -> None:
    lines = problems(write(tmp_path, "set.csv", text))
    assert any(line.startswith(message) for line in lines), lines


def test_a_quoted_cell_may_span_lines(tmp_path: Path) -> None:
    text = 'id,uri,prompt\na,a.mp4,"one\ntwo"\nb,b.mp4,three\n'
    (line,) = problems(write(tmp_path, "set.csv", text))
    assert line.startswith("line 2: the prompt of video 'a' holds the control character U+000A")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.yaml", b"", "the manifest is empty"),
        ("none.yaml", b"videos: []", "names 0 videos"),
        ("empty.jsonl", b"\n\n", "names 0 videos"),
        ("empty.csv", b"id,uri\n", "names 0 videos"),
        ("text.parquet", b"no parquet", "is no readable Parquet"),
        ("latin.yaml", b"videos:\n  - {id: a, uri: \xe9.mp4}", "line 2: is not UTF-8"),
        ("nul.yaml", b"videos:\n  - {id: a, uri: \0.mp4}", "is no YAML"),
        ("set.txt", b"x", "has the suffix '.txt', but manifests end in"),
    ],
)
def test_files_that_are_no_manifest_are_refused(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    assert any(message in line for line in problems(write(tmp_path, name, content)))


def test_absent_and_empty_places_are_refused(tmp_path: Path) -> None:
    for suffix in (".yaml", ""):
        assert "does not exist" in problems(f"{tmp_path}/gone{suffix}")[0]
    assert "holds 0 videos" in problems(str(tmp_path))[0]
    with pytest.raises(UserError, match="unknown scheme"):
        load_manifest("http://host/set.yaml")


def test_size_is_bounded_before_parsing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = write(tmp_path, "set.yaml", YAML)
    monkeypatch.setattr("components.manifest_read.MAX_YAML_BYTES", 100)
    assert f"has {len(YAML)} bytes, but the limit is 100: split it" in problems(uri)[0]


def test_alias_bombs_go_off_within_a_bound(tmp_path: Path) -> None:
    bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
    for last, name in zip("abcdefgh", "bcdefghi", strict=True):
        bomb += f"{name}: &{name} [{','.join([f'*{last}'] * 10)}]\n"
    started = time.perf_counter()
    (line,) = yaml_problems(tmp_path, bomb + "videos: *i\n")
    assert "aliases" in line
    assert time.perf_counter() - started < 20
    assert "aliases" in yaml_problems(tmp_path, "videos: &v [*v]")[0]


def test_honest_aliases_are_expanded(tmp_path: Path) -> None:
    first_video = "  - {id: a, uri: a.mp4, edits: &e [{prompt: x}]}\n"
    text = "videos:\n" + first_video + "  - {id: b, uri: b.mp4, edits: *e}\n"
    first, second = load_manifest(write(tmp_path, "set.yaml", text)).videos
    assert first.edits == second.edits


def test_replacing_is_of_whole_words_and_all_at_once() -> None:
    words = {"cat": "dog", "dog": "cat", "red": "green", "red dog": "blue fox"}
    edit = EditEntry(name="e", replace=words)
    caption = "a Cat, a red dog, a red car and a dog in a catalogue"
    expected = "a dog, a blue fox, a green car and a cat in a catalogue"
    assert expand_edit(edit, caption) == expected


@given(word=st.text(min_size=1, max_size=5), caption=st.text(max_size=30), target=st.text())
def test_no_word_and_no_caption_is_ever_read_as_a_pattern(
    word: str, caption: str, target: str
) -> None:
    edit = EditEntry(name="e", replace={word: target})
    try:
        prompt = expand_edit(edit, f"{caption} {word} {caption}")
    except ItemError:
        return
    assert target in prompt


def test_a_word_that_the_caption_lacks_is_an_error_of_the_edit() -> None:
    edit = EditEntry(name="puppy", replace={"rabbit": "puppy"})
    with pytest.raises(
        ItemError, match=r"'puppy' replaces 'rabbit', which is not a word of .*'a car'"
    ):
        expand_edit(edit, "a car")
    with pytest.raises(ItemError, match="not a word"):
        expand_edit(edit, "two rabbits")


def test_templates_are_text_and_never_code() -> None:
    edit = EditEntry(name="e", prompt="{caption}, {caption}")
    assert expand_edit(edit, " {caption.x} %s {0} ") == "{caption.x} %s {0}, {caption.x} %s {0}"
    assert expand_edit(edit, "{caption}") == "{caption}, {caption}"
    with pytest.raises(ItemError, match="the caption is empty"):
        expand_edit(edit, " ")
    with pytest.raises(ItemError, match=r"a prompt of 4002 characters, but 1 to 2000"):
        expand_edit(edit, "x" * 2000)


def test_default_names_depend_on_the_content_alone() -> None:
    assert default_name("{caption}, in the Snow!", None).startswith("in-the-snow-")
    assert default_name("雪", None).startswith("edit-")
    names = {default_name(p, r) for p, r in [("a", None), ("b", None), (None, {"a": "b"})]}
    assert len(names) == 3
    assert all(valid_id(default_name(prompt, None)) for prompt in ["x" * 2000, "- -", "a..b", "é"])


safe_ids = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,20}", fullmatch=True)
texts = (
    st.text(
        st.characters(
            exclude_categories=("Cc", "Cs", "Zl", "Zp"),
            exclude_characters="{}\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",
        ),
        min_size=1,
        max_size=40,
    )
    .map(str.strip)
    .filter(bool)
)
categories = st.sampled_from(get_args(Category))
edits = st.one_of(
    st.builds(EditEntry, name=safe_ids, category=categories, prompt=texts),
    st.builds(
        EditEntry,
        name=safe_ids,
        category=categories,
        replace=st.dictionaries(texts, texts, min_size=1, max_size=1),
    ),
)
frames = st.fixed_dictionaries(
    {},
    optional={
        "num_frames": st.integers(1, 99),
        "start": st.integers(0, 99),
        "width": st.sampled_from([8, 512]),
        "fit": st.sampled_from(["crop", "pad", "stretch"]),
    },
).filter(bool)
videos = st.builds(
    VideoEntry,
    video_id=safe_ids,
    uri=st.sampled_from(["/v/a b.mp4", "s3://b/ä?.mp4", "file:///x%20.mov"]),
    prompt=st.none() | texts,
    video=st.none() | frames,
    edits=st.lists(
        edits, max_size=4, unique_by=(lambda e: e.name, lambda e: (e.prompt, str(e.replace)))
    ).map(tuple),
)


@given(
    st.builds(
        Manifest,
        name=safe_ids,
        videos=st.lists(videos, min_size=1, max_size=4, unique_by=lambda v: v.video_id).map(tuple),
    )
)
def test_a_saved_manifest_is_read_back_equal(manifest: Manifest) -> None:
    assert from_document(json.loads(json.dumps(to_document(manifest)))) == manifest


def test_a_saved_manifest_of_another_version_is_refused() -> None:
    with pytest.raises(ManifestError, match="of version 99, but this release reads 1"):
        from_document({"version": 99})


def test_a_large_manifest_is_read_in_seconds(tmp_path: Path) -> None:
    row: dict[str, Any] = {"uri": "s3://b/v.mp4", "frames": {"num_frames": 8}}
    row["edits"] = [{"id": f"e{i}", "prompt": f"{{caption}}, style {i}"} for i in range(4)]
    rows = "\n".join(json.dumps({"id": f"v{i}", **row}) for i in range(20_000))
    started = time.perf_counter()
    assert len(load_manifest(write(tmp_path, "set.jsonl", rows)).videos) == 20_000
    assert time.perf_counter() - started < 20


def test_the_module_loads_quickly_and_without_heavy_libraries() -> None:
    code = (
        "import sys, components.manifest;"
        "print(sorted({'av', 'boto3', 'numpy', 'pyarrow', 'pydantic', 'ray', 'torch'}"
        " & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_the_limit_on_prompts_is_the_linters_too() -> None:
    entry = {"id": "a", "uri": "/a.mp4", "prompt": "x" * MAX_PROMPT_CHARS}
    document = {"version": 1, "name": "n", "videos": [entry]}
    assert from_document(document).videos[0].prompt == entry["prompt"]
