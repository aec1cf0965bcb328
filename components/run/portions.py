"""One reading of a run's tables, dealt by the manifest's videos: a portion of them at a time.

Arrow holds every row that counts in a tenth of the memory that dictionaries take, and only one
portion's rows are dictionaries at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.manifest.edits import VideoEntry
from components.manifest.load import Manifest
from components.storage.tables import ReadArrow, wide

if TYPE_CHECKING:
    from numpy.typing import NDArray

PORTION = 20_000
"""Videos of a portion."""


def divided(manifest: Manifest) -> list[Manifest]:
    """The portions of a manifest, in order; a small one is its only one.

    The videos of a group lie in one, as their work depends on each other.
    """
    if len(manifest.videos) <= PORTION:
        return [manifest]
    groups: dict[str, list[VideoEntry]] = {}
    for entry in manifest.videos:
        if entry.group is not None:
            groups.setdefault(entry.group, []).append(entry)
    parts: list[list[VideoEntry]] = [[]]
    for entry in manifest.videos:
        together = [entry] if entry.group is None else groups.pop(entry.group, [])
        if parts[-1] and len(parts[-1]) + len(together) > PORTION:
            parts.append([])
        parts[-1] += together
    return [Manifest(name=manifest.name, videos=tuple(part)) for part in parts]


class Dealt:
    """The rows of each portion of a manifest; a table is read when it is first asked for."""

    def __init__(self, read: ReadArrow, parts: Sequence[Manifest]) -> None:
        self._read = read
        ids = [entry.video_id for part in parts for entry in part.videos]
        self._ids = pa.array(ids, pa.string())
        sizes = [len(part.videos) for part in parts]
        self._portion_of = np.repeat(np.arange(len(parts)), sizes)
        self._tables: dict[str, tuple[pa.Table, NDArray[np.int64]]] = {}

    def table(
        self,
        number: int,
        table: str,
        columns: Sequence[str] | None = None,
        *,
        with_part: bool = False,
    ) -> pa.Table:
        """The rows that ``read_arrow`` gives, of the videos of one portion, in order of commit.

        Args:
            number: The portion's.
            table: The table's name; it is always asked for in the same way.
            columns: See ``read_arrow``.
            with_part: See ``read_arrow``.
        """
        if table not in self._tables:
            self._tables[table] = self._deal(self._read(table, columns, with_part=with_part))
        rows, bounds = self._tables[table]
        first, end = map(int, bounds[number : number + 2])
        return rows.slice(first, end - first)

    def _deal(self, rows: pa.Table) -> tuple[pa.Table, NDArray[np.int64]]:
        """The rows portion after portion, and where each begins; of videos that are asked for."""
        places = pc.index_in(rows["video_id"], value_set=self._ids).fill_null(-1).to_numpy()
        portions = np.where(places < 0, -1, self._portion_of[places])
        order = np.argsort(portions, kind="stable")
        bounds = np.searchsorted(portions[order], np.arange(self._portion_of[-1] + 2))
        if (np.diff(order) == 1).all():
            return rows, bounds
        return wide(rows).take(pa.array(order)), bounds
