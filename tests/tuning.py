"""One clip through the tune step's worker, in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.config import RunConfig, parse
from components.run.clips import clip_reference
from components.steps.ingest import IngestItem, IngestWorker
from components.steps.preparation import PrepareItem
from components.steps.prepare import PrepareWorker
from components.steps.step import StepContext
from components.storage.tables import read_table
from components.video.sources import stat_source

KEY = "k"
"""Of the adapter."""


def tune_clip(root: Path, models: Path, clip: Path, **tune: Any) -> None:
    """Ingest a clip, unless it was, and prepare it.

    Args:
        root: The run's folder.
        models: Holds ``base``.
        clip: An mp4.
        **tune: The section of the configuration.
    """
    video = {"num_frames": 4, "width": 64, "height": 64}
    document = {
        "run": str(root),
        "manifest": "m",
        "model": {"base": str(models / "base")},
        "video": video,
        "tune": tune,
        "invert": {"steps": 2},
        "sample": {"steps": 2},
    }
    config = parse(RunConfig, document, "test")
    context = StepContext(config=config, config_hash="h", base_revision="r")
    if not read_table(context.store(), "videos"):
        source = IngestItem(
            item_key="i",
            video_id="v",
            uri=str(clip),
            source_version=stat_source(str(clip)).version,
            video=video,
            attempt=1,
        )
        IngestWorker(context)([source])
    (row,) = read_table(context.store(), "videos")
    stages = [("adapter", "", None, KEY), ("latents", "ddim-2", KEY, "i")]
    item = PrepareItem(
        item_key=KEY,
        video_id="v",
        video_row=clip_reference(row),
        variant="tune_a_video",
        source_prompt="a red fish",
        seed_key=KEY,
        wanted=[
            {"kind": kind, "key": KEY, "name": name, "before": before, "work_key": work}
            for kind, name, before, work in stages
        ],
        made=[],
        long=True,
        attempt=1,
    )
    PrepareWorker(context)([item])
