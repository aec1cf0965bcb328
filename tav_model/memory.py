"""How much memory work took."""

import resource
import sys

import torch


def reset_peak(device: torch.device) -> None:
    """Begin to count; only CUDA can begin anew."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_bytes(device: torch.device) -> int:
    """Most memory since then: CUDA's allocated, a CPU's resident of the process since its start."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
