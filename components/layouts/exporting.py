"""From a variant's edits to the folder that a benchmark's own programs read."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from components.errors import ItemError, UserError
from components.layouts import loveu, v2vbench
from components.layouts.layout import Layout, local_path
from components.manifest.load import Manifest
from components.results.scored import Variants, scored_edits
from components.storage.scratch import remove, scratch_folder
from components.storage.store import Store
from components.storage.tables import Row

LAYOUTS: Mapping[str, Layout] = {"loveu": loveu.LAYOUT, "v2vbench": v2vbench.LAYOUT}


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written, and what the benchmark's index will not find."""

    written: int
    missing: tuple[str, ...]
    """A line each: what, and why."""


def export_layout(
    layout: str,
    store: Store,
    manifest: Manifest,
    chosen: Variants,
    folder: str,
    *,
    overwrite: bool = False,
) -> Exported:
    """Write the edits of one variant where a benchmark looks for them. Each appears whole.

    Args:
        layout: One of ``LAYOUTS``.
        store: The run's store.
        manifest: What the run was asked for; its ids are those that the benchmark's importer gave.
        chosen: The one variant.
        folder: A local folder, made if absent.
        overwrite: Whether edits that are there are replaced.

    Raises:
        UserError: there are several variants, no id is of the benchmark, an edit is there already,
            or the folder cannot be written.
    """
    if len(chosen) != 1:
        raise UserError(
            f"a submission holds one variant, but the run has {len(chosen)} "
            f"({', '.join(chosen)}): name one with --variant"
        )
    kind, root = LAYOUTS[layout], local_path(folder, "--to")
    rows = {one.edit["edit_id"]: one.edit for one in scored_edits(store, chosen)}
    places = dict(_sought(kind, manifest))
    if not any(places.values()):
        raise UserError(
            f"no video of the run's manifest has an id of {layout}: make the manifest with "
            f"`tav import-benchmark {layout}`"
        )
    targets = {name: root / path for name, path in places.items() if path and name in rows}
    _check_free(targets.values(), overwrite=overwrite)
    missing: list[str] = []
    for edit_id, path in places.items():
        if path is None:
            missing.append(f"{edit_id}: {layout} has no place for it")
        elif edit_id not in rows:
            missing.append(f"{edit_id}: the run holds no such edit; `tav failures` may say why")
        else:
            try:
                _write(kind, store, rows[edit_id], targets[edit_id])
            except ItemError as error:
                missing.append(f"{edit_id}: {error}")
            except OSError as error:
                raise UserError(f"cannot write {root / path} ({error}): see --to") from error
    return Exported(len(places) - len(missing), tuple(missing))


def _sought(layout: Layout, manifest: Manifest) -> Iterator[tuple[str, Path | None]]:
    """All that the index looks for: the edit's id, and where, or none for what has no place."""
    for video in manifest.videos:
        names = [edit.name for edit in video.edits]
        if all(layout.place(video.video_id, name) is None for name in names):
            yield from ((f"{video.video_id}/{name}", None) for name in names)
            continue
        for name in layout.sought(names):
            path = layout.place(video.video_id, name)
            yield f"{video.video_id}/{name}", None if path is None else Path(path)


def _check_free(targets: Iterable[Path], *, overwrite: bool) -> None:
    """Refuse to mix with what is there, before any work."""
    there = []
    for target in targets:
        if target.suffix and os.path.lexists(target.with_suffix("")):
            raise UserError(
                f"{target.with_suffix('')} is there, and would be taken before {target.name}: "
                "remove it, or give another --to"
            )
        if os.path.lexists(target):
            there.append(target)
    if there and not overwrite:
        raise UserError(
            f"{len(there)} of the edits are there already, such as {there[0]}: give another --to, "
            "or --overwrite to replace them"
        )


def _write(layout: Layout, store: Store, row: Row, target: Path) -> None:
    """Write an edit beside its place, and move it there when it is whole."""
    with scratch_folder() as scratch:
        clip = scratch / "edit.mp4"
        store.fetch_checked(row["video_uri"], clip, row["sha256"])
        target.parent.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix=".tmp-", dir=target.parent))
        try:
            made = staged / target.name
            layout.write(clip, made)
            if os.path.lexists(target):
                target.rename(staged / "former")  # no folder takes another one's place
            made.rename(target)
        finally:
            remove(staged)
