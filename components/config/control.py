"""The ``control`` section: models that steer sampling, and how their maps are made."""

from __future__ import annotations

import dataclasses
import difflib
from dataclasses import dataclass, field
from typing import ClassVar

from tav_model.config import ControlConfig, require
from tinyworld import shipped

_STRICT = {"extra": "forbid"}
_NOT_KEYED = {"key": False}

MAPS = ("canny", "softedge", "depth", "pose", "mask", "files")
"""What a net can be shown of the source: made from the clip, or ``files`` of the manifest."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CannyConfig:
    """Edges by OpenCV's Canny (IEEE PAMI-8(6), 1986); thresholds of the gradient.

    Raises:
        ValueError: a field is out of range; the message names value, limit and remedy.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT

    low: float = 100.0
    """Above it an edge goes on. 100 and 200 are what ControlNet's authors trained with."""
    high: float = 200.0
    """Above it an edge begins."""

    def __post_init__(self) -> None:
        """Check ranges."""
        require(
            0 <= self.low <= self.high < float("inf"),
            "low, high",
            (self.low, self.high),
            "0 <= low <= high",
            "ControlNet's authors use 100 and 200.",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class DepthConfig:
    """Depth by a model of transformers' ``AutoModelForDepthEstimation``."""

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT

    model: str = "depth-anything/Depth-Anything-V2-Small-hf"
    """A folder, or a hub id."""
    revision: str | None = None
    """Branch, tag or commit of a hub id; a folder takes none."""

    def __post_init__(self) -> None:
        """Check what is given."""
        require(bool(self.model), "model", self.model, "a folder or a hub id", "Set its model.")


@dataclass(frozen=True, kw_only=True, slots=True)
class PoseConfig:
    """Skeletons of people by rtmlib, whose models are ONNX files."""

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT

    detector: str = ""
    """Finds people: the ONNX file of a YOLOX."""
    detector_size: tuple[int, int] = (640, 640)
    """Height and width of what it is given."""
    estimator: str = ""
    """Finds joints: the ONNX file of an RTMPose of 17 joints."""
    estimator_size: tuple[int, int] = (192, 256)
    """Width and height of what it is given."""

    def __post_init__(self) -> None:
        """Check ranges."""
        for name in ("detector_size", "estimator_size"):
            size = getattr(self, name)
            require(min(size) >= 1, name, size, ">= 1", "Use what the file was exported for.")


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskConfig:
    """The object at a point, followed by SAM 2 (arXiv 2408.00714) through the clip."""

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT

    model: str = "facebook/sam2.1-hiera-tiny"
    """A folder, or a hub id."""
    revision: str | None = None
    """Branch, tag or commit of a hub id; a folder takes none."""
    point: tuple[float, float] = (0.5, 0.5)
    """On the object in the first frame, as shares of width and height."""

    def __post_init__(self) -> None:
        """Check ranges."""
        require(bool(self.model), "model", self.model, "a folder or a hub id", "Set its model.")
        inside = all(0 <= share <= 1 for share in self.point)
        require(inside, "point", self.point, "0 .. 1", "[0.5, 0.5] is the middle.")


@dataclass(frozen=True, kw_only=True, slots=True)
class ControlsConfig:
    """ControlNets and T2I-Adapters that steer sampling, and the maps that they are shown.

    Raises:
        ValueError: a field is out of range; the message names value, limit and remedy.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT

    nets: tuple[ControlConfig, ...] = ()
    """Of every video whose manifest entry names none of its own."""
    tune: bool = False
    """Whether they steer tuning, too; a control that changes then tunes anew."""
    device: str = field(default="cpu", metadata=_NOT_KEYED)
    """Where maps are made: `cpu` or `cuda`."""
    canny: CannyConfig = CannyConfig()
    depth: DepthConfig = DepthConfig()
    pose: PoseConfig = PoseConfig()
    mask: MaskConfig = MaskConfig()

    def __post_init__(self) -> None:
        """Check the names of maps."""
        check_nets(self.nets)


def check_nets(nets: tuple[ControlConfig, ...]) -> None:
    """Refuse a map that there is none of, and a net that the tiny world has not.

    Raises:
        ValueError: names it and the nearest, or the nets that there are.
    """
    for net in nets:
        if net.map not in MAPS:
            near = difflib.get_close_matches(net.map, MAPS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(MAPS)}"
            raise ValueError(f"map is {net.map!r}, which is none: {hint}")
        if net.model == shipped.NAME:
            shipped.shipped_net(net.kind, net.map)


def shipped_nets(nets: tuple[ControlConfig, ...]) -> tuple[ControlConfig, ...]:
    """The same with the folder of the tiny world's own net where one is called ``tinyworld``."""
    return tuple(
        dataclasses.replace(net, model=str(shipped.shipped_net(net.kind, net.map)))
        if net.model == shipped.NAME
        else net
        for net in nets
    )
