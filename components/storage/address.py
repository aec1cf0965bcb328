"""Addresses of stores, and names of the objects in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote

from components.errors import UserError
from components.redact import redacted

SCHEMES = ("file", "s3")
_SEGMENT = re.compile(r"[\w][\w.+=@,-]{0,199}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Address:
    """Where something lies: an address that is parsed once and passed on."""

    uri: str
    """As it was given."""
    scheme: Literal["file", "s3"]
    location: str
    """A path; on S3 the bucket, a slash and the key."""

    @property
    def on_s3(self) -> bool:
        """Whether it is an object's or a prefix's, and not a path."""
        return self.scheme == "s3"

    @property
    def bucket(self) -> str:
        """On S3: the bucket."""
        return self.location.partition("/")[0]

    @property
    def key(self) -> str:
        """On S3: the key, as it stands."""
        return self.location.partition("/")[2]


def parse_uri(uri: str | Address) -> Address:
    """Take an address apart; one that is parsed already is returned as it is.

    Args:
        uri: A path, ``file://`` or ``s3://`` address.

    Raises:
        UserError: unknown scheme, or an S3 address without a bucket or with credentials.
    """
    return uri if isinstance(uri, Address) else Address(uri, *_split(uri))


def _split(uri: str) -> tuple[Literal["file", "s3"], str]:
    scheme, separator, location = uri.partition("://")
    if not separator:
        return "file", uri
    scheme = scheme.lower()
    if scheme not in SCHEMES:
        shown = redacted(uri)
        raise UserError(
            f"unknown scheme {scheme!r} in {shown!r}: use a local path, file:// or s3://"
        )
    if scheme == "file":
        if not location.removeprefix("localhost").startswith("/"):
            shown = redacted(uri)
            raise UserError(f"{shown!r} is no absolute address: use file:///folder or a plain path")
        return "file", unquote(location.removeprefix("localhost"))
    if location.startswith("/") or not location:
        raise UserError(f"{uri!r} names no bucket: use s3://bucket/prefix")
    if "@" in location.partition("/")[0]:
        raise UserError(
            f"{redacted(uri)!r} holds credentials, which would be written into tables and logs: "
            "give s3://bucket/prefix, and the credentials in AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY or AWS_PROFILE"
        )
    return "s3", location


def run_root(location: str) -> tuple[str, str]:
    """Split the location of a run's root on S3 into its bucket and its prefix.

    Raises:
        UserError: a segment of the prefix is empty, ``.`` or ``..``: S3 takes each for a name of
            its own, but pyarrow and people do not.
    """
    bucket, _, key = location.partition("/")
    prefix = key.removesuffix("/")
    odd = {"", ".", ".."} & set(prefix.split("/")) if key else set()
    if odd:
        raise UserError(
            f"the run's root s3://{location} holds the segment {min(odd)!r}, which S3 would take "
            "for a folder's name: write the address without it"
        )
    return bucket, prefix


def s3_prefix(location: str) -> str:
    """The key prefix of what lies in a folder: the location's key as it is, ended by a slash."""
    key = location.partition("/")[2]
    return key if not key or key.endswith("/") else f"{key}/"


def checked_path(path: str) -> str:
    """Return the path when each of its segments is plain; else raise ValueError."""
    for segment in path.split("/"):
        if not _SEGMENT.fullmatch(segment) or ".." in segment:
            raise ValueError(
                f"object path {path!r} holds the segment {segment!r}: segments are 1 to 200 of "
                "A-Z a-z 0-9 _ . + = @ , - and begin with a letter, a digit or _"
            )
    return path


def digest_name(name: str, sha256: str) -> str:
    """An object's name with the beginning of its content's digest.

    Work that is done twice at a time, or again after a crash, may give other bytes: so named, they
    never replace those that a row has named already.
    """
    return f"{name}-{sha256[:12]}"
