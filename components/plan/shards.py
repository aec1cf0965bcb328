"""How many videos one Ray Train job tunes in turn."""

from __future__ import annotations

from components.config import RunConfig

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
