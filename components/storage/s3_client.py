"""The process's S3 client: endpoint, region and credentials wherever boto3 finds them.

botocore reads a profile's keys once in a client's life, but a run may outlive them: when S3 calls
them expired or wrong, they are looked for anew before anything is given up.
"""

from __future__ import annotations

import functools
import os
import re
import threading
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore.config import Config
from botocore.credentials import Credentials, ReadOnlyCredentials
from botocore.exceptions import BotoCoreError, ClientError, InvalidConfigError
from typing_extensions import override

from components.storage.patience import Patience

_CONNECT_SECONDS, _READ_SECONDS = 10, 60

BAD_KEYS = frozenset(
    {
        *("ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"),
        *("InvalidToken", "InvalidAccessKeyId", "InvalidClientTokenId", "SignatureDoesNotMatch"),
        *("UnrecognizedClientException", "AuthFailure"),
    }
)
"""What S3 and its token service say of keys that newer ones may take the place of."""
UNSAID = frozenset({"301", "400", "401", "403", "404"})
"""All that a HEAD request is told, whatever the reason: its answer has no body."""
_LOOKS = 3
"""Times that one request makes this process look for other credentials."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where botocore sends a bucket's requests, and what it signs them with."""

    endpoint: str
    region: str
    virtual: bool
    """Whether the bucket is a part of the host's name."""
    credentials: ReadOnlyCredentials
    ca_bundle: str | None


def client() -> Any:
    """The process's S3 client, for any thread; it retries throttling and short outages.

    Raises:
        BotoCoreError: its configuration cannot be used.
    """
    with _LOCK:  # making a client is not safe from several threads, using one is
        return connection()[0]


def place_of(bucket: str) -> Place:
    """Ask botocore how it reaches a bucket, by all of its rules for endpoints and regions.

    Raises:
        BotoCoreError: nothing answers, or the configuration cannot be used.
        ClientError: S3 refuses.
    """
    try:
        client().head_bucket(Bucket=bucket)  # sent anew where the bucket is in another region
    except ClientError as error:
        if error.response["Error"]["Code"] not in {"403", "AccessDenied"}:  # it may do all else
            raise
    sent = _thread.sent
    url = urlsplit(sent.url)
    virtual = url.netloc.startswith(f"{bucket}.")
    path = url.path.removesuffix("/" if virtual else f"/{bucket}")
    signed = re.search(r"Credential=[^/]+/\d+/([^/]+)/", _text(sent.headers["Authorization"]))
    assert signed is not None  # signature_version says so
    return Place(
        endpoint=f"{url.scheme}://{url.netloc.removeprefix(f'{bucket}.')}{path}",
        region=signed[1],
        virtual=virtual,
        credentials=connection()[1].get_frozen_credentials(),
        ca_bundle=botocore.session.get_session().get_config_variable("ca_bundle"),
    )


def _text(header: str | bytes) -> str:
    return header.decode("ascii") if isinstance(header, bytes) else header


class _Thread(threading.local):
    """What a thread's requests have to know of each other."""

    sent: Any = None
    """The HEAD request of a bucket that was sent last."""
    asking: bool = False
    """Whether the reason for a refusal is being asked for; botocore's own HEADs may be part."""


_thread = _Thread()


def _note_sent(request: Any, **_: Any) -> None:
    _thread.sent = request


_LOCK = threading.Lock()


@functools.cache
def connection() -> tuple[Any, _Renewable]:
    """The client, and the credentials that it signs with."""
    # Gateways other than AWS refuse the trailing checksums that newer SDKs send by default.
    os.environ.setdefault("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
    session = _session()
    credentials = _Renewable()
    session.register_component("credential_provider", credentials)
    try:
        made = boto3.session.Session(botocore_session=session).client(
            "s3",
            config=Config(
                signature_version="s3v4",
                connect_timeout=_CONNECT_SECONDS,
                read_timeout=_READ_SECONDS,
                retries={"total_max_attempts": 1, "mode": "standard"},  # Patience decides
            ),
        )
    except BotoCoreError:
        raise
    except ValueError as error:  # an endpoint that is no URL
        raise InvalidConfigError(error_msg=str(error)) from error
    made.meta.events.register("needs-retry.s3", Patience())
    made.meta.events.register("before-sign.s3", credentials.note)
    made.meta.events.register("needs-retry.s3", credentials.retry)
    made.meta.events.register("before-send.s3.HeadBucket", _note_sent)
    made.meta.events.register_first("needs-retry.s3.HeadBucket", _end_redirects)
    for name in ("HeadObject", "HeadBucket"):
        made.meta.events.register(f"before-parameter-build.s3.{name}", _note_parameters)
        made.meta.events.register(f"needs-retry.s3.{name}", _ask_why)
    return made, credentials


def _session() -> Any:
    """A session that has read nothing yet: the default one keeps what it saw first."""
    session = botocore.session.get_session()
    # boto3 alone among Amazon's libraries does not read this one.
    if (region := os.environ.get("AWS_REGION")) and "AWS_DEFAULT_REGION" not in os.environ:
        session.set_config_variable("region", region)
    return session


class _Renewable(Credentials):  # type: ignore[misc]
    """The credentials that boto3 finds, and finds again when S3 takes them no more."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found = _session().get_credentials()
        self._generation = 0
        self.method = getattr(self._found, "method", None)

    def load_credentials(self) -> Credentials | None:
        """Itself, as a component of botocore's session; none when there are none."""
        return self if self._found is not None else None

    @override
    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        return self._found.get_frozen_credentials()

    @override
    def get_deferred_property(self, property_name: str) -> Any:
        return lambda: getattr(self.get_frozen_credentials(), property_name, None)

    def note(self, request: Any, **_: Any) -> None:
        """Handles botocore's event ``before-sign``."""
        request.context["tav_generation"] = self._generation

    def retry(self, request_dict: Any, response: Any, **_: Any) -> float | None:
        """Handles botocore's event ``needs-retry``: again, at once, when there are other keys."""
        context = request_dict["context"]
        looks = context.get("tav_looks", 0)
        if response is None or looks == _LOOKS or _code(response) not in BAD_KEYS:
            return None
        context["tav_looks"] = looks + 1
        return 0.0 if self._renew(context["tav_generation"]) else None

    def _renew(self, refused: int) -> bool:
        """Look for credentials anew; say whether there are others than those refused."""
        with self._lock:  # of many threads that are refused, one looks
            if self._generation != refused:
                return True
            try:
                found = _session().get_credentials()
                if found is None or found.get_frozen_credentials() == self._frozen():
                    return False
            except BotoCoreError:  # the refusal says more
                return False
            self._found = found
            self._generation += 1
            return True

    def _frozen(self) -> ReadOnlyCredentials | None:
        try:
            return self._found.get_frozen_credentials()
        except BotoCoreError:
            return None


def _end_redirects(request_dict: Any, response: Any, **_: Any) -> None:
    """Keep botocore from asking without end for the region that a redirect does not name."""
    told = {} if response is None else response[1].get("ResponseMetadata", {}).get("HTTPHeaders")
    if not told or "x-amz-bucket-region" not in told:
        request_dict["context"].setdefault("s3_redirect", {})["redirected"] = True


def _note_parameters(params: Any, context: Any, **_: Any) -> None:
    context["tav_asked_for"] = {name: params[name] for name in ("Bucket", "Key") if name in params}


def _ask_why(request_dict: Any, response: Any, operation: Any, **_: Any) -> float | None:
    """Handles ``needs-retry`` of HEAD requests: what is refused is asked for, to be told why."""
    context = request_dict["context"]
    if response is None or _code(response) not in UNSAID:
        return None
    if _thread.asking or "tav_told" in context:
        return None
    context["tav_told"] = _thread.asking = True
    asked_for = context["tav_asked_for"]
    try:
        if operation.name == "HeadObject":
            client().get_object(**asked_for, Range="bytes=0-0")["Body"].close()
        else:
            client().list_objects_v2(**asked_for, MaxKeys=1)
    except ClientError as error:
        if error.response["Error"]["Code"] != "InvalidRange":  # it is empty
            response[1]["Error"] = error.response["Error"]
            return None
    finally:
        _thread.asking = False
    return 0.0


def _code(response: Any) -> str:
    code: str = response[1].get("Error", {}).get("Code", "")
    return code
