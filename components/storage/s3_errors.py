"""What S3's refusals mean, and for whom: for the run, or for one object.

What S3 says of the keys, the account, the region, the clock or the bucket holds for every object:
it ends the run with one message, and no item has failed. What it says of one object is that item's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from boto3.exceptions import RetriesExceededError
from botocore import exceptions as boto
from botocore.exceptions import BotoCoreError, ClientError

from components.errors import DeniedError, RefusedError, TransientError, UserError
from components.redact import redacted
from components.storage.s3_client import BAD_KEYS, client

ABSENT = frozenset({"404", "NoSuchKey", "NoSuchUpload", "NotFound"})
_PASSING = frozenset(
    {
        *("408", "429", "RequestTimeout", "SlowDown", "Throttling", "TooManyRequests"),
        "PreconditionFailed",  # the object was replaced while it was read
    }
)
_LOWEST_SERVER_ERROR = 500
_LONGEST_REASON = 300

_EXPIRED = (
    "these credentials have expired: renew them where they come from (`aws sso login`, new keys in "
    "the profile or the environment), and run again; no item has failed for it"
)
_KEYS = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE or the instance's role"
_REGION = "the bucket is in another region: set AWS_DEFAULT_REGION"
_ACCOUNT = "the account may not use S3: ask whoever runs it, or use other credentials"
_DENIED = (
    "these credentials lack the right to do this there: ask for it (a run reads, writes, lists and "
    "deletes below its root, and reads its sources), or use other credentials or another place"
)
_OF_ALL = {
    **dict.fromkeys(BAD_KEYS, _KEYS),
    **dict.fromkeys(
        ("ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"),
        _EXPIRED,
    ),
    **dict.fromkeys(
        ("301", "PermanentRedirect", "AuthorizationHeaderMalformed", "TemporaryRedirect"), _REGION
    ),
    "IllegalLocationConstraintException": _REGION,
    "IllegalLocationConstraint": _REGION,
    "NoSuchBucket": "check the bucket's name, or create the bucket",
    "InvalidBucketName": "check the bucket's name",
    "RequestTimeTooSkewed": "S3 allows 15 minutes; set this machine's clock, best by NTP",
    **dict.fromkeys(
        ("AccountProblem", "AllAccessDisabled", "NotSignedUp", "UserSuspended"), _ACCOUNT
    ),
    "QuotaExceeded": "the bucket or account is full: free some of it, or ask for more",
    "InvalidSecurity": _KEYS,
    "401": _KEYS,
}
"""Remedies of what holds for every object."""
_OF_ONE = {
    "AccessDenied": _DENIED,
    "403": _DENIED,
    "InvalidObjectState": "the object is archived: restore it first",
    "KeyTooLongError": "S3 takes 1024 bytes: shorten the address",
}
_UNREACHED = (
    boto.ConnectionError,
    boto.HTTPClientError,
    boto.IncompleteReadError,
    boto.ChecksumError,
    boto.FlexibleChecksumError,
)
_OF_BOTO: tuple[tuple[type[BotoCoreError], str], ...] = (
    (
        boto.NoCredentialsError,
        "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    ),
    (boto.ProfileNotFound, "check AWS_PROFILE, and AWS_CONFIG_FILE if it is set"),
    (boto.SSOError, "`aws sso login` renews it; then run again, no item has failed for it"),
    (boto.TokenRetrievalError, "`aws sso login` renews it; then run again"),
    (boto.ParamValidationError, "check the address"),
)
_CONFIGURATION = "check the AWS variables and profile"


@contextlib.contextmanager
def explained(uri: str) -> Iterator[None]:
    """Turn boto3's errors into the ones the pipeline knows, naming the object.

    Raises:
        FileNotFoundError: there is no such object.
        RefusedError: what S3 said, or boto3 lacks, holds for every object.
        DeniedError: S3 refuses this object to these credentials.
        UserError: S3 refuses this object for another reason.
        TransientError: S3 did not answer, or says that it may later.
    """
    try:
        yield
    except ClientError as error:
        raise _meaning(uri, error) from error
    except (*_UNREACHED, RetriesExceededError) as error:
        raise TransientError(
            f"S3 cannot be reached for {uri}: {error}; check AWS_ENDPOINT_URL_S3, "
            "AWS_ENDPOINT_URL or the profile's endpoint_url, and the network"
        ) from error
    except BotoCoreError as error:
        remedy = next((text for kind, text in _OF_BOTO if isinstance(error, kind)), _CONFIGURATION)
        # A bucket's name that cannot be is one address's error.
        kind = UserError if isinstance(error, boto.ParamValidationError) else RefusedError
        reason = redacted(str(error)).rstrip(".")
        raise kind(
            f"S3 cannot be asked for {uri} ({type(error).__name__}): {reason}: {remedy}"
        ) from error


def _meaning(uri: str, error: ClientError) -> Exception:
    code = error.response["Error"]["Code"]
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if error.operation_name not in client().meta.method_to_api_mapping.values():
        # Of the service that gives out the keys.
        return RefusedError(
            f"S3 cannot be asked for {uri}: {error.operation_name} was refused ({code}): "
            f"{_OF_ALL.get(code, _KEYS)}"
        )
    if code in ABSENT:
        return FileNotFoundError(f"{uri} does not exist")
    if status >= _LOWEST_SERVER_ERROR or code in _PASSING:
        return TransientError(f"S3 answered {code} for {uri}: {error}")
    if code in _OF_ALL:
        return RefusedError(f"S3 refused {uri} ({code}): {_OF_ALL[code]}")
    if code in {"AccessDenied", "403"}:
        return DeniedError(f"S3 refused {uri} ({code}): {_OF_ONE[code]}")
    reason = redacted(error.response["Error"].get("Message", ""))[:_LONGEST_REASON]
    return UserError(f"S3 refused {uri} ({code}): {_OF_ONE.get(code, reason)}")
