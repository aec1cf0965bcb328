"""Gathers a benchmark's videos: what would spoil the manifest is left out, and told."""

from __future__ import annotations

import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from components.errors import UserError
from components.manifest.edits import CAPTION
from components.manifest.fields import Fields, short
from components.manifest.lint import MAX_EDITS, Linter
from components.syntax.document import MAX_BYTES
from components.syntax.tree import ManifestError, Node, Problems, to_node

Document = dict[str, Any]
"""A video or edit as a manifest has it."""


def read_index(file: Path) -> bytes:
    """Read a benchmark's own list of its videos.

    Raises:
        UserError: it is not there, no file, or too large.
    """
    try:
        if not stat.S_ISREG(file.stat().st_mode):  # to open a pipe might never end
            raise UserError(f"{file} is no file: put the benchmark's own {file.name} there")
        with file.open("rb") as handle:
            data = handle.read(MAX_BYTES + 1)
    except OSError as error:
        raise UserError(
            f"{file} cannot be read ({error.strerror}): name the folder that holds the benchmark's "
            f"{file.name}"
        ) from error
    if len(data) > MAX_BYTES:
        raise UserError(f"{file} has over {MAX_BYTES} bytes, which is the limit: split it")
    return data


class Collector:
    """What is found of a benchmark: the videos of its manifest, and what is left out.

    What is judged is judged by the manifest's own lint, so that all that is taken passes it.
    """

    def __init__(self, root: Path) -> None:
        """Gather what lies in ``root``, which relative addresses are taken from."""
        self.root = root
        self.videos: list[Document] = []
        self.left_out: list[str] = []
        """A line each: what, and why."""
        self.remarks: list[str] = []
        """What is taken all the same, but should be looked at."""
        self._ids: dict[str, str] = {}

    def leave_out(self, where: str, why: str) -> None:
        """Note what is not taken."""
        self.left_out.append(f"{where}: {why}")

    def id(self, where: str, value: Any, prefix: str = "") -> str:
        """The id of a video of a name, or "" after noting why it has none.

        A name that is a good id by itself is safe as a part of a path, too.

        Args:
            where: The video's place in the index.
            value: Its name there.
            prefix: What stands before it in the id.
        """
        problems = Problems(where)
        fields = Fields(problems)
        name = fields.id(Node(value, 0), "the video's name")
        if name and prefix:
            name = fields.id(Node(f"{prefix}{name}", 0), "the video's id")
        if problems.found:
            self.leave_out(where, problems.found[0][1])
            return ""
        # Some file systems take names that differ only in case for one.
        if (first := self._ids.get(name.casefold())) is not None:
            self.leave_out(
                where, f"the name is that of {first}, or differs only in case: rename it"
            )
            return ""
        self._ids[name.casefold()] = where
        return name

    def add(self, where: str, video: Document, edits: Iterable[Document]) -> None:
        """Take a video with those of its edits that are good, if there are any.

        Args:
            where: The video's place in the index.
            video: Its ``id``, a relative ``uri`` and what else a manifest says of it.
            edits: Each with ``id``, ``category`` and ``prompt``, which may be anything.
        """
        if problem := self._problem(video):
            self.leave_out(where, problem)
            return
        kept: list[Document] = []
        first: dict[str, str] = {}
        for edit in edits:
            what = f"{where}, edit {edit['id']}"
            if edit["prompt"] is None:
                self.leave_out(what, "it has no prompt: give it one")
            elif problem := self._problem(video | {"edits": [edit]}):
                self.leave_out(what, problem)
            elif CAPTION in edit["prompt"]:
                self.leave_out(what, f"its prompt holds {CAPTION}, which a manifest would fill in")
            elif (other := first.setdefault(edit["prompt"].strip(), edit["id"])) != edit["id"]:
                self.leave_out(what, f"it has the prompt of edit {other}: change one")
            else:
                kept.append(edit)
        if not kept:
            self.leave_out(where, "it has no edit that can be taken")
        elif len(kept) > MAX_EDITS:
            self.leave_out(where, f"it has {len(kept)} edits, but the limit is {MAX_EDITS}")
        else:
            self.videos.append(video | {"edits": kept})

    def _problem(self, video: Document) -> str:
        """What the manifest's lint says of a video, or "" for nothing."""
        problems = Problems(str(self.root))
        try:
            Linter(problems, str(self.root)).videos(to_node({"videos": [video]}, 0))
        except ManifestError:
            return "; ".join(text for _, text in problems.found)
        return ""


def scalar(node: Node | None) -> Any:
    """A value of an index; of a list or mapping an empty one, which is refused as what it is."""
    if node is None:
        return None
    return type(node.value)() if isinstance(node.value, list | dict) else node.value


def named(place: str, name: Any) -> str:
    """A video's place in an index, with its name for people."""
    return f"{place} ({short(name)})"
