"""Figures that others published (published.yaml): shown beside a run's own, and marked as such."""

from __future__ import annotations

import functools
import importlib.resources
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """One method's figures in one publication."""

    method: str
    protocol: str
    """The one that comes nearest to how they were made."""
    values: Mapping[str, str]
    """By measure of that protocol, with the decimals that the source prints."""
    source: str
    differs: str
    """What keeps them from being compared with a run's own."""


def published(protocol: str) -> list[Published]:
    """What was published under a protocol, in the order of the file."""
    return [one for one in _every() if one.protocol == protocol]


@functools.cache
def _every() -> tuple[Published, ...]:
    import yaml  # noqa: PLC0415 - only a comparison shows them

    text = importlib.resources.files("eval").joinpath("published.yaml").read_text("utf-8")
    return tuple(Published(**entry) for entry in yaml.safe_load(text))
