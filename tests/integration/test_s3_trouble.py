"""What an S3 server may do to a client: refuse, vanish for a while, break off, fill up."""

from __future__ import annotations

import copy
import datetime as dt
import itertools
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import botocore.auth
import botocore.awsrequest
import pytest
from botocore.exceptions import ConnectionClosedError

from components.errors import RefusedError, TransientError, UserError
from components.storage import patience, s3_client
from components.storage.open import open_store
from components.storage.store import Store
from components.video.sources import stat_source
from tests.integration.s3_server import S3Server

CALLS: dict[str, Callable[[Store], Any]] = {
    "read_bytes": lambda store: store.read_bytes("a"),
    "list": lambda store: list(store.list()),
    "write_bytes": lambda store: store.write_bytes("a", b""),
    "stat": lambda store: store.stat("a"),
}


def use_environment(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    s3_client.connection.cache_clear()


@pytest.mark.parametrize("call", ["read_bytes", "list", "write_bytes"])
def test_a_wrong_bucket_is_the_users_error(s3_bucket: str, call: str) -> None:
    store = open_store(f"s3://{s3_bucket}-gone/run")
    with pytest.raises(UserError, match=r"S3 refused s3://bucket-.*NoSuchBucket.*check the bucket"):
        CALLS[call](store)


def test_a_bucket_that_cannot_be_is_the_users_error(s3_bucket: str) -> None:
    with pytest.raises(UserError, match=r"(?s)S3 cannot be asked .*Invalid bucket name"):
        list(open_store("s3://no bucket/run").list())


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("AWS_SECRET_ACCESS_KEY", "SignatureDoesNotMatch"),
        ("AWS_ACCESS_KEY_ID", "InvalidAccessKeyId"),
    ],
)
def test_wrong_keys_are_the_users_error(
    s3_bucket: str, monkeypatch: pytest.MonkeyPatch, name: str, code: str, call: str
) -> None:
    use_environment(monkeypatch, {name: "wrong"})
    message = rf"S3 refused s3://{s3_bucket}/run.* \({code}\): check AWS_ACCESS_KEY_ID"
    with pytest.raises(UserError, match=message):
        CALLS[call](open_store(f"s3://{s3_bucket}/run"))
    with pytest.raises(RefusedError, match=code):
        stat_source(f"s3://{s3_bucket}/a.mp4")


def test_keys_that_were_replaced_are_taken_from_the_profile(
    s3_bucket: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The server forgets a key; boto3's client and pyarrow's file system take the next one."""
    profile = tmp_path / "credentials"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    use_environment(monkeypatch, {"AWS_SHARED_CREDENTIALS_FILE": str(profile), "AWS_PROFILE": "me"})
    store = open_store(f"s3://{s3_bucket}/run")
    first, second = s3_server.new_key(), s3_server.new_key()
    profile.write_text(f"[me]\naws_access_key_id={first}\naws_secret_access_key=of-{first}\n")
    store.write_bytes("a", b"1")
    s3_server.forget_key(first)
    with pytest.raises(RefusedError, match="InvalidAccessKeyId"):
        store.read_bytes("a")
    profile.write_text(f"[me]\naws_access_key_id={second}\naws_secret_access_key=of-{second}\n")
    assert store.read_bytes("a") == b"1"
    filesystem, root = store.arrow()
    with filesystem.open_input_stream(f"{root}/a") as stream:
        assert stream.read() == b"1"


def test_a_reader_can_read_and_is_told_that_it_cannot_write(
    s3_bucket: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    open_store(f"s3://{s3_bucket}/run").write_bytes("a", b"1")
    use_environment(monkeypatch, s3_server.reader(s3_bucket))
    store = open_store(f"s3://{s3_bucket}/run")
    assert store.read_bytes("a") == b"1"
    large = tmp_path / "large"
    large.write_bytes(bytes(20 << 20))
    writes: list[Callable[[], Any]] = [
        lambda: store.write_bytes("a", b"2"),
        lambda: store.write_file("b", large),
        lambda: store.delete("a"),
    ]
    for write in writes:
        with pytest.raises(UserError, match=r"S3 refused .*\(AccessDenied\): .* lack the right"):
            write()
    assert store.read_bytes("a") == b"1"
    assert [info.path for info in store.list()] == ["a"]


@pytest.mark.parametrize("call", CALLS)
def test_a_wrong_clock_is_named(s3_bucket: str, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    right: Callable[..., dt.datetime] = botocore.auth.get_current_datetime
    with monkeypatch.context() as patch:
        patch.setattr(
            botocore.auth, "get_current_datetime", lambda **o: right(**o) - dt.timedelta(hours=1)
        )
        message = r"S3 refused .*\(RequestTimeTooSkewed\): S3 allows 15 minutes; set this machine's"
        with pytest.raises(UserError, match=message):
            CALLS[call](open_store(f"s3://{s3_bucket}/run"))
    assert not list(open_store(f"s3://{s3_bucket}").list())


def test_an_outage_is_waited_out_by_every_kind_of_request(
    s3_bucket: str, s3_server: S3Server, tmp_path: Path
) -> None:
    """20 s without the gateway; boto3's client and pyarrow's file system both come back."""
    store = open_store(f"s3://{s3_bucket}/run")
    store.write_bytes("a", b"1")
    filesystem, root = store.arrow()
    filesystem = copy.deepcopy(filesystem)  # as it reaches Ray Train: by what its __reduce__ says
    large = tmp_path / "large"
    large.write_bytes(bytes(range(256)) * (80 << 10))
    results: dict[str, Any] = {}

    def write_arrow() -> None:
        with filesystem.open_output_stream(f"{root}/arrow") as stream:
            stream.write(large.read_bytes())

    work: dict[str, Callable[[], Any]] = {
        "read": lambda: store.read_bytes("a"),
        "write": lambda: store.write_bytes("b", b"2"),
        "upload": lambda: store.write_file("large", large),
        "list": lambda: [info.path for info in store.list()][:1],
        "arrow": write_arrow,
    }

    def do(name: str) -> None:
        try:
            results[name] = work[name]()
        except BaseException as error:  # noqa: BLE001 - shown below
            results[name] = error

    s3_server.kill_gateway()
    started = time.monotonic()
    threads = [threading.Thread(target=do, args=(name,)) for name in work]
    for thread in threads:
        thread.start()
    time.sleep(20)
    assert not results, "all wait"
    s3_server.start_gateway()
    for thread in threads:
        thread.join()
    assert results == {"read": b"1", "write": None, "upload": None, "list": ["a"], "arrow": None}
    assert store.read_bytes("large") == store.read_bytes("arrow") == large.read_bytes()
    assert time.monotonic() - started < 90
    assert list(store.unfinished("large")) == []


def test_throttling_is_waited_out(s3_bucket: str) -> None:
    """The server is asked too often: its answer is replaced by what AWS says then."""
    store = open_store(f"s3://{s3_bucket}/run")
    store.write_bytes("a", b"1")
    tries: list[float] = []

    def count(request: Any, **_: Any) -> Any:
        tries.append(time.monotonic())
        if len(tries) <= 4:
            return botocore.awsrequest.AWSResponse(
                "", 503, {}, _Raw(b"<Error><Code>SlowDown</Code></Error>")
            )
        return None

    s3_client.client().meta.events.register("before-send.s3.GetObject", count)
    assert store.read_bytes("a") == b"1"
    assert len(tries) == 5
    waits = [later - earlier for earlier, later in itertools.pairwise(tries)]
    assert all(wait >= 0.1 * 2**n for n, wait in enumerate(waits))


class _Raw:
    """An answer's body, as urllib3 gives it."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def stream(self, **_: Any) -> Any:
        yield self.data


def test_an_outage_beyond_the_bound_is_a_passing_error(
    s3_bucket: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "OUTAGE_SECONDS", 3.0)
    store = open_store(f"s3://{s3_bucket}/run")
    store.write_bytes("a", b"1")
    s3_server.kill_gateway()
    try:
        started = time.monotonic()
        with pytest.raises(TransientError, match=r"S3 cannot be reached for s3://.*/run/a"):
            store.read_bytes("a")
        assert 3 <= time.monotonic() - started < 10
    finally:
        s3_server.start_gateway()


def test_a_failed_upload_leaves_nothing_behind(s3_bucket: str, tmp_path: Path) -> None:
    store = open_store(f"s3://{s3_bucket}/run")
    large = tmp_path / "large"
    large.write_bytes(bytes(30 << 20))
    parts: list[Any] = []

    def break_off(params: Any, **_: Any) -> None:
        parts.append(params)
        if len(parts) == 3:
            raise ConnectionClosedError(endpoint_url="x")

    s3_client.client().meta.events.register("before-call.s3.UploadPart", break_off)
    with pytest.raises(TransientError, match="cannot be reached"):
        store.write_file("large", large)
    assert len(parts) >= 3, "it was sent in parts"
    assert store.stat("large") is None
    assert list(store.unfinished("large")) == []
    store.write_file("large", large)
    info = store.stat("large")
    assert info is not None
    assert info.size == 30 << 20


def test_an_upload_whose_last_answer_was_lost_is_whole(s3_bucket: str, tmp_path: Path) -> None:
    """The upload is completed, but asked to be once more, as after a lost answer."""
    store = open_store(f"s3://{s3_bucket}/run")
    large = tmp_path / "large"
    large.write_bytes(bytes(range(256)) * (80 << 10))
    lost: list[str] = []

    def lose(parsed: Any, model: Any, http_response: Any, **_: Any) -> None:
        if not lost:
            lost.append(model.name)
            parsed["Error"] = {"Code": "NoSuchUpload", "Message": "repeated"}
            http_response.status_code = 404

    s3_client.client().meta.events.register("after-call.s3.CompleteMultipartUpload", lose)
    store.write_file("large", large)
    assert lost
    assert store.read_bytes("large") == large.read_bytes()
    assert list(store.unfinished("large")) == []


def test_an_answer_that_breaks_off_is_read_again(s3_bucket: str) -> None:
    store = open_store(f"s3://{s3_bucket}/run")
    data = bytes(range(256)) * 1000
    store.write_bytes("a", data)
    cut: list[int] = []

    def cut_short(parsed: Any, **_: Any) -> None:
        if len(cut) < 2:
            cut.append(parsed["ContentLength"])
            parsed["Body"].read(1000)
            parsed["Body"]._raw_stream.close()

    s3_client.client().meta.events.register("after-call.s3.GetObject", cut_short)
    assert store.read_bytes("a") == data
    assert len(cut) == 2
