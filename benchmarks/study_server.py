"""The real server of a study, in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Server:
    """A server that answers."""

    process: subprocess.Popen[str]
    base: str
    invitations: list[str]
    """Of each rater, where the study was made just now."""

    @property
    def port(self) -> str:
        """Where it listens."""
        return self.base.rpartition(":")[2]

    def kill(self) -> None:
        """End it as a lost machine would."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> tuple[int, str]:
        """Ask it to end; its exit code and what it wrote on the way."""
        self.process.send_signal(signal.SIGTERM)
        _, errors = self.process.communicate(timeout=30)
        return self.process.returncode, errors


def database(folder: Path) -> str:
    """The address of the study that ``serving`` keeps in a folder."""
    return f"sqlite:///{folder / 'study.sqlite'}"


@contextmanager
def serving(uri: str, folder: Path, *options: str, port: str = "0") -> Iterator[Server]:
    """Serve a study of a run, by the command that users give.

    Args:
        uri: The run's.
        folder: For the database.
        options: Of `tav study serve`.
        port: Where to listen; 0 for any that is free.
    """
    command = [sys.executable, "-m", "components.cli", "study", "serve", uri]
    command += ["--database", database(folder), "--port", port, *options]
    process = subprocess.Popen(  # noqa: S603 - the project's own command
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    invitations = []
    base = ""
    try:
        for line in process.stdout:
            if found := re.match(r"r\d+: (\S+)", line):
                invitations.append(found[1])
            if found := re.match(r"Serving .* at (\S+) until", line):
                base = found[1]
                break
        if not base:
            raise RuntimeError(f"the server did not start: {process.stderr.read()}")
        yield Server(process, base, invitations)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()
