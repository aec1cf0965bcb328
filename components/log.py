"""Logging: one record a line, as text or as JSON, with the step and the item in each."""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
import sys
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

from typing_extensions import override

if TYPE_CHECKING:
    from components.config import RunConfig

_ITEM = ("step", "video", "edit")
"""What a record may say of the item that it is about, in this order."""


def setup_logging(*, verbose: bool = False, config: RunConfig | None = None) -> None:
    """Send the project's records to standard error.

    Args:
        verbose: Also details.
        config: Of the run, whose ``log_format`` counts and whose address JSON records hold; none
            writes text.
    """
    handler = logging.StreamHandler(sys.stderr)
    as_json = config is not None and config.log_format == "json"
    handler.setFormatter(_Json(config.run) if config is not None and as_json else _Text())
    for name in ("httpx", "httpx2"):  # the hub's client: a line for each request
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in ("components", "methods", "tav_model", "eval"):
        project = logging.getLogger(name)
        project.handlers[:] = [handler]
        project.propagate = False
        project.setLevel(logging.DEBUG if verbose else logging.INFO)


def is_verbose() -> bool:
    """Whether this process tells details."""
    return logging.getLogger("components").isEnabledFor(logging.DEBUG)


def setup_worker_logging(config: RunConfig, *, verbose: bool = False) -> None:
    """The same in a Ray worker, whose lines reach the driver's terminal.

    What becomes of each item is a detail here: the driver tells progress, and each failure.
    """
    # The bars of libraries that load weights, and what Ray says of its own doings.
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    for name in ("ray.data", "ray.train"):
        logging.getLogger(name).setLevel(logging.ERROR)
    setup_logging(verbose=verbose, config=config)


class VideoLog(logging.LoggerAdapter[logging.Logger]):
    """Says in every record which step it is of, and which video and edit it is about."""

    def __init__(
        self,
        logger: logging.Logger,
        *,
        step: str,
        video_id: str | None = None,
        edit_id: str | None = None,
    ) -> None:
        super().__init__(logger, dict(zip(_ITEM, (step, video_id, edit_id), strict=True)))

    @override
    def process(
        self, msg: object, kwargs: MutableMapping[str, Any]
    ) -> tuple[object, MutableMapping[str, Any]]:
        return msg, {**kwargs, "extra": self.extra}


class _Text(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(item)s%(message)s", "%H:%M:%S")

    @override
    def formatMessage(self, record: logging.LogRecord) -> str:
        record.item = "".join(f"{name}={value} " for name, value in _item(record).items())
        return super().formatMessage(record)


class _Json(logging.Formatter):
    """Objects with time (ISO 8601, UTC), level, run, step, video, edit, message and exception."""

    def __init__(self, run: str) -> None:
        super().__init__()
        self._run = run

    @override
    def format(self, record: logging.LogRecord) -> str:
        document = {
            "time": dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(),
            "level": record.levelname.lower(),
            "run": self._run,
            **_item(record),
            "message": record.getMessage(),
        }
        if record.exc_info:
            document["exception"] = self.formatException(record.exc_info)
        return json.dumps(document, default=str)


def _item(record: logging.LogRecord) -> dict[str, str]:
    found = {name: getattr(record, name, None) for name in _ITEM}
    return {name: value for name, value in found.items() if value is not None}
