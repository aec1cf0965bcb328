"""Makers of maps by name: what their maps depend on, and how each is loaded."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from components.config import ControlsConfig
from components.errors import UserError
from components.records.keys import content_key
from tav_model.config import ControlConfig

if TYPE_CHECKING:
    from components.controls.maps import Maps

Maker = Callable[["Maps"], "Maps"]
"""Makes maps (F, H, W, 3) uint8 of a clip's frames, (F, H, W, 3) uint8 RGB."""

FILES = "files"
"""The map that is read and not made."""
MASK = "mask"
"""The map that may stand for a video's mask, too."""
VERSIONS: Mapping[str, int] = {
    "canny": 1,
    "softedge": 1,
    "depth": 1,
    "pose": 1,
    "mask": 1,
    FILES: 1,
}
"""Raised whenever a maker gives other maps of equal frames and settings."""

_MODELS: Mapping[str, Mapping[str, str | None]] = {
    "depth": {"model": "revision"},
    "mask": {"model": "revision"},
    "pose": {"detector": None, "estimator": None},
}
"""Fields of a map's section that name models, and those of their revisions; none names files."""
EXTRAS: Mapping[str, tuple[str, str]] = {"pose": ("rtmlib", "pose")}
"""Libraries by map that not everybody has installed, and the extra that brings each."""


def model_name(model: str, revision: str | None) -> str:
    """What ``Revisions.controls`` calls a model."""
    return model if revision is None else f"{model}@{revision}"


def net_name(net: ControlConfig) -> str:
    """The same of a ControlNet or T2I-Adapter."""
    return model_name(net.model, net.revision)


def maker_models(config: ControlsConfig, kind: str) -> dict[str, tuple[str, str | None]]:
    """The models that maps of a kind are made with, by field of its section."""
    section = getattr(config, kind, None)
    return {
        name: (getattr(section, name), getattr(section, revision) if revision else None)
        for name, revision in _MODELS.get(kind, {}).items()
    }


def maker_settings(config: ControlsConfig, kind: str) -> dict[str, Any]:
    """The settings that maps of a kind depend on, beside their models."""
    section = getattr(config, kind, None)
    if section is None:
        return {}
    gone = {name for pair in _MODELS.get(kind, {}).items() for name in pair}
    return {k: v for k, v in dataclasses.asdict(section).items() if k not in gone}


def maker_key(config: ControlsConfig, kind: str, revisions: Mapping[str, str]) -> str:
    """What maps of a kind depend on beside the clip, as a key.

    Args:
        config: The section.
        kind: Of the maps.
        revisions: Of models by ``model_name``.
    """
    models = maker_models(config, kind)
    exact = {name: revisions.get(model_name(*one), "") for name, one in models.items()}
    return content_key(
        map=kind, version=VERSIONS[kind], settings=maker_settings(config, kind), models=exact
    )


def settings_text(config: ControlsConfig, kind: str) -> str:
    """The settings as JSON, for people."""
    return json.dumps(maker_settings(config, kind), sort_keys=True)


def check_maker(config: ControlsConfig, kind: str) -> None:
    """Refuse maps whose maker lacks a library here, or files of its models.

    Raises:
        UserError: names it and the remedy.
    """
    from importlib.util import find_spec

    library, extra = EXTRAS.get(kind, ("", ""))
    if library and find_spec(library) is None:
        raise UserError(
            f"control maps of kind {kind!r} need {library}, which is not installed here: "
            f"pip install '.[{extra}]'"
        )
    if kind == "pose":
        from components.controls.pose import check_file

        for name, (path, _) in maker_models(config, kind).items():
            check_file(f"control.pose.{name}", path)


def make_maker(config: ControlsConfig, kind: str, revisions: Mapping[str, str]) -> Maker:
    """Load what makes maps of a kind.

    Args:
        config: The section.
        kind: Any but ``FILES``.
        revisions: Of models by ``model_name``.

    Raises:
        UserError: a library or a model is missing, damaged or of another kind.
    """
    check_maker(config, kind)
    pinned = {
        name: _commit(revisions.get(model_name(*one), ""))
        for name, one in maker_models(config, kind).items()
    }
    if kind == "canny":
        from components.controls.canny import Canny

        return Canny(config.canny)
    if kind == "softedge":
        from components.controls.softedge import soft_edges

        return soft_edges
    if kind == "depth":
        from components.controls.depth import Depth

        return Depth(config.depth.model, pinned["model"], config.device)
    if kind == "pose":
        from components.controls.pose import Pose

        return Pose(config.pose, config.device)
    from components.controls.mask import Mask

    return Mask(config.mask, pinned["model"], config.device)


def _commit(exact: str) -> str | None:
    from components.records.revisions import hub_revision

    return hub_revision(exact) if exact else None
