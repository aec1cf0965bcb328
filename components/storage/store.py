"""Where a run's objects and tables live: a local folder or an S3 prefix, behind one interface.

An object appears whole or not at all: a local write goes to a temporary file that is synced and
renamed, an S3 write is one PUT (or a multipart upload that is completed or aborted).
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from components.errors import TransientError

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One stored object."""

    path: str
    """Relative to the store's root, with ``/`` between segments."""
    size: int
    """Bytes."""
    version: str
    """Changes when the content may have changed (S3: ETag; local: size and mtime)."""
    modified: dt.datetime
    """When it was written, by the store's clock (S3 counts whole seconds)."""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A write that goes on at this moment, or that a killed process left."""

    path: str
    """Of the temporary file (local) or of the object that was to be (S3)."""
    size: int
    """Bytes that it takes."""
    modified: dt.datetime
    """When it was last written to (local) or begun (S3)."""
    upload: str = ""
    """S3's id of the multipart upload."""


class Store(ABC):
    """Objects by relative path. Paths are checked: none can leave the root."""

    root: str
    """The store's own address, as given by the user."""

    @abstractmethod
    def write_bytes(self, path: str, data: bytes) -> None:
        """Write an object whole, replacing one of the same path."""

    @abstractmethod
    def create_bytes(self, path: str, data: bytes) -> bool:
        """Write an object unless there is one of that path; say whether this call wrote it.

        Of several writers at once exactly one succeeds. The data must be no other writer's: a
        request that is sent again after a lost answer knows its own work by them.
        """

    @abstractmethod
    def write_file(self, path: str, source: Path) -> None:
        """Write a local file's content as an object."""

    @abstractmethod
    def read_bytes(self, path: str) -> bytes:
        """Read an object; FileNotFoundError names it when it is absent."""

    @abstractmethod
    def read_range(self, path: str, start: int, stop: int) -> bytes:
        """Read an object's bytes from ``start`` to before ``stop``, of which it has at least one.

        FileNotFoundError names the object when it is absent.
        """

    @abstractmethod
    def fetch(self, path: str, target: Path) -> None:
        """Write an object's content to a local file."""

    @abstractmethod
    def stat(self, path: str) -> ObjectInfo | None:
        """The object's size and version, or none when it is absent."""

    @abstractmethod
    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Objects below a folder, sorted by path. Unfinished writes never show."""

    @abstractmethod
    def delete(self, path: str) -> None:
        """Remove an object; one that is absent is fine."""

    @abstractmethod
    def unfinished(self, prefix: str) -> Iterator[Unfinished]:
        """Unfinished writes below a folder."""

    @abstractmethod
    def discard(self, write: Unfinished) -> None:
        """Remove what an unfinished write left; one that came to an end is fine."""

    @abstractmethod
    def arrow(self) -> tuple[FileSystem, str]:
        """A pyarrow file system and the root's path in it, for Parquet."""

    def fetch_checked(self, path: str, target: Path, sha256: str) -> None:
        """Fetch an object and compare its SHA-256 with the one its row recorded.

        Raises:
            TransientError: the object is absent or its content is not what the row names.
        """
        try:
            self.fetch(path, target)
        except FileNotFoundError as error:
            raise TransientError(f"{self.root}/{path} is gone, but a row names it") from error
        found = file_sha256(target)
        if found != sha256:
            raise TransientError(
                f"{self.root}/{path} has sha256 {found}, but its row says {sha256}: it was "
                "changed or damaged; delete it and its row, or run `tav run` with another root"
            )


def modified_at(status: os.stat_result) -> dt.datetime:
    """A file's time of change."""
    return dt.datetime.fromtimestamp(status.st_mtime, dt.UTC)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, as 64 hex digits."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
