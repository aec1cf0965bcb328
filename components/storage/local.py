"""The store in a folder: every object is a file, written beside its place, synced and renamed."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from components.errors import UserError
from components.storage.address import checked_path
from components.storage.store import ObjectInfo, Store, Unfinished, modified_at

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
