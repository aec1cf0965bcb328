"""Profiles: named sets of ordinary settings, beneath what a run's file or a variant says itself.

Nothing of a profile's name stays: the run's record, keys and tables know the settings alone.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from components.errors import UserError

PROFILES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "fast": {
            "invert": {"steps": 20},
            "sample": {"steps": 20, "solver": "dpmpp_2m", "guidance_interval": [0.0, 0.8]},
        },
        "paper": {
            "invert": {"steps": 50},
            "sample": {"steps": 50, "solver": "ddim", "guidance_interval": [0.0, 1.0]},
        },
    }
)
"""`fast` trades a little of the edits for a third of their UNet evaluations (docs/operating.md has
the price); `paper` is what a run does without a profile, for a variant beside it."""


def with_profiles(document: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A run's document with settings in place of its ``profile``, and of its variants'.

    Args:
        document: Of a run; not checked yet.
        where: Names the document in messages.

    Raises:
        UserError: there is no such profile.
    """
    found = _expanded(document, where)
    variants = found.get("variants")
    if isinstance(variants, Mapping):
        found["variants"] = {
            name: _expanded(one, f"{where}: variants.{name}") if isinstance(one, Mapping) else one
            for name, one in variants.items()
        }
    return found


def merged(document: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """A document with overrides, section by section."""
    out = dict(document)
    for key, value in overrides.items():
        former = out.get(key)
        both = isinstance(former, Mapping) and isinstance(value, Mapping)
        out[key] = merged(former or {}, value) if both else value
    return out


def _expanded(settings: Mapping[str, Any], where: str) -> dict[str, Any]:
    if "profile" not in settings:
        return dict(settings)
    own = {key: value for key, value in settings.items() if key != "profile"}
    name = settings["profile"]
    if not isinstance(name, str) or name not in PROFILES:
        near = difflib.get_close_matches(name, PROFILES, n=1) if isinstance(name, str) else []
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(PROFILES)}"
        raise UserError(f"{where}: profile {name!r} is unknown; {hint}")
    if (method := settings.get("method", "tune_a_video")) != "tune_a_video":
        raise UserError(
            f"{where}: profile {name!r} has settings of tune_a_video alone, and method {method!r} "
            "has its own: leave profile out, and set those"
        )
    return merged(PROFILES[name], own)
