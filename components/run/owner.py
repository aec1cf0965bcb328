"""Which process drives a run, and whether it still lives."""

from __future__ import annotations

import datetime as dt
import os
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Owner:
    """A driver's process."""

    token: str
    """Drawn anew for each lease: no two owners have one."""
    host: str
    pid: int
    since: str
    """When it took the lease by its own clock, ISO 8601."""
    kernel: str | None
    """Boot and pid namespace: where ``pid`` means the same process. None where unknown."""
    birth: str | None
    """When the process began, in ticks since boot: tells it from a later one with its pid."""

    @classmethod
    def here(cls) -> Owner:
        """This process as an owner."""
        return cls(
            token=secrets.token_hex(16),
            host=socket.gethostname(),
            pid=os.getpid(),
            since=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            kernel=_kernel(),
            birth=_birth(os.getpid()),
        )

    def is_dead(self) -> bool:
        """Whether the process is known to be gone; only its own machine can tell."""
        same = self.kernel is not None and self.kernel == _kernel()
        return same and self.birth is not None and _birth(self.pid) != self.birth

    def __str__(self) -> str:
        return f"pid {self.pid} on {self.host}, since {self.since}"


def _kernel() -> str | None:
    """This boot of this machine and this pid namespace; none where Linux does not tell."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return None


def _birth(pid: int) -> str | None:
    """When a process began, in ticks since boot; none when it is over or cannot be seen."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    state, *fields = status.rpartition(")")[2].split()
    return None if state in "XZ" else fields[18]
