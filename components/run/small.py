"""Which steps alone are small: the processes of a flow then do them, without pools or Ray Train."""

from __future__ import annotations

from components.config import RayConfig
from components.plan.shards import START_SECONDS, clips_seconds
from components.run.current import State
from components.steps.step import StepContext

FEW = 16
"""Videos of a small run, at most."""
LONGEST_SECONDS = 300.0
"""Of its tunings, by estimate: Ray Train's start is a small part of longer ones."""


def is_small(state: State, step: str, context: StepContext) -> bool:
    """Whether few videos are concerned, and Ray Train would tune them no sooner.

    Told from the manifest: the clips may not be there yet.

    Args:
        state: One reading of the tables.
        step: By name.
        context: Of the step.

    Raises:
        UserError: configs of the base model are missing.
    """
    settings, videos = state.config.ray, state.manifest.videos
    if len(videos) > FEW:
        return False
    views = state.distinct("tune") if step == "tune" else []
    if not all(view.method.uses_base for view in views):
        return False
    sizes = [state.clips.video_config(entry) for entry in videos]
    clips = [(view.name, size, None) for view in views for size in sizes]
    return not clips or is_quick(clips_seconds(context, clips), len(clips), settings)


def is_quick(seconds: float | None, count: int, settings: RayConfig) -> bool:
    """Whether Ray Train, with all its workers, would be done no sooner than one process.

    Args:
        seconds: Of the tunings together on one worker; none where nobody knows.
        count: How many.
        settings: Of the run.
    """
    if seconds is None:
        return False
    shared = START_SECONDS + seconds / max(min(settings.workers_here, count), 1)
    return seconds <= min(shared, LONGEST_SECONDS)
