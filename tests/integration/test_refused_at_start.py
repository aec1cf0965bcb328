"""What a run cannot go on without is told within a minute, before any work, and nothing is left."""

from __future__ import annotations

import datetime as dt
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore.auth
import click
import pytest
import yaml

from components.cli.main import main
from components.storage import s3_client
from components.storage.open import open_store
from tests.integration.s3_server import S3Server

Place = Callable[[pytest.MonkeyPatch, S3Server, str], str]


def wrong_key(patch: pytest.MonkeyPatch, server: S3Server, bucket: str) -> str:
    patch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    return f"s3://{bucket}/run"


def wrong_secret(patch: pytest.MonkeyPatch, server: S3Server, bucket: str) -> str:
    patch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    return f"s3://{bucket}/run"


def no_keys(patch: pytest.MonkeyPatch, server: S3Server, bucket: str) -> str:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        patch.delenv(name)
    patch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    return f"s3://{bucket}/run"


def keys_in_the_address(patch: pytest.MonkeyPatch, server: S3Server, bucket: str) -> str:
    return f"s3://me:pa55word@{bucket}/run"


def wrong_bucket(patch: pytest.MonkeyPatch, server: S3Server, bucket: str) -> str:
    return f"s3://{bucket}-gone/run"


def wrong_endpoint(patch: pytest.MonkeyPatch, server: S3Server, bucket: str) -> str:
    patch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    return f"s3://{bucket}/run"


def read_only(patch: pytest.MonkeyPatch, server: S3Server, bucket: str) -> str:
    for name, value in server.reader(bucket).items():
        patch.setenv(name, value)
    return f"s3://{bucket}/run"


def wrong_clock(patch: pytest.MonkeyPatch, server: S3Server, bucket: str) -> str:
    right: Callable[..., dt.datetime] = botocore.auth.get_current_datetime
    patch.setattr(
        botocore.auth, "get_current_datetime", lambda **o: right(**o) + dt.timedelta(hours=1)
    )
    return f"s3://{bucket}/run"


CASES: dict[Place, str] = {
    wrong_key: r"S3 refused s3://.*\(InvalidAccessKeyId\): check AWS_ACCESS_KEY_ID",
    wrong_secret: r"S3 refused s3://.*\(SignatureDoesNotMatch\): check AWS_ACCESS_KEY_ID",
    no_keys: r"S3 cannot be asked for s3://.*Unable to locate credentials: set AWS_ACCESS_KEY_ID",
    keys_in_the_address: r"'s3://\*\*\*@.*/run' holds credentials.* in AWS_ACCESS_KEY_ID",
    wrong_bucket: r"S3 refused s3://.*-gone/run.* \(NoSuchBucket\): check the bucket's name",
    wrong_endpoint: r"S3 cannot be reached for s3://.*127\.0\.0\.1:9.*check AWS_ENDPOINT_URL_S3",
    read_only: r"S3 refused s3://.*\(AccessDenied\): these credentials lack the right .*: ask for",
    wrong_clock: r"S3 refused s3://.*\(RequestTimeTooSkewed\): S3 allows 15 minutes; set this",
}


@pytest.fixture
def config(tmp_path: Path, tiny_models: Path, tiny_clips: Path) -> Path:
    video = {"id": "fish", "uri": str(tiny_clips / "fish.mp4"), "prompt": "a red fish"}
    (tmp_path / "set.yaml").write_text(yaml.safe_dump({"videos": [video]}))
    document = {
        "run": "-",
        "manifest": str(tmp_path / "set.yaml"),
        "model": {"base": str(tiny_models / "base")},
        "score": {"model": str(tiny_models / "clip")},
        "video": {"num_frames": 4, "width": 64, "height": 64},
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(document))
    return tmp_path / "run.yaml"


def tav_run(config: Path, root: str) -> str:
    """The message that `tav run` ends with; it may take no minute and start no Ray."""
    import ray

    started = time.monotonic()
    with pytest.raises(click.ClickException) as caught:
        main(["run", "--config", str(config), f"run={root}"], standalone_mode=False)
    assert time.monotonic() - started < 60
    assert not ray.is_initialized()
    return caught.value.message


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_a_store_that_refuses_is_told_at_once(
    case: Place, config: Path, s3_server: S3Server, s3_bucket: str
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        root = case(patch, s3_server, s3_bucket)
        s3_client.connection.cache_clear()
        message = tav_run(config, root)
    assert re.search(CASES[case], message), message
    assert "pa55word" not in message
    s3_client.connection.cache_clear()
    assert list(open_store(f"s3://{s3_bucket}").list()) == []
    assert s3_server.client().list_multipart_uploads(Bucket=s3_bucket).get("Uploads", []) == []


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB with nothing left."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(place)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small file system takes root")
    try:
        (place / "other").write_bytes(bytes(64 << 10))
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_is_told_at_once(config: Path, full_disk: Path) -> None:
    message = tav_run(config, f"{full_disk}/run")
    lease = "/run/lease/00000001.json"
    assert f"{lease} cannot be written (No space left on device): free some" in message
    assert [path.name for path in full_disk.rglob("*") if path.is_file()] == ["other"]


def test_a_read_only_disk_is_told_at_once(config: Path, full_disk: Path) -> None:
    remount: Any = ["mount", "-o", "remount,ro", str(full_disk)]
    subprocess.run(remount, check=True)
    message = tav_run(config, f"{full_disk}/run")
    assert "/run/lease/00000001.json cannot be written (Read-only file system): mount it" in message
