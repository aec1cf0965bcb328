"""One driver to a run: who gets the lease, who is told to wait, and what a lost one does."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from components.cli.main import main
from components.errors import EXIT_FAILED_ITEMS, UserError
from components.run.lease import FOLDER, Lease, LeaseHeldError, LeaseLostError
from components.run.owner import Owner
from components.storage.local import LocalStore
from tests.lease_drivers import HOLD, race

SHORT = 0.6
"""Seconds without a sign of life after which these leases may be taken over."""


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "run")


def record(store: LocalStore, **changes: Any) -> dict[str, Any]:
    """The newest lease's record, changed in place when changes to its owner are given."""
    newest = max(info.path for info in store.list(FOLDER))
    found: dict[str, Any] = json.loads(store.read_bytes(newest))
    if changes:
        found["owner"] |= changes
        store.write_bytes(newest, json.dumps(found).encode())
    return found


def abandon(store: LocalStore, **changes: Any) -> None:
    """Leave a lease as a killed driver does; changes say who it was."""
    with Lease(store, SHORT):
        left = record(store)
    left["owner"] |= changes
    newest = max(info.path for info in store.list(FOLDER))
    store.write_bytes(newest, json.dumps(left).encode())


ELSEWHERE = {"kernel": "another machine", "host": "elsewhere", "pid": 7}


def test_a_run_has_one_driver_at_a_time(store: LocalStore) -> None:
    with Lease(store, SHORT):
        with pytest.raises(LeaseHeldError) as refused, Lease(store, SHORT):
            pytest.fail("two drivers hold one run")
        message = str(refused.value)
        for words in (store.root, f"pid {os.getpid()} on ", " ago)", "tav status", f"{SHORT:g} s"):
            assert words in message
    began = time.monotonic()
    with Lease(store, SHORT):
        pass
    assert time.monotonic() - began < SHORT, "a released lease is free at once"
    assert len(list(store.list(FOLDER))) == 1


def test_a_driver_that_works_long_keeps_its_lease(store: LocalStore) -> None:
    with Lease(store, SHORT) as held:
        deadline = time.monotonic() + 3 * SHORT
        while time.monotonic() < deadline:
            with pytest.raises(LeaseHeldError), Lease(store, SHORT):
                pass
        held.check()


def test_a_killed_drivers_lease_is_free_at_once_on_its_own_machine(tmp_path: Path) -> None:
    root = str(tmp_path / "run")
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, root, "6"], stdout=subprocess.PIPE, text=True
    ) as driver:
        assert driver.stdout is not None
        assert driver.stdout.readline() == "held\n"
        with (
            pytest.raises(LeaseHeldError, match=f"pid {driver.pid} on"),
            Lease(LocalStore(root), 1),
        ):
            pass
        driver.kill()
        assert driver.stdout.read() == ""
        # Not reaped yet: it is a zombie, and no less dead.
        began = time.monotonic()
        with Lease(LocalStore(root), 6):
            assert time.monotonic() - began < 3


def test_a_lease_of_another_machine_is_free_after_its_time(store: LocalStore) -> None:
    abandon(store, **ELSEWHERE)
    began = time.monotonic()
    with Lease(store, SHORT):
        assert SHORT <= time.monotonic() - began < 5 * SHORT


def test_a_pid_means_nothing_elsewhere_and_may_be_another_process_here(store: LocalStore) -> None:
    here = Owner.here()
    assert not here.is_dead()
    assert dataclasses.replace(here, birth="1").is_dead()
    assert not dataclasses.replace(here, birth="1", kernel="another machine").is_dead()
    assert not dataclasses.replace(here, birth=None).is_dead()
    assert not dataclasses.replace(here, birth="1", kernel=None).is_dead()


@pytest.mark.parametrize("data", [b"", b"\xff", b"[]", b'{"owner": {}}', b'{"owner": 3}', b"null"])
def test_a_lease_that_cannot_be_read_is_free_after_its_time(store: LocalStore, data: bytes) -> None:
    store.write_bytes(f"{FOLDER}/00000041.json", data)
    with Lease(store, 0.2):
        assert [info.path for info in store.list(FOLDER)] == [f"{FOLDER}/00000042.json"]


def test_a_driver_that_lost_its_lease_stops(store: LocalStore) -> None:
    """As after a long pause: it was taken over, and must notice by itself."""
    second = f"{FOLDER}/00000002.json"

    def drive() -> None:
        with Lease(store, SHORT):
            taken = record(store)
            taken["owner"] |= ELSEWHERE | {"token": "another"}
            store.write_bytes(second, json.dumps(taken).encode())
            time.sleep(30)  # is interrupted

    with pytest.raises(LeaseLostError, match="taken over by pid 7 on elsewhere") as lost:
        drive()
    assert isinstance(lost.value.__cause__, KeyboardInterrupt)
    assert json.loads(store.read_bytes(second))["owner"]["token"] == "another"


def test_a_driver_off_the_main_thread_learns_of_the_loss_when_it_asks(store: LocalStore) -> None:
    problems: list[Exception] = []

    def drive() -> None:
        try:
            with Lease(store, SHORT) as held:
                for info in list(store.list(FOLDER)):
                    store.delete(info.path)
                for _ in range(100):
                    held.check()
                    time.sleep(0.05)
        except LeaseLostError as error:
            problems.append(error)

    thread = threading.Thread(target=drive)
    thread.start()
    thread.join()
    assert "someone who removed lease/" in str(problems[0])


def test_a_paused_driver_is_taken_over_and_notices(tmp_path: Path) -> None:
    root = str(tmp_path / "run")
    # As a shell starts it in the background: deaf to SIGINT.
    deaf = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n" + HOLD
    with subprocess.Popen(
        [sys.executable, "-c", deaf, root, str(SHORT)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as driver:
        assert driver.stdout is not None
        assert driver.stdout.readline() == "held\n"
        driver.send_signal(signal.SIGSTOP)
        with Lease(LocalStore(root), SHORT) as held:
            driver.send_signal(signal.SIGCONT)
            said = driver.stdout.read()
            assert driver.wait(20) != 0
            assert "was taken over by" in said
            assert f"pid {os.getpid()} on" in said
            time.sleep(SHORT / 2)
            held.check()


def test_of_many_drivers_that_find_a_dead_one_exactly_one_goes_on(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "run")
    abandon(store, **ELSEWHERE)
    assert race(store.root, drivers=6, seconds=SHORT) == 1


def test_errors_are_the_users(store: LocalStore) -> None:
    assert issubclass(LeaseHeldError, UserError)
    assert issubclass(LeaseLostError, UserError)


def test_a_second_driver_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.yaml"
    manifest.write_text("videos: [{id: a, uri: a.mp4, prompt: a fish}]", encoding="utf-8")
    document = {
        "run": str(tmp_path / "run"),
        "manifest": str(manifest),
        "model": {"base": "tinyworld"},
        "score": {"model": "tinyworld"},
        "lease_seconds": 1.0,
    }
    config = tmp_path / "run.yaml"
    config.write_text(yaml.safe_dump(document), encoding="utf-8")
    store = LocalStore(tmp_path / "run")
    with Lease(store, SHORT):
        refused = CliRunner().invoke(main, ["ingest", "--config", str(config)])
        assert refused.exit_code == 1
        assert f"another driver is at work on {store.root}: pid {os.getpid()} on" in refused.output
        assert [info.path for info in store.list()] == [f"{FOLDER}/00000001.json"]
    # Nothing to compute, since the video is missing: the failure is recorded, and Ray is not asked.
    ran = CliRunner().invoke(main, ["ingest", "--config", str(config), "--json"])
    assert ran.exit_code == EXIT_FAILED_ITEMS, ran.output
    assert not json.loads(ran.stdout.splitlines()[-1])["used_ray"]
    assert record(store)["released"]
