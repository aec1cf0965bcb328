"""How much memory work took."""

from __future__ import annotations

import contextlib
import re
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_PROCESS = Path("/proc/self")
"""Linux's account of this process."""


def reset_peak(device: torch.device | str) -> None:
    """Begin to count: on CUDA, and on Linux of what the whole process holds.

    Args:
        device: where the work is done.
    """
    if _on_cuda(device):
        import torch  # noqa: PLC0415 - seconds that others need not pay

        torch.cuda.reset_peak_memory_stats(device)
        return
    # Some containers forbid it; the peak is then the one since the process's start.
    with contextlib.suppress(OSError):
        (_PROCESS / "clear_refs").write_text("5", encoding="ascii")


def peak_bytes(device: torch.device | str) -> int:
    """Most memory since then, in bytes.

    Args:
        device: where the work was done.

    Returns:
        CUDA's allocated; on a CPU what the process held at once, libraries and models included.
        Where the system cannot begin to count anew, that since the process's start.
    """
    if _on_cuda(device):
        import torch  # noqa: PLC0415

        return int(torch.cuda.max_memory_allocated(device))
    with contextlib.suppress(OSError):
        found = re.search(r"VmHWM:\s+(\d+) kB", (_PROCESS / "status").read_text("utf-8"))
        if found is not None:
            return int(found[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _on_cuda(device: torch.device | str) -> bool:
    return str(device).startswith("cuda")
