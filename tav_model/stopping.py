"""When a tuning has come as far as it will: the loss at fixed noise and fixed noise levels.

The loss of the steps themselves says little, since each has its own noise level, and the levels
differ by far more than the steps do. At fixed pairs of noise and level it is a smooth curve.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tav_model.config import StopConfig

_SMOOTHING = 0.5
"""Weight of the newest look in the running mean."""


def probe_levels(pairs: int) -> list[float]:
    """The noise levels of the fixed pairs, 0 .. 1: the middles of so many equal parts."""
    return [(number + 0.5) / pairs for number in range(pairs)]


def stopped(looks: Sequence[float], config: StopConfig) -> str:
    """Why a tuning is over after these looks; empty where it is not.

    Args:
        looks: mean loss of the fixed pairs, every `config.every` steps.
        config: the criterion.
    """
    smooth = best = float("inf")
    best_at = 0
    for number, look in enumerate(looks, start=1):
        smooth = look if number == 1 else (1 - _SMOOTHING) * smooth + _SMOOTHING * look
        if smooth < best * (1 - config.min_gain):
            best, best_at = smooth, number
    waited = len(looks) - best_at
    if waited < config.patience or len(looks) * config.every < config.min_steps:
        return ""
    return (
        f"the loss of {config.pairs} fixed pairs fell by less than {config.min_gain:.2%} of "
        f"{best:.4g} in {waited} looks"
    )


class Stopper:
    """Looks at a tuning every few steps. Its draws are its own: the steps are as without it."""

    def __init__(
        self,
        config: StopConfig,
        pairs: Sequence[Callable[[], Tensor]],
        looks: Sequence[float] = (),
    ) -> None:
        """Know what to look at.

        Args:
            config: the criterion.
            pairs: the loss of each fixed pair, a tensor of one number.
            looks: what was seen before an interruption.
        """
        self._config = config
        self._pairs = pairs
        self.looks = list(looks)
        """Mean loss of the pairs, one every `every` steps."""

    @property
    def reason(self) -> str:
        """Why the tuning is over; empty where it is not."""
        return stopped(self.looks, self._config)

    @torch.no_grad()
    def after(self, step: int) -> None:
        """Look, if it is time."""
        if step % self._config.every == 0:
            losses = torch.stack([loss() for loss in self._pairs])
            self.looks.append(float(losses.double().mean()))
