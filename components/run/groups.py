"""Videos of one subject that are tuned together, into one adapter (the manifest's ``group``)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.manifest.edits import VideoEntry


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Two videos or more."""

    name: str
    members: tuple[str, ...]
    """Their ids in the order of what they hold, which follows from no other name or order. The
    adapter is the first one's."""
    parts: tuple[Mapping[str, Any], ...]
    """What keys hold of each, likewise."""
    missing: tuple[str, ...]
    """Ids of those without a clip or a caption so far: until then nothing is tuned."""

    @property
    def owner(self) -> str:
        """Whose row the adapter is."""
        return self.members[0]


def member_ids(entries: Sequence[VideoEntry]) -> dict[str, list[str]]:
    """The videos of each group that has several, by its name, in order."""
    found: dict[str, list[str]] = {}
    for entry in entries:
        if entry.group is not None:
            found.setdefault(entry.group, []).append(entry.video_id)
    return {name: ids for name, ids in found.items() if len(ids) > 1}


def groups_of(
    entries: Sequence[VideoEntry], parts: Mapping[str, Mapping[str, Any]]
) -> dict[str, Group]:
    """The group of each video that is in one with others, by the video's id.

    Args:
        entries: The manifest's videos.
        parts: What keys hold of each video that has a clip and a caption, by id.
    """
    found: dict[str, Group] = {}
    for name, ids in member_ids(entries).items():
        # What is not there yet is told apart by its id, so that the key is that of no tuning.
        known = {one: parts.get(one, {"missing": one}) for one in ids}
        ordered = sorted(ids, key=lambda one: (json.dumps(known[one], sort_keys=True), one))
        group = Group(
            name=name,
            members=tuple(ordered),
            parts=tuple(known[one] for one in ordered),
            missing=tuple(one for one in ids if one not in parts),
        )
        found |= dict.fromkeys(ids, group)
    return found
