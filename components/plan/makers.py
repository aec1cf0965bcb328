"""What making control maps takes at least: the weights of what makes them, and frames it holds."""

from __future__ import annotations

import math
from pathlib import Path

from components.config import ControlsConfig, VideoConfig
from components.controls.maker import MASK, maker_models
from components.plan.video import PROCESS_BYTES
from components.records.models import model_config

_FP32 = 4
"""Bytes of a number: makers compute in fp32."""
_SAM2_SIDE = 1024
"""Of the pictures that SAM 2 is given, where its config says nothing."""


def maker_bytes(config: ControlsConfig, kind: str, size: VideoConfig) -> float | None:
    """Memory of the worker that makes a clip's maps, on ``control.device``.

    Activations are not counted: depth goes in batches of four frames, all else frame by frame.

    Args:
        config: The section.
        kind: Of the maps.
        size: Of the clip.

    Returns:
        Bytes; none where no model makes them, or its weights do not lie in a folder here (a plan
        downloads none).
    """
    models = [name for name, _ in maker_models(config, kind).values()]
    weights = [_weights(name) for name in models]
    if not models or None in weights:
        return None
    held = 3 * size.num_frames * size.height * size.width  # the clip
    if kind == MASK:
        side = int(
            model_config("control.mask", models[0], "", "config.json").get("image_size", _SAM2_SIDE)
        )
        held += 3 * _FP32 * size.num_frames * side**2
    device = config.device.partition(":")[0]
    return PROCESS_BYTES[device] + sum(one or 0.0 for one in weights) + held


def _weights(model: str) -> float | None:
    """Bytes of a model's weights: of a folder's safetensors in fp32, or of an ONNX file."""
    from tav_model.weights import tensors, weight_files

    path = Path(model)
    if path.is_file():
        return float(path.stat().st_size)
    if not path.is_dir():
        return None
    try:
        files = weight_files(path, "model", (None,))
    except ValueError:
        return None  # as the worker says
    return float(_FP32 * sum(math.prod(view.get_shape()) for _, _, view in tensors(files)))
