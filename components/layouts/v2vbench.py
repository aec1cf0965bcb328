"""V2VBench (github.com/wenhao728/awesome-diffusion-v2v): 50 clips, 3 edits each.

    config.yaml                      data: [{video_id, edit: [{prompt}]}]
    videos/<video_id>.mp4            the clips; or .gif, or a folder, or frames/<video_id>
    <video_id>/<edit number>.mp4     results

An edit's id is its number in the list, from 0, for its results are called so.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import Any

from components.errors import UserError
from components.layouts.collector import Collector, Document, named, read_index, scalar
from components.layouts.layout import Layout
from components.manifest.edits import CATEGORIES
from components.manifest.fields import valid_id
from components.manifest.lint import MAX_EDITS
from components.syntax.document import document_tree
from components.syntax.tree import Node, Problems

INDEX = "config.yaml"
_NUMBER = re.compile(r"0|[1-9][0-9]{0,2}")
"""As many as a manifest takes."""


def read(root: Path) -> Collector:
    """Gather the clips of a copy of the dataset.

    Raises:
        UserError: config.yaml is missing, no YAML, or holds no list ``data``.
    """
    file = root / INDEX
    problems = Problems(str(file), what="the benchmark's index")
    index = document_tree(read_index(file), ".yaml", problems)
    problems.raise_any()
    data = index.value.get("data") if isinstance(index.value, dict) else None
    if data is None or not isinstance(data.value, list):
        raise UserError(f"{file} holds no list data: of videos, as the benchmark's own does")
    found = Collector(root)
    for node in data.value:
        _add(found, node)
    return found


def _add(found: Collector, node: Node) -> None:
    fields = node.value if isinstance(node.value, dict) else {}
    name = scalar(fields.get("video_id"))
    where = named(f"line {node.line}", name)
    edits = fields.get("edit")
    if not (video_id := found.id(where, name)):
        return
    if edits is None or not isinstance(edits.value, list):
        found.leave_out(where, "it has no list edit: of prompts")
    elif len(edits.value) > MAX_EDITS:
        found.leave_out(where, f"it has {len(edits.value)} edits, but the limit is {MAX_EDITS}")
    elif (uri := _clip(found.root, video_id)) is None:
        found.leave_out(
            where,
            f"neither videos/{video_id}.mp4 nor .gif nor a folder videos/{video_id} or "
            f"frames/{video_id} is there: download the clip",
        )
    else:
        video: Document = {"id": video_id, "uri": uri}
        if (prompt := scalar(fields.get("prompt"))) is not None:
            video["prompt"] = prompt
        found.add(where, video, [_edit(*item) for item in enumerate(edits.value)])


def _clip(root: Path, video_id: str) -> str | None:
    """The clip, sought in the order in which their reader does."""
    for uri, kind in (
        (f"videos/{video_id}", Path.is_dir),
        (f"videos/{video_id}.mp4", Path.is_file),
        (f"videos/{video_id}.gif", Path.is_file),
        (f"frames/{video_id}", Path.is_dir),
    ):
        if kind(root / uri):
            return uri
    return None


def _edit(number: int, node: Node) -> Document:
    fields: dict[str, Any] = node.value if isinstance(node.value, dict) else {}
    category = scalar(fields.get("category"))
    return {
        "id": str(number),
        "category": category if category in CATEGORIES else "other",
        "prompt": scalar(fields.get("prompt")),
    }


def place(video_id: str, edit: str) -> PurePosixPath | None:
    """Where their index looks for an edit, or none if the ids are not of this benchmark."""
    if not valid_id(video_id) or not _NUMBER.fullmatch(edit):
        return None
    return PurePosixPath(video_id, f"{edit}.mp4")


def sought(edits: Collection[str]) -> list[str]:
    """The edits of a clip that their index looks for: no number is left out."""
    numbers = {int(edit) for edit in edits if _NUMBER.fullmatch(edit)}
    gaps = set(range(max(numbers, default=-1) + 1)) - numbers
    return [*edits, *map(str, sorted(gaps))]


def write(clip: Path, target: Path) -> None:
    """Copy an edit byte for byte."""
    shutil.copyfile(clip, target)


LAYOUT = Layout(place=place, sought=sought, write=write)
