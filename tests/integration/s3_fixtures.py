"""The S3 server of a test session, and buckets in it."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator

import pytest

from tests.integration.s3_install import S3UnavailableError
from tests.integration.s3_server import S3Server, unpacked


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """The session's server; its tests are skipped where it cannot be had."""
    try:
        prefix = unpacked()
    except S3UnavailableError as error:
        pytest.skip(str(error))
    server = S3Server(prefix, tmp_path_factory.mktemp("s3") / "data")
    with contextlib.ExitStack() as stack:
        stack.callback(server.stop)
        server.start()
        yield server


@pytest.fixture
def s3_bucket(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket of the test's own; the project's client is pointed at its server."""
    from components.storage import s3_client

    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    # The project's own to set: put here to be restored.
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "")
    monkeypatch.delenv("AWS_REQUEST_CHECKSUM_CALCULATION")
    s3_client.connection.cache_clear()
    bucket = f"bucket-{uuid.uuid4().hex[:12]}"
    s3_server.client().create_bucket(Bucket=bucket)
    yield bucket
    s3_client.connection.cache_clear()
