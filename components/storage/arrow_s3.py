"""pyarrow's S3 file system at boto3's place, with settings that survive the way to another process.

Ray Train gets one and pickles it, which loses the retries: it would give up after 3 tries. Imported
where it is needed, for it takes 0.3 s.
"""

from __future__ import annotations

from typing import Any

from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem
from typing_extensions import override

from components.storage.s3_client import place_of
from components.storage.s3_errors import explained

ATTEMPTS = 11
"""Tries of one request, 20 s apart at most: enough to wait out a minute without the server."""


class PatientS3FileSystem(S3FileSystem):  # type: ignore[misc]
    """Asks where a bucket lies, and for what credentials, in the process that it is in.

    pyarrow reads fewer sources of both than boto3 does, and would ask another server.
    """

    def __init__(self, bucket: str) -> None:
        self._bucket = bucket
        with explained(f"s3://{bucket}"):
            place = place_of(bucket)
        super().__init__(
            access_key=place.credentials.access_key,
            secret_key=place.credentials.secret_key,
            session_token=place.credentials.token,
            region=place.region,
            endpoint_override=place.endpoint,
            force_virtual_addressing=place.virtual,
            tls_ca_file_path=place.ca_bundle,
            background_writes=False,  # the default hangs when an upload fails; so it raises
            retry_strategy=AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
            connect_timeout=10,
            request_timeout=60,
        )

    @override
    def __reduce__(self) -> tuple[Any, ...]:
        return PatientS3FileSystem, (self._bucket,)
