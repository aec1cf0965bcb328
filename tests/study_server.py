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
        return self.base.rpartition(":")[2]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> tuple[int, str]:
        """Ask it to end; its exit code and what it wrote on the way."""
        self.process.send_signal(signal.SIGTERM)
        _, errors = self.process.communicate(timeout=30)
        return self.process.returncode, errors


@contextmanager
def serving(uri: str, folder: Path, *options: str, port: str = "0") -> Iterator[Server]:
    """Serve a study of a run, whose database lies in ``folder``."""
    command = [sys.executable, "-m", "components.cli", "study", "serve", uri]
    command += ["--database", f"sqlite:///{folder / 'study.sqlite'}", "--port", port, *options]
    process = subprocess.Popen(
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
        assert base, process.stderr.read()
        yield Server(process, base, invitations)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()
