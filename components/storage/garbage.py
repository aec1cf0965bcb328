"""What a run holds without need, and what it lacks: objects without a row, rows without an object.

Nothing is removed because a row says so: what goes was listed below the run's own folders, has a
name as the steps give it, is old enough, and is named by no row.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from components.storage.address import checked_path
from components.storage.compact import GRACE, replaced_parts
from components.storage.schemas import CONTENT, KEYS, SCHEMAS
from components.storage.store import ObjectInfo, Store, Unfinished
from components.storage.tables import Row, append_rows, read_commits, read_table

FOLDERS = ("adapters", "artefacts", "checkpoints", "controls", "media", "tables")
"""Where anything may be removed."""

_KEPT = re.compile(r"run\.json|(lease|outcomes|report|ray-train|logs)/.*", re.DOTALL)
_KEY = "[0-9a-f]{32}"
_DIGEST = "(-[0-9a-f]{12})?"
"""Runs of earlier releases have none."""
_OBJECTS = {
    "adapters": re.compile(rf"adapters/{_KEY}{_DIGEST}\.safetensors"),
    "videos": re.compile(r"media/sources/[^/]+-[0-9a-f]{12}\.mp4"),
    "artefacts": re.compile(rf"artefacts/{_KEY}-[0-9a-f]{{12}}\.safetensors"),
    "controls": re.compile(rf"(controls/|media/controls/[^/]+/){_KEY}-[0-9a-f]{{12}}\.(mkv|mp4)"),
    "edits": re.compile(rf"media/edits/[^/]+/{_KEY}({_DIGEST}\.mp4|-frames/[^/]+\.png)"),
}
"""Objects by the table whose rows name them."""
_CHECKPOINT = re.compile(rf"checkpoints/({_KEY})\.safetensors")
_PART = re.compile(rf"tables/({'|'.join(SCHEMAS)})/.+\.parquet", re.DOTALL)
_ADDRESSES = {
    table: names
    for table, schema in SCHEMAS.items()
    if (names := [name for name in schema.names if name.endswith("uri")])
}
"""Columns that name objects; a source's may name one of this run too."""


@dataclass(frozen=True, slots=True)
class Orphan:
    """Something that nothing needs."""

    found: ObjectInfo | Unfinished
    why: str


@dataclass(frozen=True, slots=True)
class Dangling:
    """A row whose object is gone."""

    table: str
    row: Row
    address: str
    """What the row names."""

    @property
    def key(self) -> dict[str, str]:
        """The row's key."""
        return {name: self.row[name] for name in KEYS[self.table]}


@dataclass(frozen=True, slots=True)
class Findings:
    """One look at a run."""

    orphans: list[Orphan]
    dangling: list[Dangling]
    unknown: list[str]
    """Paths that no step writes; they are kept."""
    young: int
    """Objects without a row that may still get one."""

    @property
    def nbytes(self) -> int:
        """What the orphans take."""
        return sum(orphan.found.size for orphan in self.orphans)


def survey(store: Store, *, older_than: dt.timedelta = GRACE) -> Findings:
    """Look for orphans, dangling rows and unknown files. Nothing is changed.

    Args:
        store: The run's store.
        older_than: Younger orphans are only counted: steps write objects before their rows.

    Raises:
        UserError: a part is damaged or of another version of the tables; the message names it.
    """
    # Objects before rows: a row that is committed in between names what was listed.
    objects = list(store.list())
    unfinished = [write for folder in FOLDERS for write in store.unfinished(folder)]
    rows = _Rows(store)
    before = dt.datetime.now(dt.UTC) - older_than
    orphans, unknown, young = [], [], 0
    for info in objects:
        known, why, since = rows.judge(info)
        if not known:
            unknown.append(info.path)
        elif why is not None and since <= before:
            orphans.append(Orphan(info, why))
        else:
            young += why is not None
    for write in unfinished:
        if not _plain(re.sub(r"/\.tmp-[^/]*$", "", write.path)):
            unknown.append(write.path)
        elif write.modified <= before:
            orphans.append(Orphan(write, "its writing never came to an end"))
        else:
            young += 1
    return Findings(orphans, list(_dangling(store, objects)), unknown, young)


def remove(store: Store, orphans: Sequence[Orphan]) -> list[Orphan]:
    """Remove orphans, but for those that were written anew since; return what is gone.

    A step that writes one of them in the instant between the last look and the removal loses it;
    its row is then found dangling.
    """
    gone = []
    for orphan in orphans:
        if isinstance(orphan.found, Unfinished):
            store.discard(orphan.found)
        elif store.stat(orphan.found.path) == orphan.found:
            store.delete(orphan.found.path)
        else:
            continue
        gone.append(orphan)
    return gone


def withdraw(store: Store, dangling: Sequence[Dangling]) -> None:
    """Make rows no longer current, so that the next run computes their objects again.

    Tables only grow: a row with the same key and without content says so (``schemas.CONTENT``).
    What stands on an object goes with it and before it: made anew, an object need not be the same
    to the bit, nor is then what was made of it.
    """
    adapters = {
        (one.row["video_id"], one.row["adapter_key"]) for one in dangling if one.table == "adapters"
    }
    light = [name for name in SCHEMAS["latents"].names if name != "latents"]
    latents = [
        row | {"latents": None}
        for row in (read_table(store, "latents", light) if adapters else [])
        if (row["video_id"], row["adapter_key"]) in adapters
    ]
    rows = {"latents": latents, "artefacts": _standing_on(store, dangling)}
    for one in dangling:
        rows.setdefault(one.table, []).append(one.row)
    for table, found in rows.items():
        if found:
            append_rows(store, table, [row | {CONTENT[table]: None} for row in found])


def _standing_on(store: Store, dangling: Sequence[Dangling]) -> list[Row]:
    """Artefacts that were made of lost ones, or of lost adapters, at whatever distance."""
    keys = {"adapters": "adapter_key", "artefacts": "artefact_key"}
    lost = {
        (one.row["video_id"], one.row[keys[one.table]]) for one in dangling if one.table in keys
    }
    rows = read_table(store, "artefacts") if lost else []
    left = [row for row in rows if (row["video_id"], row["artefact_key"]) not in lost]
    found: list[Row] = []
    while lost:
        here = [row for row in left if (row["video_id"], row["before_key"]) in lost]
        left = [row for row in left if (row["video_id"], row["before_key"]) not in lost]
        lost = {(row["video_id"], row["artefact_key"]) for row in here}
        found += here
    return found


class _Rows:
    """What all rows of a run name, those that later ones replace too."""

    def __init__(self, store: Store) -> None:
        self._named: set[str] = set()
        for table, columns in _ADDRESSES.items():
            for _, rows in read_commits(store, table, columns):
                self._named.update(*(_forms(row[name]) for row in rows for name in columns))
        self._finished = {row["adapter_key"] for row in read_table(store, "adapters", ())} | {
            row["artefact_key"] for row in read_table(store, "artefacts", ())
        }
        self._replaced = {
            info.path: since
            for table in SCHEMAS
            for info, since in replaced_parts(store, table).items()
        }

    def judge(self, info: ObjectInfo) -> tuple[bool, str | None, dt.datetime]:
        """Whether a step writes such objects, why this one is an orphan if it is, since when."""
        path = info.path
        if _KEPT.fullmatch(path) or path in self._named:
            return True, None, info.modified
        if not _plain(path):
            return False, None, info.modified
        if _PART.fullmatch(path):
            why = "a merged part holds its rows" if path in self._replaced else None
            return True, why, self._replaced.get(path, info.modified)
        if found := _CHECKPOINT.fullmatch(path):
            why = "its tuning is finished" if found[1] in self._finished else None
            return True, why, info.modified
        for table, pattern in _OBJECTS.items():
            if pattern.fullmatch(path):
                of_folder = path.rpartition("/")[0] in self._named  # one of an edit's frames
                return True, None if of_folder else f"no row of {table} names it", info.modified
        return False, None, info.modified


def _forms(address: str | None) -> Iterator[str]:
    """An address and all its endings: a source's is absolute, and it may lie in this very run."""
    segments = (address or "").split("/")
    return ("/".join(segments[first:]) for first in range(len(segments)))


def _plain(path: str) -> bool:
    try:
        checked_path(path)
    except ValueError:
        return False
    return True


def _dangling(store: Store, objects: Sequence[ObjectInfo]) -> Iterator[Dangling]:
    present = {info.path for info in objects}
    pictures = Counter(info.path.rpartition("/")[0] for info in objects)
    for table in _OBJECTS:
        for row in read_table(store, table):
            address = row[CONTENT[table]]
            frames = row.get("frames_uri")
            if address not in present and not _is_there(store, address):
                yield Dangling(table, row, address)
            elif frames is not None and not _has_frames(store, row, pictures):
                yield Dangling(table, row, frames)


def _is_there(store: Store, address: str) -> bool:
    """Ask for one object: it may be newer than the listing."""
    return _plain(address) and store.stat(address) is not None


def _has_frames(store: Store, row: Row, pictures: Mapping[str, int]) -> bool:
    folder = row["frames_uri"]
    if pictures[folder] >= row["num_frames"]:
        return True
    return _plain(folder) and sum(1 for _ in store.list(folder)) >= row["num_frames"]
