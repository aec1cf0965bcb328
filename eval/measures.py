"""What is measured of an edit: names, labels and scale, in the order in which they are shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure:
    """One score column."""

    label: str
    """Of a table's header."""
    short: str
    """Where there is little room."""
    percent: bool = False
    """Whether 0 to 100 is its range (of ``tav_paper_v1``: its usual one)."""
    lower_is_better: bool = False


CLIP_MEASURES: Mapping[str, Measure] = MappingProxyType(
    {
        "frame_consistency": Measure(label="Frame consistency", short="consistency", percent=True),
        "textual_alignment": Measure(label="Textual alignment", short="alignment", percent=True),
    }
)
"""By column: what CLIP embeddings give (`eval.metrics`)."""
TRUTH_MEASURES: Mapping[str, Measure] = MappingProxyType(
    {
        "edited_right": Measure(label="Edited right", short="edited right", percent=True),
        "unedited_kept": Measure(label="Unedited kept", short="unedited kept", percent=True),
        "motion_correlation": Measure(label="Motion correlation", short="motion"),
        "flicker": Measure(label="Flicker", short="flicker", lower_is_better=True),
        "jitter": Measure(label="Jitter, px", short="jitter, px", lower_is_better=True),
    }
)
"""By column: what is known of tinyworld's clips (`eval.ground_truth`)."""
MEASURES: Mapping[str, Measure] = MappingProxyType({**CLIP_MEASURES, **TRUTH_MEASURES})
"""Every score column."""
SECONDS = "seconds"
COMPARED: Mapping[str, Measure] = MappingProxyType(
    {**MEASURES, SECONDS: Measure(label="Seconds", short="seconds", lower_is_better=True)}
)
"""What variants are compared by: scores, and what making an edit took."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Values:
    """One edit's scores under one protocol. None or NaN: missing, never 0."""

    frame_consistency: float | None = None
    textual_alignment: float | None = None
    edited_right: float | None = None
    unedited_kept: float | None = None
    motion_correlation: float | None = None
    flicker: float | None = None
    jitter: float | None = None

    def value(self, name: str) -> float | None:
        """The score in the column of that name."""
        found: float | None = getattr(self, name)
        return found


def filled(scores: Iterable[Values]) -> tuple[str, ...]:
    """The columns worth showing: CLIP's where one of them is filled, likewise ground truth's.

    Without any score they are CLIP's.
    """
    every = list(scores)
    names = [
        name
        for group in (CLIP_MEASURES, TRUTH_MEASURES)
        if any(score.value(name) is not None for score in every for name in group)
        for name in group
    ]
    return tuple(names) or tuple(CLIP_MEASURES)
