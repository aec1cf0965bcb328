"""How many videos one Ray Train job tunes in turn."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection, Iterable, Sequence

from components.config import RunConfig, VideoConfig
from components.plan.devices import find_device
from components.plan.memory import clip_size
from components.plan.rates import find_rates
from components.plan.video import VideoCost, base_configs
from components.steps.preparation import PrepareItem
from components.steps.step import StepContext

START_SECONDS = 60.0
"""Of a `fit()`: its controller, its worker and the base model; 58 to 70 s were measured on two busy
cores without the model."""
SHARD_SECONDS = 20 * 60.0
"""What a shard should last: then its start-up is a twentieth of it, and workers that end at
different times wait for each other for minutes and not for hours."""
UNKNOWN_SIZE = 8
"""Videos, where no rate is known."""


def shard_size(config: RunConfig, video_seconds: float | None) -> int:
    """Videos of a shard: ``ray.videos_per_shard``, else what lasts about ``SHARD_SECONDS``.

    Args:
        config: Of the run.
        video_seconds: Of one video's tuning and inversion; none where nobody knows.
    """
    if config.ray.videos_per_shard is not None:
        return config.ray.videos_per_shard
    if not video_seconds:
        return UNKNOWN_SIZE
    return max(round(SHARD_SECONDS / video_seconds), 1)


def with_shard_size(context: StepContext, items: Sequence[PrepareItem]) -> StepContext:
    """The context with ``ray.videos_per_shard`` set, from the cost of its videos.

    Args:
        context: Of the tune step.
        items: What is to be tuned, one video or more.

    Raises:
        UserError: configs of the base model are missing.
    """
    if context.config.ray.videos_per_shard is not None:
        return context
    seconds = tuning_seconds(context, items)
    size = shard_size(context.config, seconds and seconds / len(items))
    ray = dataclasses.replace(context.config.ray, videos_per_shard=size)
    return dataclasses.replace(context, config=dataclasses.replace(context.config, ray=ray))


def tuning_seconds(context: StepContext, items: Sequence[PrepareItem]) -> float | None:
    """What one worker takes to tune and invert videos; none where no rate is known.

    Raises:
        UserError: configs of the base model are missing.
    """
    kinds = ([row["kind"] for row in item.wanted] for item in items)
    sizes = (clip_size(context.config, item) for item in items)
    return clips_seconds(context, zip((item.variant for item in items), sizes, kinds, strict=True))


def clips_seconds(
    context: StepContext, clips: Iterable[tuple[str, VideoConfig, Collection[str] | None]]
) -> float | None:
    """The same of clips by variant, size and the stages that are to be done, none for all."""
    total = 0.0

    @functools.cache
    def costs(variant: str, video: VideoConfig) -> VideoCost:
        of = context.of(variant)
        base = base_configs(of.config.model, of.base_revision)
        return VideoCost(of.config, base, video)

    for variant, video, kinds in clips:
        cost = costs(variant, video)
        config = context.of(variant).config
        rates = find_rates(config, find_device(config, None), cost.train_flops)
        took = None if rates is None else cost.tune_seconds(rates, kinds)
        if took is None:
            return None
        total += took
    return total
