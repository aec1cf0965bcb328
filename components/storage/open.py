"""Opens the store that an address names."""

from __future__ import annotations

from components.storage.address import parse_uri, run_root
from components.storage.local import LocalStore
from components.storage.store import Store


def open_store(uri: str) -> Store:
    """Open a run's root or any folder of objects.

    Args:
        uri: A local path, ``file:///path`` or ``s3://bucket/prefix``.

    Raises:
        UserError: unknown scheme, or an S3 address without a bucket.
    """
    address = parse_uri(uri)
    if address.on_s3:
        from components.storage.s3 import S3Store  # boto3 takes 0.5 s

        return S3Store(*run_root(address.location))
    return LocalStore(address.location)
