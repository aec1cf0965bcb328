"""The S3 side of the store: boto3 for objects and listings, pyarrow.fs for Parquet.

Endpoint, region and credentials come from the standard AWS variables or profile, never from a run's
configuration.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import functools
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from boto3.exceptions import RetriesExceededError
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    ParamValidationError,
)
from typing_extensions import override

from components.errors import TransientError, UserError
from components.storage.store import ObjectInfo, Store, Unfinished, checked_path

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

MAX_ATTEMPTS = 10
"""Tries of one request: enough to wait out a minute without the server."""
PAGE_SIZE = 1000
"""Objects listed by one request: S3's most."""

_ABSENT = {"404", "NoSuchKey", "NoSuchUpload", "NotFound"}
_PASSING = {"408", "429", "RequestTimeout", "SlowDown", "Throttling", "TooManyRequests"}
_LOWEST_SERVER_ERROR = 500


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
        with _explained(f"{self.root}/{path}"):
            client().put_object(Bucket=self._bucket, Key=self._key(path), Body=data)

    @override
    def write_file(self, path: str, source: Path) -> None:
        with _explained(f"{self.root}/{path}"), source.open("rb") as handle:
            client().upload_fileobj(handle, self._bucket, self._key(path))

    @override
    def read_bytes(self, path: str) -> bytes:
        with _explained(f"{self.root}/{path}"):
            answer = client().get_object(Bucket=self._bucket, Key=self._key(path))
            data: bytes = answer["Body"].read()
            return data

    @override
    def read_range(self, path: str, start: int, stop: int) -> bytes:
        with _explained(f"{self.root}/{path}"):
            answer = client().get_object(
                Bucket=self._bucket, Key=self._key(path), Range=f"bytes={start}-{stop - 1}"
            )
            data: bytes = answer["Body"].read()
            return data

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
        with _explained(f"{self.root}/{path}"):
            client().delete_object(Bucket=self._bucket, Key=self._key(path))

    @override
    def unfinished(self, prefix: str) -> Iterator[Unfinished]:
        below = self._key(prefix) + "/"
        with _explained(f"{self.root}/{prefix}"):
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
        with contextlib.suppress(FileNotFoundError), _explained(f"{self.root}/{write.path}"):
            client().abort_multipart_upload(
                Bucket=self._bucket, Key=self._key(write.path), UploadId=write.upload
            )

    @override
    def arrow(self) -> tuple[FileSystem, str]:
        from pyarrow.fs import S3FileSystem  # 0.3 s that `--help` need not pay

        # The default background_writes=True hangs when an upload fails; it is off, so it raises.
        _spare_checksums()
        filesystem = S3FileSystem(
            background_writes=False,
            # Without it pyarrow asks another server for bucket.host, which few have.
            endpoint_override=os.environ.get("AWS_ENDPOINT_URL_S3"),
        )
        return filesystem, f"{self._bucket}/{self._prefix}".rstrip("/")


def stat_object(bucket: str, key: str, path: str | None = None) -> ObjectInfo | None:
    """Size and ETag of any object, or none when it is absent."""
    try:
        with _explained(f"s3://{bucket}/{key}"):
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
    with _explained(f"s3://{bucket}/{key}"):
        client().download_file(bucket, key, str(target))


def list_objects(bucket: str, prefix: str) -> Iterator[ObjectInfo]:
    """All objects whose key begins with the prefix, in key order; ``path`` is the whole key."""
    with _explained(f"s3://{bucket}/{prefix}"):
        for page in (
            client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        ):
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


_CLIENT_LOCK = threading.Lock()


def client() -> Any:
    """The process's S3 client, for any thread; it retries throttling and short outages."""
    with _CLIENT_LOCK:  # making a client is not safe from several threads, using one is
        return _make_client()


@functools.cache
def _make_client() -> Any:
    _spare_checksums()
    # A session of its own: the default one keeps the credentials that it saw first.
    return boto3.session.Session().client(
        "s3",
        config=Config(
            signature_version="s3v4",
            connect_timeout=10,
            read_timeout=60,
            retries={"max_attempts": MAX_ATTEMPTS, "mode": "standard"},
        ),
    )


def _spare_checksums() -> None:
    """Gateways other than AWS refuse the trailing checksums that newer SDKs send by default."""
    os.environ.setdefault("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")


@contextlib.contextmanager
def _explained(uri: str) -> Iterator[None]:
    """Turn boto3's errors into the ones the pipeline knows, naming the object."""
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code in _ABSENT:
            raise FileNotFoundError(f"{uri} does not exist") from error
        if status < _LOWEST_SERVER_ERROR and code not in _PASSING:
            raise UserError(
                f"S3 refused {uri} ({code}): check the bucket's name and the "
                "credentials in AWS_ACCESS_KEY_ID, AWS_PROFILE or the instance's role"
            ) from error
        raise TransientError(f"S3 answered {code} for {uri}: {error}") from error
    except (ParamValidationError, NoCredentialsError) as error:
        raise UserError(f"S3 cannot be asked for {uri}: {error}") from error
    except (BotoCoreError, RetriesExceededError) as error:
        raise TransientError(
            f"S3 cannot be reached for {uri}: {error}; check AWS_ENDPOINT_URL_S3"
        ) from error
