"""Which work one warm worker does (``steps.warm``), in place of a pool or of Ray Train."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from components.config import RayConfig
from components.plan.shards import START_SECONDS, clips_seconds, tuning_seconds
from components.run.current import State
from components.steps.step import StepContext

LONGEST_SECONDS = 300.0
"""Of the tunings of a step, by estimate: Ray Train's start is a small part of longer ones."""


def is_small(groups: Sequence[Sequence[Any]], context: StepContext) -> bool:
    """Whether few videos are concerned, and more workers than one would not be done sooner.

    Args:
        groups: A step's items; each group meets one worker.
        context: Of the step.

    Raises:
        UserError: configs of the base model are missing.
    """
    settings = context.config.ray
    items = [item for group in groups for item in group]
    if len({item.video_id for item in items}) > settings.warm_videos:
        return False
    if long := [item for item in items if getattr(item, "long", False)]:
        return is_quick(tuning_seconds(context, long), len(long), settings)
    return min(settings.workers, len(groups)) == 1


def needs_train(state: State, context: StepContext) -> bool:
    """Whether the tunings of a run that has nothing yet are work for Ray Train.

    Told from the manifest, before the clips are there: it may prove wrong.
    """
    settings, videos = state.config.ray, state.manifest.videos
    views = state.distinct("tune")
    if not views or len(videos) > settings.warm_videos:
        return bool(views)
    if not all(view.method.uses_base for view in views):
        return True
    sizes = [state.clips.video_config(entry) for entry in videos]
    clips = [(view.name, size, None) for view in views for size in sizes]
    return not is_quick(clips_seconds(context, clips), len(clips), settings)


def is_quick(seconds: float | None, count: int, settings: RayConfig) -> bool:
    """Whether Ray Train, with all its workers, would be done no sooner than one warm worker.

    Args:
        seconds: Of the tunings together on one worker; none where nobody knows.
        count: How many.
        settings: Of the run.
    """
    if seconds is None:
        return False
    shared = START_SECONDS + seconds / max(min(settings.workers, count), 1)
    return seconds <= min(shared, LONGEST_SECONDS)
