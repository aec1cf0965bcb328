"""Ways from noise to a clip: which noise levels a sampling stands at, and who takes the steps.

DDIM (arXiv 2010.02502) goes evenly through the timesteps, as the official code does.
DPM-Solver++(2M) (arXiv 2211.01095) needs fewer steps, where they get smaller towards the clean end
(arXiv 2206.00364, equation 5): evenly spread, its last steps would leap.
"""

import inspect

import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler
from torch import Tensor

from tav_model.config import SampleConfig
from tav_model.load import BaseModel

_RHO = 7.0
"""How much smaller steps get, as in the paper."""
_LEAST_SIGNAL = 2.0**-24
"""For none at all, as in diffusers' solver."""


def sampling_timesteps(base: BaseModel, steps: int) -> list[int]:
    """DDIM's timesteps, descending. Sets the model's scheduler to them."""
    base.scheduler.set_timesteps(steps)  # stays on the host: see invert()
    return base.scheduler.timesteps.tolist()  # type: ignore[no-any-return]


def solver_of(base: BaseModel, config: SampleConfig) -> DDIMScheduler | DPMSolverMultistepScheduler:
    """The solver of the base's own noise schedule, with its timesteps set.

    All begin at DDIM's first timestep, which is that of as many steps of inversion, and end at the
    same clean end.
    """
    timesteps = sampling_timesteps(base, config.steps)
    if config.solver == "ddim":
        return base.scheduler
    # Of the keys that both have: it would log the others, which change nothing here.
    known = inspect.signature(DPMSolverMultistepScheduler.__init__).parameters
    ddim = base.scheduler.config
    solver = DPMSolverMultistepScheduler.from_config(
        {key: value for key, value in ddim.items() if key in known},
        algorithm_type="dpmsolver++",
        solver_order=2,
        final_sigmas_type="zero" if ddim.set_alpha_to_one else "sigma_min",
    )
    levels = shrinking(base.scheduler.alphas_cumprod, timesteps[0], config.steps)
    solver.set_timesteps(timesteps=levels)
    return solver


def shrinking(signal_T: Tensor, first: int, steps: int) -> list[int]:
    """Timesteps whose noise levels get closer towards the clean end, descending, above 0.

    Args:
        signal_T: (T,) cumulative alphas.
        first: the first of them, `steps` or more.
        steps: how many.
    """
    signal = signal_T.clamp(min=_LEAST_SIGNAL).double()
    sigma = ((1 - signal) / signal).sqrt()
    most, least = sigma[first] ** (1 / _RHO), sigma[0] ** (1 / _RHO)
    wanted = (most + torch.arange(steps) / steps * (least - most)) ** _RHO
    found: list[int] = []
    for number, level in enumerate(wanted):
        nearest = int((sigma - level).abs().argmin())
        below = found[-1] - 1 if found else first
        found.append(max(min(nearest, below), steps - number))
    return found
