"""What is checked of the machine: versions, devices, dtype, attention, room on its disks."""

from __future__ import annotations

import importlib.util
import platform
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

from components.config import RunConfig
from components.doctor.finding import Finding, failed
from components.plan.devices import find_device
from components.storage.address import parse_uri

_GB = 1e9
_LIBRARIES = ("torch", "diffusers", "transformers", "ray")
_BF16_SINCE = 8
"""Compute capability from which NVIDIA's GPUs calculate in bf16."""


def versions() -> Iterator[Finding]:
    """Of Python and the libraries that results depend on most."""
    yield Finding("versions", "python", platform.python_version())
    for name in _LIBRARIES:
        yield Finding("versions", name, version(name))


def devices(config: RunConfig) -> Iterator[Finding]:
    """Whether the devices of model, captions and scores are there, and their memory.

    Args:
        config: Of a variant.
    """
    import torch

    from tav_model.load import checked_device

    wanted: dict[str, str] = {
        "model.device": config.model.device,
        "caption.device": config.caption.device,
        "score.device": config.score.device,
    }
    for setting, name in wanted.items():
        try:
            device = checked_device(name)
        except (RuntimeError, ValueError) as error:
            yield failed("machine", f"{setting}={name}", error)
            continue
        if setting != "model.device":
            continue
        if device.type == "cuda":
            free, total = torch.cuda.mem_get_info(device)
            kind = torch.cuda.get_device_name(device)
            found = f"{kind}, {free / _GB:.1f} of {total / _GB:.1f} GB free"
            scarce = free < total / 2
            yield Finding(
                *("machine", f"{setting}={name}", found, "warn" if scarce else "ok"),
                "another process holds most of it: see nvidia-smi" if scarce else "",
            )
        else:
            there = find_device(config, None)
            memory = f", {there.memory / _GB:.1f} GB memory" if there and there.memory else ""
            threads = torch.get_num_threads()
            yield Finding("machine", f"{setting}={name}", f"{threads} thread(s){memory}")


def dtype(config: RunConfig) -> Finding:
    """Whether the dtype goes with the device."""
    import torch

    name, device = config.model.dtype, config.model.device
    check = f"model.dtype={name}"
    if name == "fp16" and device == "cpu":
        return Finding(
            *("machine", check, "fp16 on the CPU: slow there, and its numbers overflow", "fail"),
            "set model.dtype to fp32 (or bf16), or model.device to cuda",
        )
    if name == "fp16":
        return Finding(
            *("machine", check, "overflows above 65,504", "warn"),
            "should a loss or result be NaN: bf16 where the GPU has it, else fp32",
        )
    if name == "bf16" and device.startswith("cuda") and torch.cuda.is_available():
        major, _ = torch.cuda.get_device_capability(torch.device(device))
        if major < _BF16_SINCE:
            return Finding(
                *("machine", check, "this GPU has no bf16 of its own and imitates it", "warn"),
                "set model.dtype to fp16 or fp32",
            )
    return Finding("machine", check, f"goes with {device}")


def attention(config: RunConfig) -> Finding:
    """Whether there is an attention backend of that name; the trial shows whether it works."""
    from tav_model.attention import backend_named

    name, mode = config.model.attention_backend, config.model.attention_mode
    check = f"model.attention_backend={name}"
    try:
        backend_named(name)
    except ValueError as error:
        return failed("machine", check, error, "set model.attention_backend to native")
    package = _PACKAGES.get(name.lstrip("_").partition("_")[0])
    if package is not None and importlib.util.find_spec(package) is None:
        return Finding(
            *("machine", check, f"needs the package {package}, which is not installed", "fail"),
            f"install {package}, or set model.attention_backend to native",
        )
    return Finding("machine", check, f"mode {mode}")


_PACKAGES: Mapping[str, str] = {
    "flash": "flash_attn",
    "sage": "sageattention",
    "xformers": "xformers",
}
"""What diffusers' attention backends need beside torch, by the first part of their names."""


def disks(config: RunConfig, needed: Mapping[str, float] | None) -> Iterator[Finding]:
    """Whether there is room for what a plan says.

    Args:
        config: The run's.
        needed: Bytes, by ``temporary files`` and ``the run``; none where there is no plan.
    """
    places: dict[Path, list[str]] = {}
    folders = {"temporary files": tempfile.gettempdir()}
    if not (root := parse_uri(config.run)).on_s3:
        folders["the run"] = root.location
    for use, folder in folders.items():
        places.setdefault(_there(folder), []).append(use)
    filesystems: dict[int, list[tuple[Path, str]]] = {}
    for place, uses in places.items():
        filesystems.setdefault(place.stat().st_dev, []).extend((place, use) for use in uses)
    for shared in filesystems.values():
        known = None if needed is None else sum(needed.get(use, 0.0) for _, use in shared)
        yield _room(shared, known)


def _room(shared: list[tuple[Path, str]], wanted: float | None) -> Finding:
    """Of one file system, which several uses may share."""
    place = shared[0][0]
    free = shutil.disk_usage(place).free
    check = " and ".join(use for _, use in shared)
    if wanted is None:
        found = f"{_size(free)} free at {place}; what is needed is not known without a plan"
        return Finding("disk", check, found, "warn")
    found = f"{_size(free)} free at {place}, {_size(wanted)} needed"
    if free >= wanted:
        return Finding("disk", check, found)
    remedies = {
        "temporary files": "set TMPDIR to a folder on a larger disk",
        "the run": "set run to another place",
    }
    told = ", or ".join(remedies[use] for _, use in shared)
    return Finding("disk", check, found, "fail", f"free {_size(wanted - free)} there, or {told}")


def _size(nbytes: float) -> str:
    return f"{nbytes / _GB:.2f} GB" if nbytes >= _GB / 10 else f"{nbytes / 1e6:.2f} MB"


def _there(folder: str) -> Path:
    """The folder, or what is there of the path to it."""
    path = Path(folder).absolute()
    while not path.exists():
        path = path.parent
    return path
