"""Depth by a model of transformers': near is bright, on one scale for the whole clip.

With a scale of its own for each frame, as image pipelines have it, a clip flickers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from components.controls.maps import load_model

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from components.controls.maps import Maps

_BATCH = 4
"""Frames that go through the model at once."""
_METRIC = ("zoedepth", "glpn", "depth_pro")
"""Kinds of models that always give metres: far is great. Others give what is great where it is
near, unless their config says ``metric``."""


class Depth:
    """A loaded model."""

    _processor: Any
    _model: Any

    def __init__(self, model: str, revision: str | None, device: str) -> None:
        """Load it.

        Raises:
            UserError: it is not there, damaged or of another kind.
        """
        from transformers import AutoImageProcessor, AutoModelForDepthEstimation

        self._processor, self._model = load_model(
            *("control.depth.model", model, revision),
            (AutoImageProcessor, AutoModelForDepthEstimation),
        )
        self._model.to(device)
        config = self._model.config
        given = getattr(config, "depth_estimation_type", "relative")
        self._metric = config.model_type in _METRIC or given == "metric"

    def __call__(self, frames: Maps) -> Maps:
        """Maps of a clip's frames: 255 where the clip is nearest, 0 where it is farthest."""
        import numpy as np

        parts = [self._near(frames[i : i + _BATCH]) for i in range(0, len(frames), _BATCH)]
        maps: Maps = scaled(np.concatenate(parts))[..., None].repeat(3, axis=-1)
        return maps

    def _near(self, frames: Maps) -> NDArray[np.float32]:
        """How near each pixel is, (F, H, W), on the model's own scale."""
        import torch

        inputs = self._processor(images=list(frames), return_tensors="pt")
        with torch.no_grad():
            found = self._model(**inputs.to(self._model.device))
        sizes = [frames.shape[1:3]] * len(frames)
        depths = self._processor.post_process_depth_estimation(found, target_sizes=sizes)
        depth = torch.stack([one["predicted_depth"] for one in depths]).float()
        # In inverse metres, as what image models of relative depth give.
        near = 1 / depth.clamp(min=1e-3) if self._metric else depth
        array: NDArray[np.float32] = near.cpu().numpy()
        return array


def scaled(near_FHW: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Bring a clip's values to 0 .. 255 by its own least and greatest; a flat clip is black."""
    import numpy as np

    low, high = float(near_FHW.min()), float(near_FHW.max())
    if high <= low:
        return np.zeros(near_FHW.shape, np.uint8)
    levels: NDArray[np.uint8] = np.rint(255 * (near_FHW - low) / (high - low)).astype(np.uint8)
    return levels
