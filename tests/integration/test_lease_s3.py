"""The run's lease on a real S3 server, among drivers in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from components.run.lease import FOLDER, Lease, LeaseHeldError
from components.storage.open import open_store
from tests.integration.s3_server import S3Server
from tests.lease_drivers import HOLD, race

SHORT = 2.0
RIDES_OUT = 12.0
"""More than the longest pause between two tries of a request (5 s): else an owner may be asleep."""


@pytest.mark.parametrize("dead", [False, True])
def test_of_many_drivers_at_once_exactly_one_goes_on(s3_bucket: str, *, dead: bool) -> None:
    root = f"s3://{s3_bucket}/run"
    store = open_store(root)
    if dead:
        with Lease(store, SHORT):
            left = json.loads(store.read_bytes(f"{FOLDER}/00000001.json"))
        left["owner"]["kernel"] = "another machine"
        store.write_bytes(f"{FOLDER}/00000001.json", json.dumps(left).encode())
    assert race(root, drivers=5, seconds=SHORT) == 1
    assert len(list(store.list(FOLDER))) == 1


def test_a_lease_outlives_an_outage_of_the_server(s3_bucket: str, s3_server: S3Server) -> None:
    """Neither does its owner lose it, nor does another one get it."""
    root = f"s3://{s3_bucket}/run"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, root, str(RIDES_OUT)], stdout=subprocess.PIPE, text=True
    ) as driver:
        assert driver.stdout is not None
        assert driver.stdout.readline() == "held\n"
        s3_server.kill_gateway()
        try:
            time.sleep(RIDES_OUT + 1)
        finally:
            s3_server.start_gateway()
        with (
            pytest.raises(LeaseHeldError, match=f"pid {driver.pid} on"),
            Lease(open_store(root), RIDES_OUT),
        ):
            pass
        assert driver.poll() is None
        driver.kill()
