"""Judges a manifest before any work: every problem is told at once, with its line.

Ids, prompts and addresses are hostile: ids become parts of object paths, prompts reach the report
and the logs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from components.errors import UserError
from components.manifest.edits import (
    CAPTION,
    CATEGORIES,
    Category,
    EditEntry,
    VideoEntry,
    default_name,
)
from components.manifest.fields import Fields, given, short, tail
from components.manifest.rows import FRAME_FIELDS
from components.manifest.words import caseless
from components.storage.address import Address, parse_uri
from components.syntax.tree import (
    LazyNodes,
    Node,
    Problems,
    as_integer,
    to_plain,
)
from components.video.sources import resolve_uri
from tav_model.config import ControlConfig

MAX_URI_CHARS = 2000
_VIDEO_KEYS = ("id", "uri", "mask", "maps", "control", "group", "prompt", "frames", "edits")
MAX_EDITS = 1000
"""Edits of one video."""
MAX_REPLACED = 20
"""Words that one edit replaces."""


class Linter(Fields):
    """Turns a manifest's tree into entries, noting what is wrong."""

    def __init__(
        self, problems: Problems, base: str | Address, *, number_ids: bool = False
    ) -> None:
        """Note problems in ``problems``; relative addresses are taken from ``base``.

        Args:
            problems: Where what is wrong is noted.
            base: The manifest's folder or bucket prefix.
            number_ids: Whether an integer is the id of its digits. (In YAML ``010`` is 8.)
        """
        super().__init__(problems, number_ids=number_ids)
        self._base = parse_uri(base)  # once, and not for each of its addresses
        self._frames_seen: dict[str, dict[str, Any] | None] = {}

    def videos(self, root: Node) -> tuple[VideoEntry, ...]:
        """Check the whole tree: a mapping with ``videos`` and perhaps common ``edits``.

        Raises:
            ManifestError: with all problems.
        """
        fields = self.mapping(root, "the manifest", ("videos", "edits"))
        common = self._edits(fields.get("edits"), "the common edits")
        taken = self._check_distinct(common, "the common edits", {})
        entries = fields.get("videos")
        listed = isinstance(entries and entries.value, list | LazyNodes)
        if not listed or not cast("Node", entries).value:
            self.problems.fail(0, "names 0 videos, but at least 1 is needed: list them in videos:")
        found: dict[str, VideoEntry] = {}
        for node in cast("Node", entries).value:
            entry = self._video(node, common, taken)
            # Some file systems take names that differ only in case for one.
            if (first := found.get(entry.video_id.casefold())) is not None:
                same = first.video_id == entry.video_id
                how = "is used twice" if same else f"differs from {first.video_id!r} only in case"
                self.problems.add(
                    node.line,
                    f"the video id {entry.video_id!r} {how}, for {tail(first.uri)}"
                    f"{self._at(first.line)} and {tail(entry.uri)}: rename one",
                )
            if entry.video_id:
                found[entry.video_id.casefold()] = entry
        self.problems.raise_any()
        return tuple(found.values())

    def _edits(self, node: Node | None, where: str) -> list[tuple[int, EditEntry]]:
        """Check a list of edits; return the good ones with their lines."""
        if node is None:
            return []
        if not isinstance(node.value, list):
            self.problems.add(node.line, f"{where} must be a list, each with '- ' before it")
            return []
        if len(node.value) > MAX_EDITS:
            self.problems.add(
                node.line,
                f"{where} are {len(node.value)}, but the limit is {MAX_EDITS}: use several ids",
            )
            return []
        checked = [(item.line, self._edit(item, where)) for item in node.value]
        return [(line, edit) for line, edit in checked if edit is not None]

    def _at(self, line: int | None) -> str:
        return f" ({self.problems.unit} {line})" if line else ""

    def _video(
        self, node: Node, common: Sequence[tuple[int, EditEntry]], taken: dict[tuple[str, str], int]
    ) -> VideoEntry:
        fields = self.mapping(node, "a video", _VIDEO_KEYS)
        name = self.id(fields.get("id", Node(None, node.line)), "a video's id")
        where = f"video {name!r}" if name else "a video"
        own = self._edits(fields.get("edits"), f"the edits of {where}")
        self._check_distinct(own, f"the edits of {where}", dict(taken))
        uri = self._uri(fields.get("uri", Node(None, node.line)), f"the uri of {where}")
        return VideoEntry(
            video_id=name,
            uri=uri,
            mask=self._mask(fields["mask"], uri, where) if "mask" in fields else None,
            maps=self._uri(fields["maps"], f"the maps of {where}") if "maps" in fields else None,
            control=self._control(fields["control"], where) if "control" in fields else None,
            group=self.id(fields["group"], f"the group of {where}") if "group" in fields else None,
            prompt=self.prompt(fields["prompt"], f"the prompt of {where}")
            if "prompt" in fields
            else None,
            video=self._frames(fields["frames"], where) if "frames" in fields else None,
            edits=tuple(edit for _, edit in (*own, *common)),
            line=node.line or None,
        )

    def _edit(self, node: Node, where: str) -> EditEntry | None:
        before = len(self.problems.found)
        fields = self.mapping(node, "an edit", ("id", "category", "prompt", "replace"))
        name = self.id(fields["id"], "an edit's id") if "id" in fields else ""
        prompt = replace = None
        if ("prompt" in fields) == ("replace" in fields):
            self.problems.add(
                node.line, f"one of {where} needs either prompt or replace, not both or none"
            )
        elif "prompt" in fields:
            prompt = self._template(fields["prompt"])
        else:
            replace = self._replace(fields["replace"])
        category = fields["category"].value if "category" in fields else "other"
        if category not in CATEGORIES:
            self.problems.add(
                fields["category"].line,
                f"unknown category {short(category)}: use {', '.join(CATEGORIES)}",
            )
        if len(self.problems.found) > before:
            return None
        return EditEntry(
            name=name or default_name(prompt, replace),
            category=cast("Category", category),
            prompt=prompt,
            replace=replace,
        )

    def _template(self, node: Node) -> str:
        prompt = self.prompt(node, "an edit's prompt")
        if re.search(r"[{}]", prompt.replace(CAPTION, "")):
            self.problems.add(
                node.line,
                f"the prompt {short(prompt)} holds {{ or }}: the only placeholder is {CAPTION}",
            )
        return prompt

    def _check_distinct(
        self,
        edits: Sequence[tuple[int, EditEntry]],
        where: str,
        taken: dict[tuple[str, str], int],
    ) -> dict[tuple[str, str], int]:
        """Note edits with an id or prompt that is taken; return all that is taken."""
        for line, edit in edits:
            content = json.dumps([edit.prompt, edit.replace], sort_keys=True)
            for key in (("id", edit.name), ("prompt", content)):
                if key in taken:
                    shown = edit.name if key[0] == "id" else edit.prompt or edit.replace
                    self.problems.add(
                        line,
                        f"two of {where} have the same {key[0]} {short(shown)}, the first"
                        f"{self._at(taken[key])}: keep one",
                    )
                    break
                taken[key] = line
        return taken

    def _replace(self, node: Node) -> dict[str, str]:
        if not isinstance(node.value, dict) or not 0 < len(given(node.value)) <= MAX_REPLACED:
            self.problems.add(
                node.line,
                f"replace must map 1 to {MAX_REPLACED} words to others: {{rabbit: puppy}}",
            )
            return {}
        found: dict[str, str] = {}
        folded: set[str] = set()
        for word, target in given(node.value).items():
            old = self.text(Node(word, target.line), "a word to replace")
            if caseless(old) in folded:
                self.problems.add(target.line, f"replace names {old!r} twice: keep one")
            folded.add(caseless(old))
            found[old] = self.text(target, f"what replaces {short(word)}")
        return found

    def _frames(self, node: Node, where: str) -> dict[str, Any] | None:
        """Check an override of the frame selection as the fields of ``VideoConfig``."""
        what = f"the frames of {where}"
        fields = self.mapping(node, what, FRAME_FIELDS)
        values = {name: as_integer(fields[name].value) for name in FRAME_FIELDS if name in fields}
        for name, value in values.items():
            if isinstance(value, bool | list | dict):
                kind = type(value).__name__
                self.problems.add(fields[name].line, f"{name} of {what} is of type {kind}")
                return None
        key = json.dumps(values, sort_keys=True, default=str)
        if key not in self._frames_seen:
            # Not at the top: pydantic takes 0.2 s, and few manifests override frames.
            from components.config import VideoConfig, parse

            try:
                config = parse(VideoConfig, values, what)
                self._frames_seen[key] = {name: getattr(config, name) for name in values}
            except UserError as error:
                for line in str(error).splitlines()[1:]:
                    self.problems.add(node.line, f"{what}: {line.strip()}")
                self._frames_seen[key] = None
        return self._frames_seen[key] or None

    def _control(self, node: Node, where: str) -> tuple[ControlConfig, ...] | None:
        """Check the nets that steer one video, as those of the run's ``control``."""
        what = f"the control of {where}"
        fields = self.mapping(node, what, ("nets",))
        if "nets" not in fields:
            if isinstance(node.value, dict):
                self.problems.add(node.line, f"{what} names no nets: list them; [] is none")
            return None
        values = to_plain(node)
        nets = values["nets"] if isinstance(values["nets"], list) else [None]
        for net in nets:
            if isinstance(net, dict) and isinstance(net.get("model"), str):
                net["model"] = self._folder(net["model"])
        from components.config import ControlsConfig, parse  # see _frames
        from components.config.control import shipped_nets

        try:
            return shipped_nets(parse(ControlsConfig, values, what).nets)
        except UserError as error:
            for line in str(error).splitlines()[1:]:
                self.problems.add(fields["nets"].line, f"{what}: {line.strip()}")
            return None

    def _folder(self, model: str) -> str:
        """The folder of a model beside the manifest, if there is one; else it is a hub id."""
        try:
            address = parse_uri(resolve_uri(model, self._base))
            found = not address.on_s3 and Path(address.location).is_dir()
        except (UserError, OSError, ValueError):
            return model
        return address.location if found else model

    def _mask(self, node: Node, uri: str, where: str) -> str:
        what = f"the mask of {where}"
        mask = self._uri(node, what)
        if mask and mask == uri:
            self.problems.add(
                node.line,
                f"{what} is the video itself, {tail(uri)}: name a folder or video of its object "
                "in white on black, or leave it out",
            )
        return mask

    def _uri(self, node: Node, what: str) -> str:
        if not self.text(node, what, MAX_URI_CHARS):
            return ""
        try:
            uri = resolve_uri(node.value, self._base)  # uncut: names may begin or end with spaces
        except UserError as error:
            self.problems.add(node.line, str(error))
            return ""
        return uri if self.text(Node(uri, node.line), what, MAX_URI_CHARS) else ""
