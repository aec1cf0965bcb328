"""All videos below a folder or a bucket's prefix: the manifest of somebody who has written none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from components.errors import UserError
from components.storage.address import Address, parse_uri, s3_prefix
from components.video.frame_sets import natural_key
from components.video.listing import find_videos

FOLDER_EDITS = "edits.yaml"
"""The file of a folder of videos that holds the edits of all of them."""


def list_videos(uri: str | Address) -> tuple[list[str], tuple[str, ...]]:
    """Find all videos below a folder or bucket prefix; see ``find_videos``.

    Hidden names (``.…``) are skipped; symbolic links to folders are not followed.

    Returns:
        The addresses in natural order, and what to tell of the files that are no videos.

    Raises:
        UserError: the folder is missing, or the store cannot be read.
    """
    address = parse_uri(uri)
    if address.on_s3:
        below = s3_prefix(address.location)
        root, names = f"s3://{address.bucket}/{below}", _s3_names(address.bucket, below)
    else:
        folder = Path(os.path.abspath(address.location))  # noqa: PTH100 - as resolve_uri, `..` and all
        if not folder.is_dir():
            raise UserError(
                f"the folder {address.uri!r} does not exist: check the manifest's address"
            )
        root, names = f"{folder.as_posix().rstrip('/')}/", _local_names(folder)
    found = find_videos(name for name in names if name != FOLDER_EDITS)
    videos = [f"{root}{name}" for name in found.files]
    videos += [_folder_address(root, name) for name in found.folders]
    return sorted(videos, key=natural_key), found.remarks


def _folder_address(root: str, name: str) -> str:
    whole = f"{root}{name}" if name else root.removesuffix("/")
    # Of a folder without a name, between two slashes of a key, only the second one tells.
    return f"{whole}/" if whole.endswith("/") else whole


def _local_names(folder: Path) -> Iterator[str]:
    for found in sorted(folder.rglob("*")):
        relative = found.relative_to(folder)
        if found.is_file() and not any(part.startswith(".") for part in relative.parts):
            yield relative.as_posix()


def _s3_names(bucket: str, below: str) -> Iterator[str]:
    from components.storage.s3 import list_objects

    for info in list_objects(bucket, below):
        name = info.path.removeprefix(below)
        # A key's "." and ".." hide nothing: they are names like others.
        parts = name.split("/")
        hidden = any(part.startswith(".") and part not in {".", ".."} for part in parts)
        # A key that ends in a slash is what consoles show as an empty folder.
        if name and not name.endswith("/") and not hidden:
            yield name
