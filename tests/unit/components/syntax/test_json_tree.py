"""JSON manifests: what a JSON parser reads is read as it stands, and nothing else is."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.config import load_run_config
from components.errors import UserError
from components.manifest.load import load_manifest
from components.syntax.json_tree import json_tree
from components.syntax.tree import MAX_DEPTH, ManifestError, Problems, to_plain
from tests.manifest_files import problems, write

leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
values = st.recursive(
    leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
).filter(lambda value: depth(value) <= MAX_DEPTH)


def depth(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(depth, inner)) if inner else int(isinstance(value, dict | list))


@given(
    value=values,
    indent=st.sampled_from([None, 1, "\t", "\r\n \t"]),
    colon=st.sampled_from([":", "\n:", " :\r\n ", "\n\t:\n"]),
    ascii_only=st.booleans(),
)
def test_any_json_is_read_as_python_reads_it(
    value: object, indent: str, colon: str, *, ascii_only: bool
) -> None:
    text = json.dumps(value, indent=indent, separators=(",", colon), ensure_ascii=ascii_only)
    found = Problems("set.json")
    assert (to_plain(json_tree(text, found)), found.found) == (json.loads(text), [])


@given(st.text(alphabet='[]{}:,"\\ \n\t0123456789.-+eEtrufalsn\u00a0\x85\ufeff', max_size=12))
def test_what_python_refuses_is_refused_and_nothing_else(text: str) -> None:
    def distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    try:
        expected = json.loads(text, object_pairs_hook=distinct) if text[:1] != "\ufeff" else None
    except (ValueError, AssertionError):
        expected = None
    found = Problems("set.json")
    try:
        read = to_plain(json_tree(text, found))
        found.raise_any()
    except ManifestError:
        read = None
    assert read == expected


def test_each_value_has_its_line(tmp_path: Path) -> None:
    text = '{"videos"\n:\n[{"id"\n:"a",\r\n"uri"\t:"/a.mp4"},\n\n{"id":"b","uri":"/b.mp4"}]}\n\n'
    manifest = load_manifest(write(tmp_path, "set.json", text))
    assert [(entry.video_id, entry.line) for entry in manifest.videos] == [("a", 3), ("b", 7)]
    assert load_manifest(write(tmp_path, "set.json", f"\ufeff{text}")) == manifest


def test_raw_characters_are_kept_or_refused_by_name(tmp_path: Path) -> None:
    for char in ("\u00ad", "\u00a0", "\ufeff", "\u200d", "\U0001f600", "\ue000"):
        text = f'{{"videos": [{{"id": "a", "uri": "/a.mp4", "prompt": "a{char}b"}}]}}'
        for name, written in [("set.json", text), ("set.jsonl", text[12:-2])]:
            assert load_manifest(write(tmp_path, name, written)).videos[0].prompt == f"a{char}b"
    for char in ("\x85", "\u2028", "\u2029"):
        (line,) = problems(write(tmp_path, "set.json", text.replace("\ue000", char)))
        assert (
            f"line 1: the prompt of video 'a' holds the control character U+{ord(char):04X}" in line
        )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: is no JSON: Expecting value at column 1"),
        ('{"videos": [],}', "line 1: is no JSON: "),
        ("videos: []", "line 1: is no JSON: Expecting value"),
        (
            '{"videos": []}\n# no comment',
            "line 2: is no JSON: Extra data at column 1; files of one object",
        ),
        ('{"id": "a"}\n{"id": "b"}', "line 2: is no JSON: Extra data .* end in .jsonl"),
        ('{"videos":\n[{"id": 007}]}', "line 2: is no JSON: Expecting"),
        ('{"videos":\n["a\tb"]}', "line 2: is no JSON: Invalid control character at"),
        ("{'videos': []}", "line 1: is no JSON: Expecting property name"),
        ('{"videos":\n[Infinity]}', "line 2: holds no usable value: Infinity is no JSON number"),
        (f'{{"videos":\n[{"9" * 5000}]}}', "line 2: holds no usable value: "),
        (
            f'{{"videos":\n{"[" * 99_999}',
            f"line 2: is nested deeper than {MAX_DEPTH} levels: use fewer",
        ),
        (
            '{"videos": [{"id": "a",\n"uri": "x",\n"\\u0069d": "b"}]}',
            "line 3: the key 'id' is given twice: keep one",
        ),
        (
            '[{"id": "a", "uri": "x"}]',
            "line 1: the manifest is a list, but must be a mapping of videos",
        ),
        (
            '{"videos": [{"id": "a",\n"uri": "ftp://h/x",\n"promt": "b"}]}',
            "line 3: unknown key 'promt'",
        ),
        (
            '{"videos": [{"id": "a", "uri": "/a", "prompt": "\\ud83d"}]}',
            r"control character U\+D83D",
        ),
    ],
)
def test_what_is_no_json_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    lines = problems(write(tmp_path, "set.json", text))
    assert any(re.search(message, line) for line in lines), lines


def test_lines_of_json_may_end_as_on_windows_and_be_blank(tmp_path: Path) -> None:
    text = '\ufeff{"id": "a", "uri": "/a"}\r\n\r\n \t\r\n{"id": "b",\t"uri" : "/b"}\r\n'
    assert [one.line for one in load_manifest(write(tmp_path, "set.jsonl", text)).videos] == [1, 4]


def test_a_large_document_is_read_in_seconds(tmp_path: Path) -> None:
    edits = [{"id": f"e{i}", "prompt": f"{{caption}}, style {i}"} for i in range(4)]
    videos = [{"id": f"v{i}", "uri": "s3://b/v.mp4", "edits": edits} for i in range(33_000)]
    text = json.dumps({"videos": videos})
    assert 7 << 20 < len(text) < 8 << 20
    started = time.process_time()
    assert len(load_manifest(write(tmp_path, "set.json", text)).videos) == 33_000
    assert time.process_time() - started < 200


def test_a_configuration_in_json_is_json(tmp_path: Path) -> None:
    document = {"run": "/r", "manifest": "/m", "model": {"base": "org/name"}, "seed": 4}
    (tmp_path / "run.json").write_text(json.dumps(document).replace('":', '"\n:'))
    config = load_run_config(tmp_path / "run.json", ("tune.steps=3",))
    assert (config.run, config.seed, config.tune.steps) == ("/r", 4, 3)
    (tmp_path / "run.json").write_text("run: r")
    with pytest.raises(UserError, match=r"(?s)in the configuration.*line 1: is no JSON: Expecting"):
        load_run_config(tmp_path / "run.json")
