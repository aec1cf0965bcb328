"""Where a run's objects and tables live: a local folder or an S3 prefix, behind one interface.

An object appears whole or not at all: a local write goes to a temporary file that is synced and
renamed, an S3 write is one PUT (or a multipart upload that is completed or aborted).
"""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import hashlib
import os
import stat
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from components.errors import TransientError, UserError
from components.storage.address import checked_path, split_uri

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

_TEMPORARY = ".tmp-"
"""Begins the name of a file that is being written; no object's name can."""
_UNWRITABLE = {
    errno.ENOSPC: "free some space there",
    errno.EDQUOT: "free some space there, or ask for a larger quota",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EROFS: "mount it for writing",
    errno.EACCES: "change its permissions",
    errno.EPERM: "change its permissions",
}
"""What a disk may say to a write that no other item of the run would fare better with."""
_ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}


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


class LocalStore(Store):
    """A folder."""

    def __init__(self, root: str | Path) -> None:
        self.root = str(root)
        self._base = Path(root).absolute()

    def _locate(self, path: str) -> Path:
        return self._base / checked_path(path)

    @override
    def write_bytes(self, path: str, data: bytes) -> None:
        with self._replacing(path) as handle:
            handle.write(data)

    @override
    def create_bytes(self, path: str, data: bytes) -> bool:
        try:
            with self._replacing(path, _link) as handle:
                handle.write(data)
        except FileExistsError:
            return self._locate(path).read_bytes() == data  # as NFS may say of the first link too
        return True

    @override
    def write_file(self, path: str, source: Path) -> None:
        with self._replacing(path) as handle, source.open("rb") as original:
            while chunk := original.read(1 << 20):
                handle.write(chunk)

    @contextlib.contextmanager
    def _replacing(
        self, path: str, place: Callable[[Path, Path], object] = Path.replace
    ) -> Iterator[Any]:
        target = self._locate(path)
        with _writable(f"{self.root}/{path}"):
            target.parent.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(prefix=_TEMPORARY, dir=target.parent)
            try:
                with os.fdopen(descriptor, "wb") as handle:
                    yield handle
                    handle.flush()
                    os.fsync(handle.fileno())
                Path(name).chmod(0o644)
                place(Path(name), target)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise

    @override
    def read_bytes(self, path: str) -> bytes:
        return self._locate(path).read_bytes()

    @override
    def read_range(self, path: str, start: int, stop: int) -> bytes:
        with self._locate(path).open("rb") as handle:
            handle.seek(start)
            return handle.read(stop - start)

    @override
    def fetch(self, path: str, target: Path) -> None:
        with self._locate(path).open("rb") as source, target.open("wb") as handle:
            while chunk := source.read(1 << 20):
                handle.write(chunk)

    @override
    def stat(self, path: str) -> ObjectInfo | None:
        return self._info(self._locate(path))

    def _info(self, found: Path) -> ObjectInfo | None:
        """A file's own, none when there is none (any more)."""
        try:
            status = found.stat()
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            raise
        if not stat.S_ISREG(status.st_mode):
            return None
        relative = found.relative_to(self._base).as_posix()
        version = f"{status.st_size}-{status.st_mtime_ns}"
        return ObjectInfo(relative, status.st_size, version, modified_at(status))

    @override
    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        base = self._locate(prefix) if prefix else self._base
        # As S3 sorts: by the whole path, in which "a-b" comes before "a/b".
        for found in sorted(base.rglob("*"), key=Path.as_posix):
            if not found.name.startswith(_TEMPORARY) and (info := self._info(found)) is not None:
                yield info

    @override
    def delete(self, path: str) -> None:
        self._locate(path).unlink(missing_ok=True)

    @override
    def unfinished(self, prefix: str) -> Iterator[Unfinished]:
        for found in sorted(self._locate(prefix).rglob(f"{_TEMPORARY}*"), key=Path.as_posix):
            if (info := self._info(found)) is not None:
                yield Unfinished(info.path, info.size, info.modified)

    @override
    def discard(self, write: Unfinished) -> None:
        folder, _, name = write.path.rpartition("/")
        if not name.startswith(_TEMPORARY):
            raise ValueError(f"{write.path!r} is no temporary file")
        (self._locate(folder) / name).unlink(missing_ok=True)

    @override
    def arrow(self) -> tuple[FileSystem, str]:
        from pyarrow.fs import LocalFileSystem  # 0.3 s that `--help` need not pay

        return LocalFileSystem(), str(self._base)


def _link(temporary: Path, target: Path) -> None:
    """Give a file its name unless the name is taken (FileExistsError)."""
    target.hardlink_to(temporary)
    temporary.unlink()


@contextlib.contextmanager
def _writable(address: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        remedy = _UNWRITABLE[error.errno]
        raise UserError(
            f"{address} cannot be written ({error.strerror}): {remedy}, or use another run root; "
            "what is committed stays, and a new run goes on from there"
        ) from error


def open_store(uri: str) -> Store:
    """Open a run's root or any folder of objects.

    Args:
        uri: A local path, ``file:///path`` or ``s3://bucket/prefix``.

    Raises:
        UserError: unknown scheme, or an S3 address without a bucket.
    """
    scheme, location = split_uri(uri)
    if scheme == "s3":
        from components.storage.s3 import S3Store  # boto3 takes 0.5 s

        bucket, _, prefix = location.partition("/")
        return S3Store(bucket, prefix.strip("/"))
    return LocalStore(location)


def modified_at(status: os.stat_result) -> dt.datetime:
    """A file's time of change."""
    return dt.datetime.fromtimestamp(status.st_mtime, dt.UTC)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, as 64 hex digits."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
