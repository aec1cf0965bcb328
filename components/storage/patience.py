"""How long a request to S3 is tried again: through throttling and outages of about a minute.

botocore counts tries and draws their delays, so how long it waits is chance, from 20 s to 100. Here
time is counted. A process that S3 has never answered gives up sooner: its endpoint may be wrong.
"""

from __future__ import annotations

import random
import time
from typing import Any

from botocore.retries.standard import (
    OrRetryChecker,
    RetryEventAdapter,
    ThrottledRetryableChecker,
    TransientRetryableChecker,
)

OUTAGE_SECONDS = 75.0
"""Of a request, once S3 has answered this process."""
START_SECONDS = 35.0
"""Of a request, before that; a connection that is not even refused takes 10 s more."""
_FIRST_DELAY, _LONGEST_DELAY = 0.2, 5.0


class Patience:
    """Handles botocore's event ``needs-retry``, once for each answer or broken connection."""

    def __init__(self) -> None:
        self._answered = False
        self._passing = OrRetryChecker([TransientRetryableChecker(), ThrottledRetryableChecker()])

    def __call__(self, **event: Any) -> float | None:
        """Seconds to wait before the next try, or none when there is none."""
        context = RetryEventAdapter().create_retry_context(**event)
        if not self._passing.is_retryable(context):
            self._answered = self._answered or event["response"] is not None
            return None
        now = time.monotonic()
        began: float = event["request_dict"]["context"].setdefault("tav_troubled_since", now)
        left = began + (OUTAGE_SECONDS if self._answered else START_SECONDS) - now
        if left <= 0:
            return None
        delay = min(_FIRST_DELAY * 2 ** (event["attempts"] - 1), _LONGEST_DELAY)
        # Workers that broke off together should not come back together.
        return min(left, float(delay) * random.uniform(0.5, 1))  # noqa: S311 - no secret
