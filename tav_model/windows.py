"""Clips longer than a window: seen in overlapping windows whose predictions are blended.

The memory of a step follows the window and not the clip. Every window also sees the clip's first
frame, whose keys and values its frames attend to (section 4.1 of the paper), so that all windows
hold on to one look. Importing this loads no torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tav_model.config import ModelConfig

if TYPE_CHECKING:
    from torch import Tensor


def windows_of(config: ModelConfig) -> Windows | None:
    """How a model divides long clips; none where it divides none."""
    return None if config.window is None else Windows(config.window, config.overlap)


@dataclass(frozen=True, slots=True)
class Windows:
    """How a long clip is divided."""

    frames: int
    """Of one window, the clip's first frame not counted where it is added."""
    overlap: int
    """Frames that a window shares with the next one, at least."""

    def divides(self, frames: int) -> bool:
        """Whether a clip of so many frames is divided; a window with the first frame is not."""
        return frames > self.frames + 1

    def starts(self, frames: int) -> list[int]:
        """First frames of the windows of a clip, evenly spread, the last window ending with it."""
        last = frames - self.frames
        if last <= 0:
            return [0]
        count = -(-last // (self.frames - self.overlap))
        return [round(last * k / count) for k in range(count + 1)]

    def seen(self, start: int) -> list[int]:
        """The frames that a window sees: its own, after the clip's first."""
        own = list(range(start, start + self.frames))
        return own if start == 0 else [0, *own]

    def weights(self) -> Tensor:
        """How much each of a window's frames counts where windows overlap, (frames,).

        It falls towards both ends, where a frame lacks a neighbour.
        """
        import torch  # noqa: PLC0415 (a plan needs the numbers alone)

        place = torch.arange(self.frames)
        return torch.minimum(place + 1, self.frames - place).clamp(max=self.overlap + 1).float()


def blended(
    windows: Windows, sample_BCFHW: Tensor, predict: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Predict a long clip window by window.

    Args:
        windows: how it is divided.
        sample_BCFHW: (B, C, F, H, W) noisy latents.
        predict: gives the prediction of some of the frames, of the latents (B, C, f, H, W) and the
            frames' numbers (f,).

    Returns:
        (B, C, F, H, W) fp32: of each frame the weighted mean of what its windows say.
    """
    import torch  # noqa: PLC0415

    frames, device = sample_BCFHW.shape[2], sample_BCFHW.device
    weight_F = windows.weights().to(device)
    total = torch.zeros(frames, device=device)
    out = torch.zeros_like(sample_BCFHW, dtype=torch.float32)
    for start in windows.starts(frames):
        seen = torch.tensor(windows.seen(start), device=device)
        found = predict(sample_BCFHW[:, :, seen], seen)[:, :, -windows.frames :]
        own = slice(start, start + windows.frames)
        out[:, :, own] += found * weight_F[:, None, None]
        total[own] += weight_F
    return out / total[:, None, None]
