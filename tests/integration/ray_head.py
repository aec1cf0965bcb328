"""A Ray head of the tests' own (`ray start --head`), with a dashboard that takes jobs."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

START_S = 180


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@contextlib.contextmanager
def ray_head(**changes: str) -> Iterator[str]:
    """Yield the dashboard's address; stop exactly the processes that were started.

    Args:
        changes: Variables of its environment; its PATH begins with this environment otherwise.
    """
    # Short: Ray's sockets lie below, and a socket's path has 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="tavray"))
    port, dashboard, agent, client = free_ports(4)
    binaries = Path(sys.executable).parent
    environment = os.environ | {
        "PATH": f"{binaries}:{os.environ['PATH']}",  # the jobs' `python`
        "PYTHONPATH": str(Path(__file__).parents[2]),
        **changes,
    }
    command = [
        *(str(binaries / "ray"), "start", "--head", "--block", "--disable-usage-stats"),
        *(f"--port={port}", f"--dashboard-port={dashboard}", "--dashboard-host=127.0.0.1"),
        *(f"--dashboard-agent-listen-port={agent}", f"--ray-client-server-port={client}"),
        *("--num-cpus=2", "--object-store-memory=300000000", f"--temp-dir={folder}"),
    ]
    with (
        (folder / "start.log").open("w") as log,
        subprocess.Popen(
            command, env=environment, stdout=log, stderr=log, start_new_session=True
        ) as head,
    ):
        try:
            address = f"http://127.0.0.1:{dashboard}"
            _wait_for(address, head, folder / "start.log")
            yield address
        finally:
            _end(head)
            shutil.rmtree(folder, ignore_errors=True)


def _wait_for(address: str, head: subprocess.Popen[bytes], log: Path) -> None:
    """Return when the head takes jobs: its dashboard answers, and its agent has come up."""
    until = time.monotonic() + START_S
    while not _takes_jobs(address):
        assert head.poll() is None, log.read_text()
        assert time.monotonic() < until, log.read_text()
        time.sleep(1)


def _takes_jobs(address: str) -> bool:
    """Whether a job could be submitted and ended; the head remembers it under a name of Ray's."""
    from components.errors import UserError
    from components.launch.ray_jobs import RayJobs

    try:
        client = RayJobs(address)._client
        job = client.submit_job(entrypoint="true")
    except (UserError, RuntimeError):
        return False
    while not client.get_job_status(job).is_terminal():
        time.sleep(0.5)
    return True


def _end(head: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        processes = psutil.Process(head.pid).children(recursive=True)
        head.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            head.wait(20)
        for process in [*processes, psutil.Process(head.pid)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
