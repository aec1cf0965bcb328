"""A run's edits as a Hugging Face dataset: a folder that `datasets` and the hub's viewer read.

    README.md                 the card (see ``card``)
    metadata.parquet          a row for each variant and edit; file_name, source_file_name
    edits/ab/<digest>.mp4     the edits, byte for byte
    sources/ab/<digest>.mp4   their clips

Files are called by their content: two variants share what they share, what is there is not fetched
again, and no id becomes a path, or a split (`datasets` takes a ``train.mp4`` for one). Folders by
two digits keep below the files that the hub takes in one.
"""

from __future__ import annotations

import io
import re
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from components.errors import ItemError, UserError
from components.layouts.card import dataset_card, measure_columns, public_base
from components.layouts.exporting import Exported
from components.layouts.layout import local_path
from components.manifest.load import Manifest
from components.results.export import write_whole
from components.results.scored import ScoredEdit, Variants, scored_edits
from components.storage.store import Store, file_sha256
from components.storage.tables import Row, read_table

TABLE, CARD = "metadata.parquet", "README.md"
EDITS, SOURCES = "edits", "sources"
_OURS = re.compile(r"[0-9a-f]{2}/[0-9a-f]{32}\.mp4")
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.-]{0,63}")
_TEXTS = (
    *("file_name", "source_file_name", "video_id", "edit_id", "variant", "method", "category"),
    *("source_prompt", "prompt", "base_model", "base_revision", "edit_key", "code_version"),
)


@dataclass(frozen=True, slots=True)
class _File:
    """One object of the run, and where it goes."""

    uri: str
    sha256: str
    path: str
    """Relative to the dataset's folder."""


def export_dataset(
    store: Store,
    manifest: Manifest,
    chosen: Variants,
    folder: str,
    *,
    license_id: str = "unknown",
    overwrite: bool = False,
) -> Exported:
    """Write the edits of all chosen variants as a dataset; card and table appear last.

    An export that broke off is gone on with by the same call.

    Args:
        store: The run's store.
        manifest: What the run was asked for.
        chosen: The variants.
        folder: A local folder, made if absent.
        license_id: What the card says of the licence, by the hub's names.
        overwrite: Whether a former export there is replaced.

    Raises:
        UserError: there is no edit, another export is there, the licence is no name of one, or the
            folder cannot be written.
    """
    if not _LICENSE.fullmatch(license_id):
        raise UserError(
            f"--license is {license_id!r}, but must be one of the hub's names, such as cc-by-4.0 "
            "or apache-2.0"
        )
    root = local_path(folder, "--to")
    if not (edits := scored_edits(store, chosen)):
        raise UserError("the run holds no edit, so there is nothing to write: `tav run` makes them")
    missing = list(_unmade(manifest, chosen, edits))
    clips = _clips(store)
    files: dict[str, _File] = {}
    for one in edits:
        found = _files(one, clips)
        files |= {file.path: file for file in found if file is not None}
    lost: set[str] = set()
    try:
        _check_free(root, files, overwrite=overwrite)
        for file in files.values():
            try:
                _place(store, file, root)
            except ItemError as error:
                lost.add(file.path)
                missing.append(f"{file.path}: {error}")
        rows = [row for one in edits if (row := _row(one, clips, lost)) is not None]
        card = dataset_card(edits, len(rows), license_id)
        _write(root, _table(rows, edits), card, overwrite=overwrite)
        _remove_stale(root, files)
    except OSError as error:
        raise UserError(f"cannot write {root} ({error}): see --to") from error
    return Exported(len(rows), tuple(missing))


def _unmade(manifest: Manifest, chosen: Variants, edits: Iterable[ScoredEdit]) -> Iterator[str]:
    there = {(one.variant, one.edit["edit_id"]) for one in edits}
    for variant in chosen:
        for video in manifest.videos:
            for edit in video.edits:
                edit_id = f"{video.video_id}/{edit.name}"
                if (variant, edit_id) not in there:
                    of = f"{variant}: " if variant else ""
                    yield f"{of}{edit_id}: the run holds no such edit; `tav failures` may say why"


def _clips(store: Store) -> dict[str, Row]:
    """Rows of ``videos`` that have a preview, by key; of one key the last."""
    rows = read_table(store, "videos", ("video_id", "clip_uri", "clip_sha256"))
    return {f"{row['video_id']}/{row['video_key']}": row for row in rows if row["clip_uri"]}


def _files(one: ScoredEdit, clips: dict[str, Row]) -> tuple[_File, _File | None]:
    """An edit's own file and its clip's, if there is one."""
    edit = one.edit
    clip = clips.get(f"{edit['video_id']}/{edit['video_key']}")
    source = None if clip is None else _file(SOURCES, clip["clip_uri"], clip["clip_sha256"])
    return _file(EDITS, edit["video_uri"], edit["sha256"]), source


def _file(kind: str, uri: str, sha256: str) -> _File:
    path = PurePosixPath(kind, sha256[:2], f"{sha256[:32]}.mp4")
    return _File(uri, sha256, str(path))


def _row(one: ScoredEdit, clips: dict[str, Row], lost: set[str]) -> Row | None:
    """An edit's row of the table; none if its file is not there."""
    edit, (file, source) = one.edit, _files(one, clips)
    if file.path in lost:
        return None
    if source is not None and source.path in lost:
        source = None
    kept = ("video_id", "edit_id", "category", "source_prompt", "prompt", "edit_key")
    values = {
        f"{score['protocol']}.{name}": value
        for score in one.scores
        for name, value in score["values"].items()
    }
    return {
        **{name: edit[name] for name in (*kept, "num_frames", "fps", "seed", "code_version")},
        "file_name": file.path,
        "source_file_name": None if source is None else source.path,
        "variant": one.variant,
        "method": one.method,
        "base_model": public_base(edit),
        "base_revision": edit["base_revision"],
        **values,
    }


def _table(rows: list[Row], edits: list[ScoredEdit]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [
            *((name, pa.string()) for name in _TEXTS),
            *((name, pa.int64()) for name in ("num_frames", "seed")),
            ("fps", pa.float64()),
            *((name, pa.float64()) for name in measure_columns(edits)),
        ]
    )
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), sink, compression="zstd")
    return sink.getvalue()


def _check_free(root: Path, files: dict[str, _File], *, overwrite: bool) -> None:
    """Refuse to mix with another export, or with what is none, before any work."""
    if not overwrite and (root / CARD).exists() and not (root / TABLE).exists():
        raise UserError(
            f"{root / CARD} is there, and of no export: give another --to, or --overwrite to "
            "replace it"
        )
    if not overwrite and (strange := [path for path in _videos(root) if path not in files]):
        raise UserError(
            f"{root} holds {len(strange)} video(s) of another export, such as {strange[0]}: give "
            "another --to, or --overwrite to replace it"
        )


def _videos(root: Path) -> list[str]:
    """The videos of this layout that are there."""
    return [
        f"{kind}/{found}"
        for kind in (EDITS, SOURCES)
        for path in sorted((root / kind).glob("*/*.mp4"))
        if _OURS.fullmatch(found := path.relative_to(root / kind).as_posix())
    ]


def _place(store: Store, file: _File, root: Path) -> None:
    """Fetch a file beside its place, and move it there when it is whole."""
    target = root / file.path
    if target.is_file() and file_sha256(target) == file.sha256:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=root) as staged:
        part = Path(staged, target.name)
        store.fetch_checked(file.uri, part, file.sha256)
        part.replace(target)


def _write(root: Path, table: bytes, card: str, *, overwrite: bool) -> None:
    written = {TABLE: table, CARD: card.encode("utf-8", errors="replace")}
    for name, data in written.items():
        path = root / name
        if path.exists() and not overwrite and path.read_bytes() != data:
            raise UserError(
                f"{path} is there, and the run's is another: give another --to, or --overwrite to "
                "replace it"
            )
    for name, data in written.items():
        write_whole(str(root / name), data)


def _remove_stale(root: Path, files: dict[str, _File]) -> None:
    """Of a former export that is replaced."""
    for path in _videos(root):
        if path not in files:
            (root / path).unlink()
