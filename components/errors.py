"""Errors that the pipeline expects, and what each means for the run."""

from __future__ import annotations

EXIT_USER_ERROR = 1
"""Exit code of a command or job that could not start as asked."""
EXIT_FAILED_ITEMS = 3
"""Exit code where more items failed than ``max_failed_fraction`` allows."""


class UserError(Exception):
    """The run cannot start as asked (configuration, manifest, store)."""


class RefusedError(UserError):
    """The store refuses the account or the bucket: no other object would fare better."""


class DeniedError(UserError):
    """The store refuses one object to these credentials."""


class ItemError(Exception):
    """One item cannot be processed. It becomes a row of ``failures`` and the run goes on."""

    retryable = False


class SourceError(ItemError):
    """A source video is missing, unreadable, or not what the manifest says."""


class TransientError(ItemError):
    """The item may succeed when tried again (network, throttling, memory)."""

    retryable = True
