"""Compaction: many small parts of a table become a few large ones, and no reader ever notices.

A merged part holds commits of other parts as they are, and names them (see ``parts``); readers
count each commit once, so it does not matter when it appears, or what a crash leaves beside it.
Parts that it replaces stay for a while: a listing that began before must still find them.
"""

from __future__ import annotations

import datetime as dt
import itertools
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from components.errors import ItemError
from components.storage.parts import COMMIT_NAME, MERGED_NAME, encode_part, part_digest, read_part
from components.storage.schemas import SCHEMAS
from components.storage.store import ObjectInfo, Store

logger = logging.getLogger(__name__)

GRACE = dt.timedelta(hours=1)
"""How long replaced parts stay: longer than any reader takes from its listing to its last part."""
MANY_PARTS = 100
"""A step of a run compacts tables with more parts to merge than this."""
LARGE_PART = 32 << 20
"""Bytes that a merged part holds at most; a part of half of that is left as it is. Reading one
video's latents reads its whole part."""


@dataclass(frozen=True, slots=True)
class Compaction:
    """What became of one table."""

    merged: int
    """Parts whose commits were written into others now."""
    written: int
    """Parts that hold them."""
    removed: int
    """Parts that were replaced earlier and are gone now."""


def compact_run(
    store: Store, *, at_least: int = 2, grace: dt.timedelta = GRACE
) -> dict[str, Compaction]:
    """Compact every table of a run; see ``compact_table``."""
    return {table: compact_table(store, table, at_least=at_least, grace=grace) for table in SCHEMAS}


def compact_grown(store: Store) -> None:
    """Compact the tables that have grown many parts; where that fails, another time will do."""
    for table in SCHEMAS:
        try:
            done = compact_table(store, table, at_least=MANY_PARTS + 1)
        except ItemError as error:
            logger.warning("table=%s was not compacted: %s", table, error)
            continue
        if done.merged:
            logger.info("table=%s %d parts merged into %d", table, done.merged, done.written)


def compact_table(
    store: Store, table: str, *, at_least: int = 2, grace: dt.timedelta = GRACE
) -> Compaction:
    """Merge a table's small parts and remove parts that were replaced long enough ago.

    Rows stay as they are, those that later ones replace too. Any number of writers, readers and
    other compactions may be at work, and it may be killed at any point.

    Args:
        store: The run's store.
        table: The table's name.
        at_least: Merge when so many small parts are there.
        grace: How long replaced parts stay.

    Raises:
        UserError: a part is damaged or of another version of the tables; the message names it.
    """
    if sum(1 for _ in store.list(f"tables/{table}")) < at_least:
        return Compaction(0, 0, 0)
    held = _survey(store, table)
    replaced = dict(_replaced(held))
    small = [one for one in held if one.info not in replaced and one.info.size < LARGE_PART // 2]
    merged = written = 0
    if len(small) >= at_least:
        for group in _groups(small):
            count = _merge(store, table, group)
            merged += count
            written += count > 0
    due = [info for info, since in replaced.items() if since + grace <= dt.datetime.now(dt.UTC)]
    for info in due:
        store.delete(info.path)
    return Compaction(merged, written, len(due))


def replaced_parts(store: Store, table: str) -> dict[ObjectInfo, dt.datetime]:
    """Parts of which another holds every commit, and since when."""
    return dict(_replaced(_survey(store, table)))


@dataclass(frozen=True, slots=True)
class _Held:
    """A part and the commits in it."""

    info: ObjectInfo
    commits: frozenset[str]

    def replaces(self, other: _Held) -> bool:
        """Whether the other can go while this stays.

        No two parts ever replace each other, not even in the eyes of two compactions at once, so
        of all parts with a commit the greatest is never removed.
        """
        if self.commits == other.commits:
            return self.info.path < other.info.path
        return self.commits > other.commits


def _survey(store: Store, table: str) -> list[_Held]:
    """The parts that compaction may touch: those that are named by this program."""
    held = []
    for info in list(store.list(f"tables/{table}")):
        name = info.path.removeprefix(f"tables/{table}/")
        if COMMIT_NAME.fullmatch(name):
            held.append(_Held(info, frozenset([name])))
        elif MERGED_NAME.fullmatch(name):
            try:
                part = read_part(store, table, info.path, (), info.size)
            except FileNotFoundError:
                continue  # another compaction removed it
            held.append(_Held(info, frozenset(commit for commit, _ in part.commits)))
    return held


def _replaced(held: Sequence[_Held]) -> Iterator[tuple[ObjectInfo, dt.datetime]]:
    holders: dict[str, list[_Held]] = {}
    for one in held:
        for commit in one.commits:
            holders.setdefault(commit, []).append(one)
    for one in held:
        # What holds all of its commits holds any one of them.
        others = holders[next(iter(one.commits))]
        if since := [other.info.modified for other in others if other.replaces(one)]:
            yield one.info, min(since)


def _groups(small: Sequence[_Held]) -> Iterator[list[_Held]]:
    """Parts to merge into one each, none too large."""
    group: list[_Held] = []
    size = 0
    for one in small:
        if group and size + one.info.size > LARGE_PART:
            yield group
            group, size = [], 0
        group.append(one)
        size += one.info.size
    yield group


def _merge(store: Store, table: str, group: Sequence[_Held]) -> int:
    """Write one part with all commits of a group; return how many parts it can stand for."""
    schema = SCHEMAS[table]
    places: dict[str, range] = {}
    parts: list[pa.Table] = []
    first = 0
    for one in group:
        try:
            part = read_part(store, table, one.info.path)
        except FileNotFoundError:
            continue  # another compaction removed it
        # A column that only a later release knows must not be lost.
        if part.whole and part.rows.schema.equals(schema):
            places |= {name: range(first + a, first + b) for name, a, b in part.spans()}
            parts.append(part.rows)
            first += len(part.rows)
    if len(parts) < 2:  # noqa: PLR2004 - one part is merged already
        return 0
    names = sorted(places)
    # In one go: a slice for each of very many commits would take minutes.
    order = pa.array(itertools.chain.from_iterable(places[name] for name in names), pa.int64())
    rows = pa.concat_tables(parts).take(order).replace_schema_metadata(schema.metadata)
    data = encode_part(rows, tuple((name, len(places[name])) for name in names))
    store.write_bytes(f"tables/{table}/merged-{part_digest(data)}.parquet", data)
    return len(parts)
