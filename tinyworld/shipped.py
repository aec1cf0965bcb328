"""Where the trained models are that come with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

Net = Literal["controlnet_depth", "controlnet_canny", "t2i_adapter_canny"]
"""A net that steers the base: its kind, and the map that it is shown."""
NETS: tuple[Net, ...] = get_args(Net)
NAME = "tinyworld"
"""What a configuration calls these models."""
WEIGHTS = Path(__file__).parent / "weights"
"""Folder of all of them, with the manifest that says how they were made."""


def shipped_model(part: Literal["base", "blip2", "clip", "reader"] | Net) -> Path:
    """Folder of one trained model: the diffusion model, BLIP-2, CLIP, the reader or a net."""
    return WEIGHTS / part


def shipped_net(kind: str, shown: str) -> Path:
    """Folder of the net of a kind that is shown a kind of map.

    Args:
        kind: ``controlnet`` or ``t2i_adapter``.
        shown: the map; ``files`` are of depth, as only the world's truth knows it.

    Raises:
        ValueError: there is none; the message names those that there are.
    """
    name = f"{kind}_{'depth' if shown == 'files' else shown}"
    for net in NETS:
        if net == name:
            return shipped_model(net)
    raise ValueError(
        f"{NAME} has no {kind} for the map {shown}: it has {', '.join(NETS)} "
        "(the depth of its clips is read, map files)"
    )


def public_name(model: str) -> str:
    """What a table calls a model: one of ours by the name that users give, others as they are."""
    return NAME if Path(model).is_relative_to(WEIGHTS) else model
