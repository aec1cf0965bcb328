"""Skeletons of people by rtmlib, drawn as OpenPose does: what nets for poses are shown."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.config.control import PoseConfig
from components.errors import UserError
from components.records.revisions import ONNX

if TYPE_CHECKING:
    from components.controls.maps import Maps

_SURE = 0.3
"""A joint that the estimator is less sure of is not drawn; rtmlib's own drawings use 0.3."""


def check_file(setting: str, path: str) -> None:
    """Refuse what is no ONNX file here: rtmlib would fetch another one from the net.

    Raises:
        UserError: names the setting and the remedy.
    """
    if not path or not path.endswith(ONNX) or not Path(path).is_file():
        raise UserError(
            f"{setting} is {path!r}, which is no {ONNX} file here: a net asks for map pose, so "
            "name the file of a YOLOX as detector and of an RTMPose as estimator"
        )


class Pose:
    """A loaded detector of people and estimator of joints."""

    _detector: Any
    _estimator: Any

    def __init__(self, config: PoseConfig, device: str) -> None:
        """Load them.

        Raises:
            UserError: a file is damaged or of another kind.
        """
        import onnxruntime
        import rtmlib

        kind = device.partition(":")[0]
        # It would take the CPU without a word.
        if kind == "cuda" and "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
            raise UserError(
                f"control.device is {device}, but the onnxruntime that is installed has no CUDA: "
                "install onnxruntime-gpu, or set control.device to cpu"
            )
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # it prints what it loads
                self._load(rtmlib, config, kind)
        except Exception as error:  # onnxruntime has a type for each
            raise UserError(
                f"control.pose: {config.detector} and {config.estimator} are no detector and "
                f"estimator that rtmlib can load: {error}"
            ) from error
        self._draw: Any = rtmlib.draw_skeleton

    def _load(self, rtmlib: Any, config: PoseConfig, kind: str) -> None:
        self._detector = rtmlib.YOLOX(
            config.detector, model_input_size=config.detector_size, device=kind
        )
        self._estimator = rtmlib.RTMPose(
            config.estimator,
            model_input_size=config.estimator_size,
            to_openpose=True,
            device=kind,
        )

    def __call__(self, frames: Maps) -> Maps:
        """Maps of a clip's frames: limbs in OpenPose's colours on black."""
        import numpy as np

        maps = np.zeros_like(frames)
        for place, frame in enumerate(frames):
            picture = np.ascontiguousarray(frame[..., ::-1])  # BGR, as rtmlib reads with OpenCV
            boxes = self._detector(picture)
            if not len(boxes):
                continue  # it would take the whole frame for a person
            joints, scores = self._estimator(picture, bboxes=boxes)
            canvas = np.zeros_like(picture)
            drawn = self._draw(canvas, joints, scores, openpose_skeleton=True, kpt_thr=_SURE)
            maps[place] = drawn
        return maps
