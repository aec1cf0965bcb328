"""How fast a device computes, from a benchmark's output or, named as such, from its data sheet."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.config import RunConfig
from components.errors import UserError
from components.plan.devices import Device

SHIPPED = Path(__file__).parent / "calibration"
"""Outputs of ``python -m benchmarks.train_step --json``, one for each device and model size."""
PARTS = ("train_step", "guided_step", "inversion_step", "vae_encode", "vae_decode")
"""The benchmark's names."""
UTILISATION = 0.37
"""Share of the peak rate that the paper's ten minutes on an A100 come to: 500 steps of 138 TFLOP
(every step encodes the clip anew there, and recomputes activations) at 312 TFLOP/s."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rates:
    """FLOP/s of each part of the work on one device."""

    source: str
    """Where they come from, in words."""
    measured: bool
    train: float
    guided: float
    inversion: float
    encode: float
    decode: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """One benchmark's output, read."""

    machine: str
    date: str
    device: str
    """``cpu`` or ``cuda``."""
    dtype: str
    train_flops: float
    """Of the tuning step that was measured."""
    per_second: Mapping[str, float]
    """FLOP/s by the benchmark's part; on a CPU for each thread."""


def find_rates(
    config: RunConfig, device: Device | None, train_flops: float, given: Path | None = None
) -> Rates | None:
    """Rates of one worker on a device.

    Args:
        config: Of the run; its model's dtype and, on a CPU, the threads of a worker count.
        device: What the run is planned for; none where nobody knows.
        train_flops: Of one tuning step; of several calibrations the nearest in size counts.
        given: A benchmark's output that the user measured, instead of the shipped ones.

    Returns:
        Measured rates where there are some, else those of the data sheet, else none.

    Raises:
        UserError: the file given is no benchmark's output, or was measured in another way than the
            run will compute.
    """
    if given is not None:
        calibration = read_calibration(given)
        kind = config.model.device.partition(":")[0]
        if (calibration.device, calibration.dtype) != (kind, config.model.dtype):
            raise UserError(
                f"--calibration {given} was measured on {calibration.device} in "
                f"{calibration.dtype}, but the run computes on {kind} in {config.model.dtype}: "
                "measure again with its --device and --dtype"
            )
        return _measured(calibration, config)
    if device is None:
        return None
    fitting = [one for one in _shipped() if _fits(one, config, device)]
    if fitting:
        nearest = min(fitting, key=lambda one: abs(math.log(one.train_flops / train_flops)))
        return _measured(nearest, config)
    peak = device.peak_flops.get(config.model.dtype)
    if peak is None:
        return None
    return Rates(
        source=f"estimated from the peak rate of one {device.name} ({peak / 1e12:.0f} TFLOP/s in "
        f"{config.model.dtype}, {UTILISATION:.0%} of it used), not measured",
        measured=False,
        **dict.fromkeys(("train", "guided", "inversion", "encode", "decode"), peak * UTILISATION),
    )


def read_calibration(path: Path) -> Calibration:
    """Read what ``python -m benchmarks.train_step --json`` printed.

    Raises:
        UserError: the file is missing or something else.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return _calibration(document)
    except OSError as error:
        raise UserError(f"cannot read the calibration {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is no output of `python -m benchmarks.train_step --json` with all its parts "
            f"({type(error).__name__}: {error})"
        ) from error


def _shipped() -> Sequence[Calibration]:
    return [read_calibration(path) for path in sorted(SHIPPED.glob("*.json"))]


def _fits(calibration: Calibration, config: RunConfig, device: Device) -> bool:
    same = calibration.dtype == config.model.dtype
    if not device.is_gpu:  # CPUs differ less than sizes do, and the machine is named
        return same and calibration.device == "cpu"
    return same and calibration.machine == device.name


def _calibration(document: Mapping[str, Any]) -> Calibration:
    settings, parts = document["settings"], document["parts"]
    device = settings["device"].partition(":")[0]
    threads = settings["threads"] if device == "cpu" else 1
    return Calibration(
        machine=parts["train_step"]["machine"],
        date=document["date"],
        device=device,
        dtype=settings["dtype"],
        train_flops=parts["train_step"]["flops"],
        per_second={
            name: parts[name]["flops"] / parts[name]["median_s"] / threads for name in PARTS
        },
    )


def _measured(calibration: Calibration, config: RunConfig) -> Rates:
    """Rates of one worker: on a CPU it has as many threads as Ray gives it CPUs."""
    threads = max(int(config.ray.cpus_per_worker), 1) if calibration.device == "cpu" else 1
    each = calibration.per_second
    return Rates(
        source=f"measured on {calibration.machine}, {calibration.date}",
        measured=True,
        train=each["train_step"] * threads,
        guided=each["guided_step"] * threads,
        inversion=each["inversion_step"] * threads,
        encode=each["vae_encode"] * threads,
        decode=each["vae_decode"] * threads,
    )
