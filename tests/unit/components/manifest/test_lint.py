"""Everything that the linter must catch, each with its line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from components.errors import UserError
from components.manifest.edits import MAX_PROMPT_CHARS
from components.manifest.fields import valid_id
from components.manifest.load import (
    from_document,
    load_manifest,
)
from tests.manifest_files import problems, write, yaml_problems


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
        ("videos:\n  - {id: a, uri: a, mask: ''}", 2, "the mask of video 'a' is empty"),
        (
            "videos:\n  - {id: a, uri: a, mask: 3}",
            2,
            r"mask of video 'a' is 3 \(int\), but",
        ),
        ("videos:\n  - {id: a, uri: a, mask: [b]}", 2, r"the mask of video 'a' is a list \(list\)"),
        ("videos:\n  - {id: a, uri: a, mask: 'http://h/b'}", 2, "unknown scheme 'http'"),
        ("videos:\n  - {id: a, uri: a, mask: 's3://k:s@h/b'}", 2, "holds credentials"),
        ('videos:\n  - {id: a, uri: a, mask: "b\\u202e"}', 2, r"mask .* character U\+202E"),
        (
            "videos:\n  - {id: a, uri: a, mask: ./a}",
            2,
            "mask of video 'a' is the video itself",
        ),
        ("videos:\n  - {id: a, uri: a, masks: b}", 2, "'masks' in a video; did you mean 'mask'"),
        ('videos:\n  - {id: a, uri: "a\\0.mp4"}', 2, r"control character U\+0000"),
        ("videos:\n  - id: a\n    uri: a.mp4\n    prompt: ''", 4, "prompt of video 'a' is empty"),
        ("videos:\n  - id: a\n    uri:\n    prompt: x", 2, "uri of video 'a' is missing"),
        ("videos:\n  - id: a\n    uri: .nan", 2, "uri of video 'a' is missing"),
        ("videos:\n  - id: a\n    uri: a.mp4\n    prompt: nan", 4, "'nan', as .* leave it out"),
        ("videos:\n  - id: .inf\n    uri: a.mp4", 2, r"is inf \(float\), but must be text"),
        (
            'videos:\n  - {id: a, uri: a.mp4}\n  - "a\x85b"',
            3,
            r"U\+0085, at which YAML .* \"\\u0085",
        ),
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
            "videos:\n  - id: a\n    uri: a.mp4\n    frames: {fps: -1}",
            4,
            "fps is -1.0, but must be",
        ),
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
    [
        "../a",
        "a/b",
        "/a",
        ".a",
        "-a",
        "_a",
        "a b",
        "a..b",
        "",
        "ä",
        "a\n",
        "a" * 101,
        "a\\b",
        "CON",
        "lpt1.x",
    ],
)
def test_ids_that_are_no_safe_path_are_refused(tmp_path: Path, name: str) -> None:
    assert not valid_id(name)
    row = json.dumps({"id": name, "uri": "a.mp4"})
    assert any("a video's id" in line for line in problems(write(tmp_path, "set.jsonl", row)))


@pytest.mark.parametrize("name", ["a", "0", "a.b", "a-b_c.mp4", "A" * 100, "console", "com10"])
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
        ("id,uri,mask\na,a,b\na,a,c\n", "line 3: the video's mask is not that of line 2"),
        ("id,uri,mask\na,a,\na,a,c\n", "line 3: the video's mask is not that of line 2"),
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


def test_absent_and_empty_places_are_refused(tmp_path: Path) -> None:
    for suffix in (".yaml", ""):
        assert "does not exist" in problems(f"{tmp_path}/gone{suffix}")[0]
    assert "holds 0 videos" in problems(str(tmp_path))[0]
    with pytest.raises(UserError, match="unknown scheme"):
        load_manifest("http://host/set.yaml")


def test_alias_bombs_are_found_before_they_go_off(tmp_path: Path) -> None:
    bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
    for last, name in zip("abcdefghijk", "bcdefghijkl", strict=True):
        bomb += f"{name}: &{name} [{','.join([f'*{last}'] * 10)}]\n"
    (line,) = yaml_problems(tmp_path, bomb + "videos: *l\n")
    assert line.startswith("line 7: grows beyond 2000000 values")
    assert "aliases" in yaml_problems(tmp_path, "videos: &v [*v]")[0]


def test_the_limit_on_prompts_is_the_linters_too() -> None:
    entry = {"id": "a", "uri": "/a.mp4", "prompt": "x" * MAX_PROMPT_CHARS}
    document = {"version": 1, "name": "n", "videos": [entry]}
    assert from_document(document).videos[0].prompt == entry["prompt"]
