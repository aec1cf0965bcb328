"""Networks on pixels: LPIPS (Zhang et al. 2018) and RAFT's optical flow (Teed and Deng 2020).

The networks are torchmetrics' and torchvision's. Both libraries come with, or fetch, pickled
weights, which are never read here: eval/README.md says how they become safetensors.
Shape legend: F frames, T = F - 1 neighbouring pairs, H height, W width, C the three colours.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt

from eval.clip_encoder import checked_device
from eval.errors import EvalError
from eval.images import Floats, Frames
from eval.warping import Flows
from eval.weights import fill

_LPIPS_SMALLEST = 17
"""The least side that SqueezeNet takes, in pixels."""
_RAFT_SMALLEST, _RAFT_STEP = 128, 8
"""The least side that RAFT takes, and what sides are multiples of, in pixels."""


class Lpips:
    """LPIPS on SqueezeNet 1.1, as PIE-Bench has it, in fp32 and evaluation mode.

    Args:
        model: A folder, or hub id, with one safetensors file: torchmetrics' network, backbone and
            linear heads.
        revision: Of a hub id; none takes the hub's current one.
        device: Torch device; it must be there.
        batch_size: Frames compared at once.

    Raises:
        EncoderError: the weights or the device are not there, or not usable.
    """

    def __init__(self, model: str, *, revision: str | None, device: str, batch_size: int) -> None:
        # The public class reads a pickle, and has no other way in.
        from torchmetrics.functional.image.lpips import _LPIPS  # noqa: PLC0415

        self._device = checked_device(device)
        self._batch_size = batch_size
        net = _LPIPS(pretrained=False, pnet_rand=True, net="squeeze")
        self._net: Any = fill(net, model, revision, "torchmetrics' LPIPS on SqueezeNet")
        self._net.float().to(self._device)

    def distances(
        self, one_FHWC: Floats, other_FHWC: Floats, *, spatial: bool
    ) -> npt.NDArray[np.float32]:
        """How far two clips' frames are apart.

        Args:
            one_FHWC: Within [0, 1], shape (F, H, W, 3).
            other_FHWC: Likewise, of the same shape.
            spatial: Whether about each pixel (layers' maps brought to the frames' size) and not of
                whole frames.

        Returns:
            Shape (F, H, W), or (F,).

        Raises:
            EvalError: frames of under 17 pixels.
        """
        import torch  # noqa: PLC0415

        height, width = one_FHWC.shape[1:3]
        if min(height, width) < _LPIPS_SMALLEST:
            raise EvalError(
                f"LPIPS of frames of {width}×{height} pixels: SqueezeNet needs at least "
                f"{_LPIPS_SMALLEST} each way; raise video.width and video.height"
            )
        self._net.spatial = spatial
        found = []
        with torch.inference_mode():
            for first in range(0, len(one_FHWC), self._batch_size):
                images = (
                    self._image(clip[first : first + self._batch_size])
                    for clip in (one_FHWC, other_FHWC)
                )
                found.append(self._net(*images, normalize=True)[:, 0].cpu())
        distances: npt.NDArray[np.float32] = torch.cat(found).numpy()
        return distances if spatial else distances[:, 0, 0]

    def _image(self, images_FHWC: Floats) -> Any:
        import torch  # noqa: PLC0415

        channels_first = np.ascontiguousarray(images_FHWC.transpose(0, 3, 1, 2), np.float32)
        return torch.from_numpy(channels_first).to(self._device)


class Raft:
    """torchvision's ``raft_large`` with 12 updates, its default, in fp32 and evaluation mode.

    Args:
        model: A folder, or hub id, with one safetensors file: the network's weights.
        revision: Of a hub id; none takes the hub's current one.
        device: Torch device; it must be there.

    Raises:
        EncoderError: the weights or the device are not there, or not usable.
    """

    def __init__(self, model: str, *, revision: str | None, device: str) -> None:
        from torchvision.models.optical_flow import raft_large  # noqa: PLC0415

        self._device = checked_device(device)
        net = raft_large(weights=None, progress=False)
        self._net: Any = fill(net, model, revision, "torchvision's raft_large")
        self._net.float().to(self._device)

    def flows(self, frames_FHWC: Frames) -> Flows:
        """The flow of each pair of neighbouring frames both ways, one pair at a time.

        Frames are not scaled. Their borders are repeated, half on each side, up to multiples of 8
        and at least 128 pixels, which RAFT needs; the flow is cut back.

        Args:
            frames_FHWC: (F, H, W, 3) uint8 RGB, F ≥ 2.

        Returns:
            Shapes (T, H, W, 2), float32, pixels.

        Raises:
            EvalError: one frame.
        """
        import torch  # noqa: PLC0415
        from torch.nn.functional import pad  # noqa: PLC0415

        count, height, width, _ = frames_FHWC.shape
        if count < 2:  # noqa: PLR2004 - a pair
            raise EvalError(
                f"the optical flow of {count} frame(s): it is between neighbouring frames, so a "
                "clip needs at least 2; raise video.num_frames"
            )
        top, bottom = _border(height)
        left, right = _border(width)
        levels = torch.tensor(frames_FHWC).permute(0, 3, 1, 2).float()
        images = pad(levels / 127.5 - 1, (left, right, top, bottom), mode="replicate")
        ways = []
        with torch.inference_mode():
            for one, other in itertools.pairwise(images):
                first, second = torch.stack([one, other]), torch.stack([other, one])
                found = self._net(first.to(self._device), second.to(self._device))[-1]
                ways.append(found[:, :, top : top + height, left : left + width].cpu())
        both_T2HWC = torch.stack(ways).permute(0, 1, 3, 4, 2).numpy()
        return Flows(forward_THW2=both_T2HWC[:, 0], backward_THW2=both_T2HWC[:, 1])


def _border(side: int) -> tuple[int, int]:
    """What is added before and after."""
    lacking = max(_RAFT_SMALLEST, -(-side // _RAFT_STEP) * _RAFT_STEP) - side
    return lacking // 2, lacking - lacking // 2
