"""Where source videos come from: local files, folders of frames, and objects on S3.

Names are the user's own and may hold anything that a file name or an S3 key may: they are never
joined into a path that is written to.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import posixpath
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from components.config import VideoLimits
from components.errors import RefusedError, SourceError, UserError
from components.records.keys import content_key
from components.redact import redacted
from components.storage.address import Address, parse_uri, s3_prefix
from components.storage.store import ObjectInfo, file_sha256, modified_at
from components.video.folder import frame_files
from components.video.frame_sets import choose_frames, is_picture
from components.video.limits import DEFAULT_LIMITS, check_limit
from components.video.names import missing

MAX_NAME_BYTES = 200
"""UTF-8 bytes of the name of one image of a folder on S3 (local file systems take 255)."""


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What is known of a source without reading it."""

    version: str
    """Changes when the content may have changed (S3: ETags; local: sizes and times)."""
    size: int
    """Bytes; of a folder of frames, of all its images."""


def resolve_uri(uri: str, base: str | Address) -> str:
    """Make an address of a manifest whole.

    Args:
        uri: A path, ``file://`` or ``s3://`` address; a relative path is taken from ``base``. On
            S3 the ``./`` and ``../`` that it begins with lead from folder to folder; all else is
            the key's as it stands, empty segments and dots too.
        base: The manifest's folder or bucket prefix, with or without a slash at its end.

    Raises:
        UserError: unknown scheme, an S3 address without a bucket, or a path that leaves it.
    """
    location = parse_uri(uri).location
    if "://" in uri or location.startswith("/"):
        return uri
    folder = parse_uri(base)
    if not folder.on_s3:
        # Not resolve(): a link stays what the user calls it.
        path = posixpath.join(folder.location, location)
        return os.path.abspath(path)  # noqa: PTH100 - see stat_source
    prefix, key = s3_prefix(folder.location), location
    while (step := key.partition("/")[0]) in {".", ".."}:
        if step == "..":
            if not prefix:
                raise UserError(
                    f"{uri!r} leads out of the bucket of {folder.uri!r}: give its address"
                )
            prefix = prefix[: prefix.rfind("/", 0, -1) + 1]
        key = key[len(step) + 1 :]
    return f"s3://{folder.bucket}/{prefix}{key}"


def stat_source(uri: str | Address, limits: VideoLimits = DEFAULT_LIMITS) -> SourceInfo:
    """Find out whether a source is there and in which version.

    Args:
        uri: An absolute path, ``file://`` or ``s3://`` address of a video or a folder of frames.
        limits: What it may hold.

    Raises:
        SourceError: it is missing, empty, unreadable, or over a limit.
        RefusedError: S3 refuses the account or the bucket.
        TransientError: S3 did not answer.
    """
    with _explained(uri) as address:
        return _info(_members(address, limits)[0], limits)


def listed_source(uri: str, info: ObjectInfo, limits: VideoLimits = DEFAULT_LIMITS) -> SourceInfo:
    """What ``stat_source`` says of an object that a listing shows.

    Raises:
        SourceError: it is over a limit.
    """
    with _explained(uri):
        return _info([info], limits)


def fetch_source(
    uri: str | Address,
    folder: Path,
    limits: VideoLimits = DEFAULT_LIMITS,
    tell: Callable[[str], object] | None = None,
) -> Path:
    """Make a source readable as a local file or folder of frames.

    Args:
        uri: As for ``stat_source``. A local source is used where it lies.
        folder: An empty local folder that an S3 source may be written to.
        limits: What it may hold.
        tell: Called with each remark on a folder of frames; see ``FrameSet.remarks``.

    Raises:
        SourceError: it is missing, empty, unreadable, or over a limit.
        RefusedError: S3 refuses the account or the bucket.
        TransientError: S3 did not answer, or the connection broke.
    """
    with _explained(uri) as address:
        members, remarks = _members(address, limits)
        _info(members, limits)  # checks the sizes before anything is downloaded
        if tell is not None:
            for remark in remarks:
                tell(remark)
        if not address.on_s3:
            return Path(address.location)
        from components.storage.s3 import fetch_object

        bucket, key = address.bucket, address.key
        if [member.path for member in members] == [key]:
            target = folder / f"source{PurePosixPath(key).suffix.lower()[:8]}"
            fetch_object(bucket, key, target)
            return target
        frames = folder / "frames"
        frames.mkdir()
        for member in members:
            fetch_object(bucket, member.path, frames / posixpath.basename(member.path))
        return frames


def source_sha256(path: Path) -> str:
    """SHA-256 of a video file, or of the sorted names and SHA-256s of a folder's images.

    Returns:
        64 hex digits.

    Raises:
        SourceError: the source vanished or cannot be read.
    """
    with _explained(str(path)):
        if path.is_dir():
            members = sorted([file.name, file_sha256(file)] for file in frame_files(path)[0])
            canonical = json.dumps(members, separators=(",", ":"))  # ASCII, whatever the names
            return hashlib.sha256(canonical.encode()).hexdigest()
        return file_sha256(path)


def _members(address: Address, limits: VideoLimits) -> tuple[list[ObjectInfo], tuple[str, ...]]:
    """The file or object itself, else the frames directly below it; and what to tell of these."""
    if address.on_s3:
        return _s3_members(address, limits)
    location = address.location
    status = os.stat(location)  # noqa: PTH116 - a Path for each of 100 000 sources takes seconds
    if not stat.S_ISDIR(status.st_mode):
        return [_local_info(location, status)], ()
    files, remarks = frame_files(Path(location), limits)
    return [_local_info(str(file), file.stat()) for file in files], remarks


def _s3_members(address: Address, limits: VideoLimits) -> tuple[list[ObjectInfo], tuple[str, ...]]:
    from components.storage.s3 import list_objects, stat_object

    bucket, key = address.bucket, address.key
    if key and not key.endswith("/") and (info := stat_object(bucket, key)) is not None:
        return [info], ()
    below = s3_prefix(address.location)
    found: dict[str, ObjectInfo] = {}
    for info in list_objects(bucket, below):
        name = info.path.removeprefix(below)
        if name and "/" not in name:
            found[name] = info
            check_limit(below, "files", len(found), limits.frames, "split it")
    if not any(map(is_picture, found)):
        raise FileNotFoundError(key)
    chosen = choose_frames(below, list(found))
    for name in chosen.names:
        _check_name(name)
    return [found[name] for name in chosen.names], chosen.remarks


def _check_name(name: str) -> None:
    length = len(name.encode("utf-8", errors="replace"))
    check_limit(f"the name {name[:40]!r}…", "bytes", length, MAX_NAME_BYTES, "rename the image")
    if not name.isprintable():
        raise SourceError(f"the image {name!r} has control characters in its name: rename it")


def _local_info(file: str, status: os.stat_result) -> ObjectInfo:
    if not stat.S_ISREG(status.st_mode):  # reading a pipe or a device may never end
        raise SourceError(f"{file} is no regular file: copy its content to one")
    version = f"{status.st_size}-{status.st_mtime_ns}"
    return ObjectInfo(posixpath.basename(file), status.st_size, version, modified_at(status))


def _info(members: Iterable[ObjectInfo], limits: VideoLimits) -> SourceInfo:
    found = list(members)
    size = sum(member.size for member in found)
    remedy = "cut or re-encode it, or raise video.limits.file_gib"
    check_limit(found[0].path, "bytes in all", size, limits.file_bytes, remedy)
    if len(found) == 1:
        return SourceInfo(found[0].version, size)
    return SourceInfo(content_key(members=[[info.path, info.version] for info in found]), size)


@contextlib.contextmanager
def _explained(given: str | Address) -> Iterator[Address]:
    """Turn what a source's address may cause into a SourceError: the run goes on without it."""
    uri = given.uri if isinstance(given, Address) else given
    try:
        yield (address := parse_uri(given))
    except FileNotFoundError as error:
        raise SourceError(missing(address)) from error
    except OSError as error:
        raise SourceError(f"{uri} cannot be read: {error.strerror or error}") from error
    except RefusedError:
        raise
    except (UserError, ValueError) as error:
        raise SourceError(f"{redacted(uri)!r} cannot be read: {error}") from error
