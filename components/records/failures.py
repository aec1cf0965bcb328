"""Failures as rows: what went wrong with one item, while the rest of the run goes on."""

from __future__ import annotations

import datetime as dt
import errno
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from components.errors import ItemError, TransientError, UserError
from components.records.provenance import CODE_VERSION
from components.redact import redacted
from components.storage.tables import Row
from tav_model.errors import TavModelError


@contextmanager
def expected_errors() -> Iterator[None]:
    """Give every error that one item may cause the type ``ItemError``; let all others pass.

    The original error is kept as the cause, and its type is what ``failures`` records.
    """
    try:
        yield
    except TavModelError as error:
        raise ItemError(str(error)) from error
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        # No other item would fare better.
        raise UserError(
            f"no space is left for scratch files in {tempfile.gettempdir()} ({error}): free some "
            "there, or set TMPDIR to another folder, and run again"
        ) from error
    except Exception as error:
        # Named and not imported: torch takes seconds to load, and raised it is loaded already.
        if type(error).__name__ == "OutOfMemoryError":
            raise TransientError(
                f"the device is out of memory: {error}. Use fewer frames (video.num_frames), "
                "a smaller size, tune.gradient_checkpointing=true or sample.prompts_per_batch=1"
            ) from error
        raise


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
        "error_type": _error_type(error),
        "message": redacted(_unicode(str(error))),
        "traceback": redacted(_unicode("".join(traceback.format_exception(error)))),
        "attempt": attempt,
        "retryable": bool(getattr(error, "retryable", False)),
        "at": dt.datetime.now(dt.UTC),
        "config_hash": config_hash,
        "code_version": CODE_VERSION,
    }


def _error_type(error: BaseException) -> str:
    """The name of the model's own error where an ``ItemError`` only carries it."""
    carried = type(error) is ItemError and isinstance(error.__cause__, TavModelError)
    return type(error.__cause__ if carried else error).__name__


def _unicode(text: str) -> str:
    """Escape what is no Unicode, such as bytes of a file's name: Parquet takes none of it."""
    return text.encode("utf-8", errors="backslashreplace").decode()
