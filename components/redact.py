"""Keeps credentials out of what people read: messages, logs, rows."""

from __future__ import annotations

import os
import re

_SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID")
_SHORTEST = 8
"""Characters of a value that can be told from ordinary words."""
_USER = re.compile(r"(?<=://)[^/\s'\"]*@")
_HIDDEN = "***"


def redacted(text: str) -> str:
    """The text without credentials that stand in the environment or before the @ of an address."""
    for name in _SECRETS:
        value = os.environ.get(name, "")
        if len(value) >= _SHORTEST:
            text = text.replace(value, _HIDDEN)
    return _USER.sub(f"{_HIDDEN}@", text)
