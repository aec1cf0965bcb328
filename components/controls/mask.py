"""The object at a point, followed through the clip by SAM 2: white on black."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from components.config.control import MaskConfig
from components.controls.maps import load_model

if TYPE_CHECKING:
    from components.controls.maps import Maps


class Mask:
    """A loaded model."""

    _processor: Any
    _model: Any

    def __init__(self, config: MaskConfig, revision: str | None, device: str) -> None:
        """Load it.

        Raises:
            UserError: it is not there, damaged or of another kind.
        """
        from transformers import Sam2VideoModel, Sam2VideoProcessor

        self._processor, self._model = load_model(
            *("control.mask.model", config.model, revision), (Sam2VideoProcessor, Sam2VideoModel)
        )
        self._model.to(device)
        self._point = config.point
        self._device = device

    def __call__(self, frames: Maps) -> Maps:
        """Maps of a clip's frames: 255 where the object is, else 0."""
        import numpy as np
        import torch

        _, height, width, _ = frames.shape
        session = self._processor.init_video_session(
            video=list(frames), inference_device=self._device
        )
        place = [self._point[0] * (width - 1), self._point[1] * (height - 1)]
        self._processor.add_inputs_to_inference_session(
            inference_session=session,
            frame_idx=0,
            obj_ids=1,
            input_points=[[[place]]],
            input_labels=[[[1]]],
        )
        maps = np.zeros_like(frames)
        with torch.no_grad():
            for found in self._model.propagate_in_video_iterator(session, start_frame_idx=0):
                (mask,) = self._processor.post_process_masks(
                    [found.pred_masks], original_sizes=[[height, width]], binarize=True
                )
                maps[found.frame_idx] = 255 * mask[0, 0].cpu().numpy()[..., None]
        return maps
