"""The S3 side of the store: boto3 for objects and listings, pyarrow.fs for Parquet.

Endpoint, region and credentials come from the standard AWS variables or profile, never from a run's
configuration.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, HTTPClientError, IncompleteReadError
from typing_extensions import override

from components.storage.address import checked_path
from components.storage.s3_client import client
from components.storage.s3_errors import explained
from components.storage.store import ObjectInfo, Store, Unfinished

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

_READS = 5
"""Tries of an answer whose connection broke half-way."""
PAGE_SIZE = 1000
"""Objects listed by one request: S3's most."""

_TAKEN = {"412", "PreconditionFailed", "409", "ConditionalRequestConflict"}
"""Answers to a conditional write that another one was before."""


class S3Store(Store):
    """A prefix of a bucket."""

    def __init__(self, bucket: str, prefix: str = "") -> None:
        self.root = f"s3://{bucket}/{prefix}".rstrip("/")
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""

    def _key(self, path: str) -> str:
        return self._prefix + checked_path(path)

    @override
    def write_bytes(self, path: str, data: bytes) -> None:
        with explained(f"{self.root}/{path}"):
            client().put_object(Bucket=self._bucket, Key=self._key(path), Body=data)

    @override
    def create_bytes(self, path: str, data: bytes) -> bool:
        place = {"Bucket": self._bucket, "Key": self._key(path)}
        with explained(f"{self.root}/{path}"):
            try:
                client().put_object(**place, Body=data, IfNoneMatch="*")
            except ClientError as error:
                if error.response["Error"]["Code"] not in _TAKEN:
                    raise
            else:
                return True
        try:
            return self.read_bytes(path) == data  # an earlier try may have written it
        except FileNotFoundError:
            return False

    @override
    def write_file(self, path: str, source: Path) -> None:
        with explained(f"{self.root}/{path}"), source.open("rb") as handle:
            try:
                client().upload_fileobj(handle, self._bucket, self._key(path))
            except ClientError as error:
                if error.response["Error"]["Code"] != "NoSuchUpload":
                    raise
                # It was completed, but the answer was lost and the request repeated.
                handle.seek(0)
                client().upload_fileobj(handle, self._bucket, self._key(path))

    @override
    def read_bytes(self, path: str) -> bytes:
        return self._read(path)

    @override
    def read_range(self, path: str, start: int, stop: int) -> bytes:
        return self._read(path, Range=f"bytes={start}-{stop - 1}")

    def _read(self, path: str, **options: str) -> bytes:
        key = self._key(path)
        with explained(f"{self.root}/{path}"):
            for attempt in range(_READS):
                answer = client().get_object(Bucket=self._bucket, Key=key, **options)
                try:
                    data: bytes = answer["Body"].read()
                except (HTTPClientError, IncompleteReadError):
                    if attempt == _READS - 1:
                        raise
                else:
                    return data
        raise AssertionError("not reached")

    @override
    def fetch(self, path: str, target: Path) -> None:
        fetch_object(self._bucket, self._key(path), target)

    @override
    def stat(self, path: str) -> ObjectInfo | None:
        return stat_object(self._bucket, self._key(path), path)

    @override
    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        below = self._key(prefix) + "/" if prefix else self._prefix
        for info in list_objects(self._bucket, below):
            yield dataclasses.replace(info, path=info.path.removeprefix(self._prefix))

    @override
    def delete(self, path: str) -> None:
        with explained(f"{self.root}/{path}"):
            client().delete_object(Bucket=self._bucket, Key=self._key(path))

    @override
    def unfinished(self, prefix: str) -> Iterator[Unfinished]:
        below = self._key(prefix) + "/"
        with explained(f"{self.root}/{prefix}"):
            for page in (
                client()
                .get_paginator("list_multipart_uploads")
                .paginate(Bucket=self._bucket, Prefix=below)
            ):
                for upload in page.get("Uploads", []):
                    yield Unfinished(
                        upload["Key"].removeprefix(self._prefix),
                        self._uploaded(upload["Key"], upload["UploadId"]),
                        _whole_seconds(upload["Initiated"]),
                        upload["UploadId"],
                    )

    def _uploaded(self, key: str, upload: str) -> int:
        pages = client().get_paginator("list_parts")
        try:
            return sum(
                part["Size"]
                for page in pages.paginate(Bucket=self._bucket, Key=key, UploadId=upload)
                for part in page.get("Parts", [])
            )
        except client().exceptions.NoSuchUpload:  # it came to its end
            return 0

    @override
    def discard(self, write: Unfinished) -> None:
        with contextlib.suppress(FileNotFoundError), explained(f"{self.root}/{write.path}"):
            client().abort_multipart_upload(
                Bucket=self._bucket, Key=self._key(write.path), UploadId=write.upload
            )

    @override
    def arrow(self) -> tuple[FileSystem, str]:
        from components.storage.arrow_s3 import PatientS3FileSystem

        return PatientS3FileSystem(self._bucket), f"{self._bucket}/{self._prefix}".rstrip("/")


def stat_object(bucket: str, key: str, path: str | None = None) -> ObjectInfo | None:
    """Size and ETag of any object, or none when it is absent."""
    try:
        with explained(f"s3://{bucket}/{key}"):
            head = client().head_object(Bucket=bucket, Key=key)
    except FileNotFoundError:
        return None
    return ObjectInfo(
        path or key,
        head["ContentLength"],
        head["ETag"].strip('"'),
        _whole_seconds(head["LastModified"]),
    )


def fetch_object(bucket: str, key: str, target: Path) -> None:
    """Write any object's content to a local file, which appears whole.

    Raises:
        FileNotFoundError: there is no such object.
    """
    with explained(f"s3://{bucket}/{key}"):
        client().download_file(bucket, key, str(target))


def list_objects(bucket: str, prefix: str) -> Iterator[ObjectInfo]:
    """All objects whose key begins with the prefix, in key order; ``path`` is the whole key."""
    with explained(f"s3://{bucket}/{prefix}"):
        pages = client().get_paginator("list_objects_v2")
        size = {"PageSize": PAGE_SIZE}
        for page in pages.paginate(Bucket=bucket, Prefix=prefix, PaginationConfig=size):
            yield from _infos(page)


def list_page(bucket: str, prefix: str, after: str) -> tuple[list[ObjectInfo], str]:
    """The first objects of a prefix whose key sorts behind one, by one request.

    Returns:
        The objects, and the key that the page ends at; none where nothing comes after it.
    """
    with explained(f"s3://{bucket}/{prefix}"):
        page = client().list_objects_v2(
            Bucket=bucket, Prefix=prefix, StartAfter=after, MaxKeys=PAGE_SIZE
        )
    contents = page.get("Contents", [])
    end: str = contents[-1]["Key"] if contents and page.get("IsTruncated") else ""
    return list(_infos(page)), end


def _infos(page: Mapping[str, Any]) -> Iterator[ObjectInfo]:
    for item in page.get("Contents", []):
        if not item["Key"].endswith("/"):  # pyarrow leaves empty folder markers
            yield ObjectInfo(
                item["Key"],
                item["Size"],
                item["ETag"].strip('"'),
                _whole_seconds(item["LastModified"]),
            )


def _whole_seconds(time: dt.datetime) -> dt.datetime:
    """The time as HEAD tells it; a listing may tell more of it."""
    return time.replace(microsecond=0)
