"""What a collector takes, the manifest's lint takes; an index is read within bounds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from components.errors import UserError
from components.layouts.collector import Collector, read_index, scalar
from components.syntax.document import MAX_BYTES
from components.syntax.tree import to_node


def edits(count: int) -> list[dict[str, str]]:
    return [{"id": str(n), "category": "other", "prompt": f"prompt {n}"} for n in range(count)]


def test_no_more_edits_are_taken_than_a_manifest_holds(tmp_path: Path) -> None:
    found = Collector(tmp_path)
    found.add("a", {"id": "a", "uri": "a.mp4"}, edits(1000))
    found.add("b", {"id": "b", "uri": "b.mp4"}, edits(1001))
    assert [video["id"] for video in found.videos] == ["a"]
    assert found.left_out == ["b: it has 1001 edits, but the limit is 1000"]


def test_an_id_of_two_parts_is_judged_whole(tmp_path: Path) -> None:
    found = Collector(tmp_path)
    assert found.id("first", "x" * 80, "section.") == f"section.{'x' * 80}"
    assert found.id("second", "x" * 99, "section.") == ""
    assert found.id("third", "x" * 80, "other.") == f"other.{'x' * 80}"
    (line,) = found.left_out
    assert line.startswith("second: the video's id is 'section.xxx")


def test_lists_and_mappings_are_told_by_their_kind_and_not_shown() -> None:
    node = to_node({"a": ["secret"], "b": {"c": "secret"}, "d": 1}, 1).value
    assert [scalar(node[name]) for name in "abd"] == [[], {}, 1]
    assert scalar(None) is None


def test_an_index_is_a_file_of_some_size(tmp_path: Path) -> None:
    file = tmp_path / "index"
    file.write_bytes(b"x" * MAX_BYTES)
    assert len(read_index(file)) == MAX_BYTES
    file.write_bytes(b"x" * (MAX_BYTES + 1))
    with pytest.raises(UserError, match=f"has over {MAX_BYTES} bytes"):
        read_index(file)
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "."):
        with pytest.raises(UserError, match="is no file: put the benchmark's own"):
            read_index(tmp_path / name)
