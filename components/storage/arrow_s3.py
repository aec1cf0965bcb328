"""pyarrow's S3 file system with settings that survive the way to another process.

Ray Train gets one and pickles it, which loses the retries: it would give up after 3 tries. Imported
where it is needed, for it takes 0.3 s.
"""

from __future__ import annotations

import os
from typing import Any

from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem
from typing_extensions import override

ATTEMPTS = 11
"""Tries of one request, 20 s apart at most: enough to wait out a minute without the server."""


class PatientS3FileSystem(S3FileSystem):  # type: ignore[misc]
    """Takes address and credentials from the environment of the process that it is in."""

    def __init__(self) -> None:
        # Gateways other than AWS refuse the trailing checksums that newer SDKs send by default.
        os.environ.setdefault("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
        super().__init__(
            background_writes=False,  # the default hangs when an upload fails; so it raises
            # Without it pyarrow asks another server for bucket.host, which few have.
            endpoint_override=os.environ.get("AWS_ENDPOINT_URL_S3"),
            retry_strategy=AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
            connect_timeout=10,
            request_timeout=60,
        )

    @override
    def __reduce__(self) -> tuple[Any, ...]:
        return PatientS3FileSystem, ()
