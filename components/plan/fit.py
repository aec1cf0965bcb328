"""Whether each task fits its device, and if not, what would make it fit."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator

from components.config import RunConfig, VideoConfig
from components.plan.devices import Device
from components.plan.video import BaseConfigs, VideoCost
from methods.registry import find_method

_GB = 1e9
_FEWEST_FRAMES = 2
_SHORTEST_WINDOW = 8
_SMALLEST = 64

Variant = tuple[str, RunConfig, VideoConfig]
"""How a setting is written, and what it gives."""


def task_memory(config: RunConfig, device: Device | None) -> float | None:
    """Bytes that one worker may take; none where nobody knows.

    Of a GPU its share (``ray.gpus_per_worker``; with 0 all workers are on one), of this machine
    what is each of the workers'.
    A cluster's nodes may be larger or smaller than this machine.
    """
    if device is None or device.memory is None:
        return None
    settings = config.ray
    if device.is_gpu:
        return device.memory * (min(settings.gpus_per_worker, 1) or 1 / settings.workers_here)
    return None if settings.address is not None else device.memory / settings.workers_here


def problems(
    config: RunConfig, base: BaseConfigs | None, video: VideoConfig, limit: float
) -> Iterator[str]:
    """What does not fit, each with the remedies that were counted to fit.

    Args:
        config: Of the variant.
        base: Of the base model; none where the method uses none.
        video: The size of the clip.
        limit: Bytes that a worker may take.
    """
    where = f"{video.num_frames} frames of {video.width}x{video.height}"
    tasks: dict[str, tuple[Callable[[VideoCost], float | None], list[Variant]]] = {
        "tuning": (
            VideoCost.tune_bytes,
            [*_checkpointing(config, video), *_fewer_parameters(config, video)],
        ),
        "sampling": (VideoCost.sample_bytes, [*_one_prompt(config, video)]),
    }
    for task, (peak, variants) in tasks.items():
        needed = peak(VideoCost(config, base, video))
        if needed is None or needed <= limit:
            continue

        def fits(variant: Variant, peak: Callable[[VideoCost], float | None] = peak) -> bool:
            return (peak(VideoCost(variant[1], base, variant[2])) or 0.0) <= limit

        found = [variant[0] for variant in variants if fits(variant)]
        ladders = (_windows, _fewer_frames, _smaller)
        for ladder in (each(config, video) for each in ladders):
            found += [variant[0] for variant in itertools.islice(filter(fits, ladder), 1)]
        remedy = f"set {', or '.join(found)}" if found else "use a device with more memory"
        yield (
            f"{task} {where} takes {needed / _GB:.1f} GB, but a worker has {limit / _GB:.1f} GB: "
            f"{remedy}"
        )


def _checkpointing(config: RunConfig, video: VideoConfig) -> Iterator[Variant]:
    if config.tune.gradient_checkpointing is not True:
        tune = dataclasses.replace(config.tune, gradient_checkpointing=True)
        changed = dataclasses.replace(config, tune=tune)
        yield "tune.gradient_checkpointing=true", changed, video


def _fewer_parameters(config: RunConfig, video: VideoConfig) -> Iterator[Variant]:
    if config.tune.parameters != "paper":
        tune = dataclasses.replace(config.tune, parameters="paper")
        fewer = dataclasses.replace(config, tune=tune)
        yield "tune.parameters=paper", fewer, video
        for name, changed, _ in _checkpointing(fewer, video):
            yield f"tune.parameters=paper {name}", changed, video


def _one_prompt(config: RunConfig, video: VideoConfig) -> Iterator[Variant]:
    if config.sample.at_once > 1:
        sample = dataclasses.replace(config.sample, prompts_per_batch=1)
        yield "sample.prompts_per_batch=1", dataclasses.replace(config, sample=sample), video


def _windows(config: RunConfig, video: VideoConfig) -> Iterator[Variant]:
    """Windows that share a third of their frames."""
    if not find_method(config.method).takes_windows:
        return
    most = min(config.model.window or video.num_frames, video.num_frames - 1)
    for window in range(most - 1, _SHORTEST_WINDOW - 1, -1):
        model = dataclasses.replace(config.model, window=window, overlap=window // 3)
        name = f"model.window={window} model.overlap={window // 3}"
        yield name, dataclasses.replace(config, model=model), video


def _fewer_frames(config: RunConfig, video: VideoConfig) -> Iterator[Variant]:
    for frames in range(video.num_frames - 1, _FEWEST_FRAMES - 1, -1):
        yield f"video.num_frames={frames}", config, dataclasses.replace(video, num_frames=frames)


def _smaller(config: RunConfig, video: VideoConfig) -> Iterator[Variant]:
    for longer in range(max(video.width, video.height) - 1, _SMALLEST - 1, -1):
        if longer % _SMALLEST:
            continue
        scale = longer / max(video.width, video.height)
        width, height = (
            max(round(side * scale / 8) * 8, 8) for side in (video.width, video.height)
        )
        smaller = dataclasses.replace(video, width=width, height=height)
        yield f"video.width={width} video.height={height}", config, smaller
