"""Dataset manifests: which videos, and which edits of each.

A manifest is a YAML, JSON, JSONL, CSV or Parquet file, or a folder or bucket prefix of videos.
It is read and linted whole before any work. Of a folder every video below it is an entry, its id
made from its path, and an optional ``edits.yaml`` in the folder holds ``edits:`` for all of them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from components.errors import SourceError, UserError
from components.manifest.edits import CATEGORIES, Category, EditEntry, VideoEntry, expand_edit
from components.manifest.fields import valid_id
from components.manifest.lint import Linter
from components.manifest.read import SUFFIXES, byte_limit, read_tree
from components.storage.address import Address, parse_uri
from components.storage.scratch import scratch_folder
from components.syntax.document import YAML_SUFFIXES
from components.syntax.tree import LazyNodes, ManifestError, Node, Problems, to_node
from components.video.containers import CONTAINERS
from components.video.sources import fetch_source, resolve_uri, stat_source
from components.video.videos_below import FOLDER_EDITS, list_videos
from tav_model.config import ControlConfig

__all__ = [
    "CATEGORIES",
    "Category",
    "EditEntry",
    "Manifest",
    "ManifestError",
    "VideoEntry",
    "expand_edit",
    "from_document",
    "load_manifest",
    "to_document",
]

logger = logging.getLogger(__name__)

DOCUMENT_VERSION = 1
_FOLDER_ID_CHARS = 80


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """A linted manifest with absolute addresses."""

    name: str
    """Of the file or folder, as plain as an id."""
    videos: tuple[VideoEntry, ...]


def load_manifest(uri: str, root: str | None = None) -> Manifest:
    """Read and lint a manifest.

    Args:
        uri: A local path, ``file://`` or ``s3://`` address of a manifest file, or of a folder or
            bucket prefix of videos.
        root: The folder or bucket prefix that a file's relative addresses are taken from, in any
            of these forms; none is the file's own.

    Raises:
        ManifestError: it is missing, too large, or has problems; all are listed with their lines.
        UserError: unknown scheme, a root that is no folder or that nothing is taken from, or S3
            refused.
        TransientError: S3 did not answer.
    """
    problems = Problems(uri)
    address = parse_uri(uri)
    suffix = PurePosixPath(address.location).suffix.lower()
    if not address.on_s3 and Path(address.location).is_dir():
        _check_no_root(root, uri)
        return _load_folder(address, problems)
    if suffix in SUFFIXES:
        base = _folder_of(address) if root is None else _checked_root(root)
        tree = read_tree(_read(address, byte_limit(suffix), problems), suffix, problems)
        linter = Linter(problems, base, number_ids=suffix not in YAML_SUFFIXES)
        videos = linter.videos(tree)
        return Manifest(name=_plain(PurePosixPath(address.location).stem), videos=videos)
    if not address.on_s3:
        if Path(address.location).exists():
            known = ", ".join(SUFFIXES)
            problems.fail(0, f"has the suffix {suffix!r}, but manifests end in {known}: rename it")
        problems.fail(0, "does not exist: check manifest in the run's configuration")
    _check_no_root(root, uri)
    return _load_folder(address, problems)


def _checked_root(root: str) -> str | Address:
    address = parse_uri(root)
    if address.on_s3:
        return address
    folder = Path(address.location).absolute()
    if not folder.is_dir():
        raise UserError(
            f"manifest_root is {root!r}, which is no folder: name the one that the manifest's "
            "relative addresses begin in, or leave it out"
        )
    return str(folder)


def _check_no_root(root: str | None, uri: str) -> None:
    if root is not None:
        raise UserError(
            f"manifest_root is {root!r}, but the manifest {uri!r} is itself a folder of videos, "
            "whose addresses are whole: leave it out"
        )


def to_document(manifest: Manifest) -> dict[str, Any]:
    """The manifest as plain JSON values, with every name filled in and every address absolute."""
    videos = []
    for entry in manifest.videos:
        edits = [
            _given(id=edit.name, category=edit.category, prompt=edit.prompt, replace=edit.replace)
            for edit in entry.edits
        ]
        videos.append(
            _given(
                id=entry.video_id,
                uri=entry.uri,
                mask=entry.mask,
                maps=entry.maps,
                control=None if entry.control is None else _nets(entry.control),
                group=entry.group,
                prompt=entry.prompt,
                frames=entry.video,
                edits=edits,
            )
        )
    return {"version": DOCUMENT_VERSION, "name": manifest.name, "videos": videos}


def _nets(nets: Sequence[ControlConfig]) -> dict[str, Any]:
    return {"nets": [dataclasses.asdict(net) for net in nets]}


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def from_document(document: dict[str, Any]) -> Manifest:
    """The inverse of ``to_document``; linted like any manifest.

    Raises:
        ManifestError: the document is of another version or has problems.
    """
    problems = Problems("the saved manifest")
    if document.get("version") != DOCUMENT_VERSION:
        version = document.get("version")
        problems.fail(0, f"is of version {version!r}, but this release reads {DOCUMENT_VERSION}")
    found = document.get("videos")
    nodes = LazyNodes(to_node(one, 0) for one in found) if isinstance(found, list) else found
    tree = Node({"videos": Node(nodes, 0)}, 0)
    videos = Linter(problems, "/").videos(tree)
    return Manifest(name=str(document.get("name")), videos=videos)


def _load_folder(root: Address, problems: Problems) -> Manifest:
    addresses, remarks = list_videos(root)
    for remark in remarks:
        logger.warning("%s: %s", root.uri, remark)
    if not addresses:
        problems.fail(0, "holds 0 videos, but at least 1 is needed")
    edits = Node(None, 0)
    if (edits_file := _folder_edits(root)) is not None:
        problems.source = edits_file.uri
        tree = read_tree(_read(edits_file, byte_limit(".yaml"), problems), ".yaml", problems)
        if not isinstance(tree.value, dict) or set(tree.value) != {"edits"}:
            problems.fail(1, "must hold edits: (a list) and nothing else")
        edits = tree.value["edits"]
    folder = resolve_uri(".", root)
    below = folder if folder.endswith("/") else f"{folder}/"
    name = posixpath.basename(folder.rstrip("/"))
    videos = []
    for address in addresses:
        relative = "" if address in (below[:-1], below) else address.removeprefix(below)
        videos.append(to_node({"id": _folder_id(relative or name), "uri": address}, 0))
    entries = Linter(problems, root).videos(Node({"videos": Node(videos, 0), "edits": edits}, 0))
    return Manifest(name=_plain(name), videos=entries)


def _folder_edits(folder: Address) -> Address | None:
    """The address of the folder's ``edits.yaml``, if it has one."""
    address = parse_uri(resolve_uri(FOLDER_EDITS, folder))
    if address.on_s3:
        from components.storage.s3 import stat_object

        return address if stat_object(address.bucket, address.key) is not None else None
    return address if Path(address.location).exists() else None


def _folder_id(relative: str) -> str:
    """An id for a video of a folder, which depends on its own path alone.

    ``walk.mp4`` becomes ``walk``. A path that is no id as it stands, such as ``a/my walk.mp4``,
    becomes its plain form and a hash of the path.
    """
    suffix = PurePosixPath(relative).suffix
    # Not with_suffix(): keys of S3 that differ in a slash or a dot are different ones.
    stem = relative.removesuffix(suffix) if suffix.lower() in CONTAINERS else relative
    if valid_id(stem):
        return stem
    digest = hashlib.sha256(relative.encode(errors="surrogatepass")).hexdigest()[:8]
    return f"{_plain(stem)[:_FOLDER_ID_CHARS]}-{digest}"


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]+", "-", text).strip("-_") or "videos"


def _read(address: Address, limit: int, problems: Problems) -> bytes:
    try:
        size = stat_source(address).size
        if size > limit:
            problems.fail(0, f"has {size} bytes, but the limit is {limit}: split it, or use JSONL")
        with scratch_folder("tav-manifest-") as folder:
            return fetch_source(address, folder).read_bytes()
    except (SourceError, OSError) as error:
        problems.fail(0, str(error))


def _folder_of(address: Address) -> str:
    """The folder or bucket prefix that a manifest file lies in."""
    if address.on_s3:
        return f"s3://{address.location.rpartition('/')[0]}/"
    return str(Path(address.location).absolute().parent)
