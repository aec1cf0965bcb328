"""Of a long manifest few videos are a tree at a time."""

from __future__ import annotations

import itertools

import pytest

from components.manifest.lint import Linter
from components.manifest.load import ManifestError
from components.syntax.json_tree import jsonl_tree
from components.syntax.tree import LazyNodes, Node, Problems


def test_nodes_are_made_when_their_turn_comes() -> None:
    made = itertools.count()
    nodes = LazyNodes(Node({}, next(made)) for _ in range(1000))
    assert nodes
    assert next(made) == 1, "one, to know that there is any"
    assert [node.line for node in itertools.islice(nodes, 3)] == [0, 2, 3]
    assert not LazyNodes([])


def test_lines_after_a_bad_one_are_read_and_all_problems_told() -> None:
    good = '{"id": "a", "uri": "a.mp4", "edits": [{"prompt": "x"}]}'
    problems = Problems("m.jsonl")
    text = "\n".join(["", good, "{", good.replace('"a"', '"b c"'), "\u00a0" + good, "[" * 99, ""])
    with pytest.raises(ManifestError) as refused:
        Linter(problems, "/").videos(jsonl_tree(text, problems))
    told = str(refused.value).splitlines()
    assert told[0].endswith("4 problem(s) in the manifest")
    assert [line.split(":")[0].strip() for line in told[1:]] == [f"line {n}" for n in (3, 4, 5, 6)]


@pytest.mark.parametrize("text", ["", "\n \n", "{\n"])
def test_a_manifest_without_a_video_is_refused(text: str) -> None:
    problems = Problems("m.jsonl")
    with pytest.raises(ManifestError, match="names 0 videos, but at least 1 is needed"):
        Linter(problems, "/").videos(jsonl_tree(text, problems))
