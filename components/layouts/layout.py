"""Where a benchmark looks for an edit, and in which form."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from components.errors import UserError
from components.storage.address import parse_uri


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """What `tav export` needs to know of a benchmark."""

    place: Callable[[str, str], PurePosixPath | None]
    """From a video's and an edit's id to the file or folder, relative to the submission's; none
    where they are no ids that its importer gives."""
    sought: Callable[[Collection[str]], list[str]]
    """From the ids of a video's edits to all that the benchmark's index looks for."""
    write: Callable[[Path, Path], None]
    """From an edit's mp4 to the target, which is not there yet."""


def local_path(address: str, option: str) -> Path:
    """An option's path, absolute.

    Raises:
        UserError: it is on S3.
    """
    found = parse_uri(address)
    if found.on_s3:
        raise UserError(
            f"{option} is {address!r}, but must be on this machine: give a local path, and copy "
            "from or to S3 with another program"
        )
    return Path(os.path.abspath(found.location))  # noqa: PTH100 - links stay as the user calls them
