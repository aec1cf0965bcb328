"""What controls add to a UNet's features.

Shape suffixes: B clips, C channels, F frames, N = B*F images, H W latent pixels, L tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(slots=True)
class Residuals:
    """What controls add to the UNet's features of N images at one step."""

    skips: list[Tensor] | None = None
    """ControlNets': for each skip connection."""
    middle: Tensor | None = None
    """ControlNets': for the middle block."""
    inside: list[Tensor] | None = None
    """T2I-Adapters': for each down block."""

    def add(self, skips: Sequence[Tensor], middle: Tensor) -> None:
        """Add a ControlNet's to those of others."""
        if self.skips is None or self.middle is None:
            self.skips, self.middle = list(skips), middle
        else:
            self.skips = [a + b for a, b in zip(self.skips, skips, strict=True)]
            self.middle = self.middle + middle

    def add_inside(self, features: Sequence[Tensor]) -> None:
        """Add a T2I-Adapter's to those of others."""
        if self.inside is None:
            self.inside = list(features)
        else:
            self.inside = [a + b for a, b in zip(self.inside, features, strict=True)]

    def arguments(self) -> dict[str, Any]:
        """As UNet2DConditionModel takes them; it adds to the tensors inside in place."""
        found: dict[str, Any] = {}
        if self.skips is not None:
            found["down_block_additional_residuals"] = self.skips
            found["mid_block_additional_residual"] = self.middle
        if self.inside is not None:
            found["down_intrablock_additional_residuals"] = [x.clone() for x in self.inside]
        return found


Added = Callable[[Tensor, Tensor | int, Tensor, Tensor | None], Residuals | None]
"""What controls add of latents (B, C, F, H, W), a timestep and texts (B, L, C); of which frames of
the clip these are, (F,), none being all."""
