"""Logging: one plain line a record, with the step and the video's id in each."""

from __future__ import annotations

import logging
import os
import sys


def setup_logging(*, verbose: bool = False) -> None:
    """Send the project's records to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    for name in ("components", "tav_model", "eval"):
        project = logging.getLogger(name)
        project.handlers[:] = [handler]
        project.propagate = False
        project.setLevel(logging.DEBUG if verbose else logging.INFO)


def setup_worker_logging() -> None:
    """The same in a Ray worker, whose lines reach the driver's terminal."""
    # The bars of libraries that load weights, and what Ray says of its own doings.
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    for name in ("ray.data", "ray.train"):
        logging.getLogger(name).setLevel(logging.ERROR)
    setup_logging()


class VideoLog(logging.LoggerAdapter[logging.Logger]):
    """Puts ``step=… video=…`` before every message."""

    def __init__(self, logger: logging.Logger, *, step: str, video_id: str) -> None:
        super().__init__(logger, {"step": step, "video": video_id})

    def process(self, msg: object, kwargs):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201, D102
        extra = self.extra or {}
        return f"step={extra['step']} video={extra['video']} {msg}", kwargs
