"""Protocols that are no longer computed: runs that have their scores still show them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from eval.measures import Measure
from eval.protocols.evidence import READER


@dataclass(frozen=True, kw_only=True, slots=True)
class Retired:
    """What is left of a protocol."""

    measures: Mapping[str, Measure]
    why: str
    """And what to ask for instead."""
    judges: tuple[str, ...] = ()
    """The models that it asked for: what its scores are kept by names them."""


RETIRED: Mapping[str, Retired] = MappingProxyType(
    {
        "tinyworld_v1": Retired(
            why="its world of one object in four words has grown: ask for tinyworld_v2, which "
            "reads two things and what no word says of them",
            judges=(READER,),
            measures={
                "edited_right": Measure(label="Edited right", short="edited right", whole=100),
                "unedited_kept": Measure(label="Unedited kept", short="unedited kept", whole=100),
                "motion_correlation": Measure(label="Motion correlation", short="motion"),
                "flicker": Measure(label="Flicker", short="flicker", lower_is_better=True),
                "jitter": Measure(label="Jitter, px", short="jitter, px", lower_is_better=True),
            },
        )
    }
)
"""By name."""
