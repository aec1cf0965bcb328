"""The device that a run's tuning and sampling are planned for: its memory and its rate."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from components.config import RunConfig
from components.errors import UserError


@dataclass(frozen=True, kw_only=True, slots=True)
class Device:
    """One GPU, or this machine's CPU."""

    name: str
    memory: int | None
    """Bytes; none where nobody knows."""
    peak_flops: Mapping[str, float]
    """By dtype, dense; empty where it is not documented."""

    @property
    def is_gpu(self) -> bool:
        """Whether seconds on it are GPU-seconds."""
        return self.name != CPU


CPU = "cpu"
_NO_PEAKS: Mapping[str, float] = MappingProxyType({})


def _gpu(name: str, gigabytes: int, *, half: float, fp32: float, bf16: bool = True) -> Device:
    """A GPU by its data sheet; the rates in TFLOP/s, without sparsity."""
    peaks = {"fp16": half * 1e12, "fp32": fp32 * 1e12} | ({"bf16": half * 1e12} if bf16 else {})
    memory = gigabytes * 2**30
    return Device(name=name, memory=memory, peak_flops=MappingProxyType(peaks))


GPUS = {
    device.name: device
    for device in (
        _gpu("H200", 141, half=989, fp32=67),
        _gpu("H100", 80, half=989, fp32=67),
        _gpu("A100-80GB", 80, half=312, fp32=19.5),
        _gpu("A100-40GB", 40, half=312, fp32=19.5),
        _gpu("L40S", 48, half=362, fp32=91.6),
        _gpu("L4", 24, half=121, fp32=30.3),
        _gpu("A10G", 24, half=125, fp32=31.2),
        _gpu("V100-32GB", 32, half=125, fp32=15.7, bf16=False),
        _gpu("V100-16GB", 16, half=125, fp32=15.7, bf16=False),
        _gpu("T4", 16, half=65, fp32=8.1, bf16=False),
    )
}
"""GPUs by short name. SXM boards where there are several; memory as sold."""


def find_device(config: RunConfig, name: str | None) -> Device | None:
    """The device that `model.device` means.

    Args:
        config: The run's configuration.
        name: One of ``GPUS`` to plan for; none looks at this machine.

    Returns:
        The device; without a name the smallest of ``ray.accelerator_type``, else the one that is
        here; or none where neither tells.

    Raises:
        UserError: the name is unknown, or given for a run on the CPU.
    """
    if not config.model.device.startswith("cuda"):
        if name is not None:
            raise UserError(
                f"--device {name} names a GPU, but model.device is {config.model.device!r}: "
                "add model.device=cuda"
            )
        import psutil

        return Device(name=CPU, memory=psutil.virtual_memory().total, peak_flops=_NO_PEAKS)
    if name is None:
        kind = config.ray.accelerator_type
        return _local_gpu() if kind is None else _of_kind(kind)
    known = {key.lower(): device for key, device in GPUS.items()}
    if name.lower() not in known:
        raise UserError(f"--device {name} is unknown: the data sheets known are {', '.join(GPUS)}")
    return known[name.lower()]


def _of_kind(kind: str) -> Device | None:
    """The GPU that Ray calls so; of several sizes the smallest, as any may be given."""
    fitting = [gpu for gpu in GPUS.values() if gpu.name.partition("-")[0] == kind]
    return min(fitting, key=lambda gpu: gpu.memory or 0, default=None)


def _local_gpu() -> Device | None:
    """The first GPU that nvidia-smi lists; torch would take seconds to ask."""
    command = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    name, _, megabytes = done.stdout.splitlines()[0].rpartition(",")
    peaks = next(
        (gpu.peak_flops for key, gpu in GPUS.items() if _is(key.partition("-")[0], name)), _NO_PEAKS
    )
    return Device(name=name, memory=int(megabytes) * 2**20, peak_flops=peaks)


def _is(key: str, name: str) -> bool:
    """Whether a name such as ``NVIDIA H100 80GB HBM3`` is that GPU's."""
    return key.lower() in re.split(r"[^a-z0-9]+", name.lower())
