"""Failures as rows: what went wrong with one item, while the rest of the run goes on."""

from __future__ import annotations

import datetime
import traceback

from components.errors import ItemError
from components.provenance import CODE_VERSION
from components.tables import Row
from tav_model.errors import TavModelError

EXPECTED = (ItemError, TavModelError)
"""What one item may raise. Anything else is a defect of the program and stops the step."""


def failure_row(
    step: str,
    error: BaseException,
    *,
    item_key: str,
    video_id: str,
    config_hash: str,
    edit_id: str | None = None,
    attempt: int = 1,
) -> Row:
    """Describe one item's failure as a row of ``failures``."""
    return {
        "step": step,
        "item_key": item_key,
        "video_id": video_id,
        "edit_id": edit_id,
        "error_type": type(error).__name__,
        "message": str(error),
        "traceback": "".join(traceback.format_exception(error)),
        "attempt": attempt,
        "retryable": bool(getattr(error, "retryable", False)),
        "at": datetime.datetime.now(datetime.UTC),
        "config_hash": config_hash,
        "code_version": CODE_VERSION,
    }
