"""A real Ray, shared by all runs of this folder, and configurations of tiny runs on it."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.s3_fixtures import s3_bucket, s3_server  # noqa: F401 - fixtures
from tests.runs import tiny_document

# Ray guards a cluster with a token, which the head and every driver of it must share.
os.environ["RAY_AUTH_MODE"] = "token"
os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)

# Ray gives its own start 30 s, which a busy machine may need twice.
HEAD = """
import sys, ray
for attempts_left in (2, 1, 0):
    try:
        context = ray.init(address="local", num_cpus=2, num_gpus=1, include_dashboard=False,
                           resources={"accelerator_type:A100": 1}, log_to_driver=False,
                           object_store_memory=500_000_000)
        break
    except Exception:
        ray.shutdown()
        if not attempts_left:
            raise
print(context.address_info["address"], flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="package")
def ray_address() -> Iterator[str]:
    """Address of a Ray of these tests' own, in another process so that runs can come and go.

    It ends with them: idle, it would take a quarter of a core from the tests that follow.
    """
    with subprocess.Popen(
        [sys.executable, "-c", HEAD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as head:
        assert head.stdout is not None
        address = head.stdout.readline().strip()
        assert address, "Ray did not start"
        yield address
        assert head.stdin is not None
        head.stdin.close()


@pytest.fixture
def tiny_run(tmp_path: Path, tiny_models: Path, ray_address: str) -> dict[str, Any]:
    """The document of a tiny run on that Ray."""
    return tiny_document(tmp_path, tiny_models) | {"ray": {"address": ray_address}}
