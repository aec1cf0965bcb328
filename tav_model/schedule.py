"""The noise schedule that a base model's own file asks for, and what of it the method can honour.

Tuning, inversion and sampling share one DDIM schedule (arXiv 2010.02502), whatever sampler the
file names: what its values say of the noise is honoured or refused by name, what they say of that
sampler's own way through it does not matter. Loads no torch.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tav_model.errors import BaseModelError

SCHEDULER_FILE = "scheduler/scheduler_config.json"

DEFAULTS: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "trained_betas": None,
    "prediction_type": "epsilon",
    "timestep_spacing": "leading",
    "rescale_betas_zero_snr": False,
    "set_alpha_to_one": False,
}
"""Keys that are honoured, with the values that stand for an absent one: diffusers' own, but for
`set_alpha_to_one`, which is False in Stable Diffusion's own file."""

FORCED: dict[str, Any] = {"steps_offset": 1, "clip_sample": False, "thresholding": False}
"""What the schedule is made with whatever the file says. The official pipeline forces the first
two; thresholding is refused where it is on."""

SAMPLERS = (
    *("DDIMScheduler", "DDIMParallelScheduler", "DDPMScheduler", "DDPMParallelScheduler"),
    *("PNDMScheduler", "LMSDiscreteScheduler", "HeunDiscreteScheduler", "UniPCMultistepScheduler"),
    *("EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler", "DEISMultistepScheduler"),
    *("DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler", "DPMSolverSDEScheduler"),
    *("KDPM2DiscreteScheduler", "KDPM2AncestralDiscreteScheduler", "DDIMInverseScheduler"),
    "DPMSolverMultistepInverseScheduler",
)
"""Classes whose files describe discrete levels of noise by betas, as Stable Diffusion's does."""

NEEDED: dict[str, tuple[Any, ...]] = {
    "thresholding": (False,),
    "timestep_type": ("discrete",),
    "variance_type": ("fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log"),
    "use_flow_sigmas": (False,),
}
"""Keys whose other values mean a model of another kind, or what inversion cannot undo."""

IRRELEVANT = frozenset(
    [
        *("steps_offset", "clip_sample"),  # forced
        *("clip_sample_range", "sample_max_value", "dynamic_thresholding_ratio"),  # of clipping
        *("skip_prk_steps", "interpolation_type", "use_karras_sigmas", "use_exponential_sigmas"),
        *("use_beta_sigmas", "use_lu_lambdas", "sigma_min", "sigma_max", "final_sigmas_type"),
        *("algorithm_type", "solver_order", "solver_type", "solver_p", "lower_order_final"),
        *("euler_at_final", "lambda_min_clipped", "predict_x0", "disable_corrector"),
        *("predict_epsilon", "noise_sampler_seed", "timestep_values", "tensor_format"),
        *("flow_shift", "use_dynamic_shifting", "time_shift_type", "shift_terminal"),
    ]
)
"""Keys that say how the named sampler goes through the noise, which is not how DDIM does. The
last row belongs to flow matching, which `use_flow_sigmas` switches on."""

_CHOICES = {
    "beta_schedule": ("linear", "scaled_linear", "squaredcos_cap_v2"),
    "prediction_type": ("epsilon", "v_prediction"),
    "timestep_spacing": ("leading", "trailing"),
}
_MOST_STEPS = 1_000_000
_COVERED = 0.9
"""Part of the training steps that a walk must cope with, or it ends far from noise."""
_FAMILY = "Use a base of the kind of Stable Diffusion 1.x or 2.x"


def schedule_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """What to make the DDIM schedule of a base model with.

    Args:
        config: Contents of its scheduler_config.json, of any of ``SAMPLERS``.

    Returns:
        Arguments of diffusers' DDIMScheduler. All that is not among them keeps its default there
        and changes nothing.

    Raises:
        BaseModelError: a value cannot be honoured, or a key is unknown and not null or false.
    """
    unsaid = config.get("_use_default_values") or ()
    said = {k: v for k, v in config.items() if v is not None and k not in unsaid}
    _check_kind(said)
    settings = DEFAULTS | {k: v for k, v in said.items() if k in DEFAULTS}
    for name, allowed in _CHOICES.items():
        if settings[name] not in allowed:
            raise _refused(name, settings[name], f"one of {', '.join(allowed)}", _FAMILY)
    for name in ("rescale_betas_zero_snr", "set_alpha_to_one"):
        if not isinstance(settings[name], bool):
            raise _refused(name, settings[name], "true or false", "Repair the file")
    steps = settings["num_train_timesteps"]
    if type(steps) is not int or not 2 <= steps <= _MOST_STEPS:  # noqa: PLR2004 (there and back)
        raise _refused("num_train_timesteps", steps, f"2 .. {_MOST_STEPS}", "Repair the file")
    _check_betas(settings)
    return settings | FORCED


def check_steps(settings: Mapping[str, Any], steps: int, name: str) -> None:
    """Refuse a number of steps that this schedule cannot walk from clean to noise.

    Args:
        settings: What ``schedule_settings`` gave.
        steps: Of inversion or sampling.
        name: What the user calls it, such as ``invert.steps``.

    Raises:
        BaseModelError: names the nearest numbers that go.
    """
    if (why := _obstacle(settings, steps)) is None:
        return
    trained, spacing = settings["num_train_timesteps"], settings["timestep_spacing"]
    counts = (range(min(steps, trained), 0, -1), range(steps + 1, trained + 1))
    found = [next((n for n in some if _obstacle(settings, n) is None), None) for some in counts]
    nearest = " or ".join(str(n) for n in found if n is not None)
    remedy = f"Set {name} to {nearest}" if nearest else _FAMILY
    raise BaseModelError(
        f"{name}={steps} does not go with this base's {trained} training steps and "
        f"timestep_spacing={spacing}: {why}. {remedy}."
    )


def timesteps(settings: Mapping[str, Any], steps: int) -> list[int]:
    """Timesteps of a walk with this schedule, ascending, as diffusers makes them.

    Args:
        settings: What ``schedule_settings`` gave, or a scheduler's config.
        steps: Of inversion or sampling; at most as many as there are training steps.
    """
    trained = settings["num_train_timesteps"]
    if settings["timestep_spacing"] == "leading":
        return [n * (trained // steps) + settings["steps_offset"] for n in range(steps)]
    found = np.round(np.arange(trained, 0, -trained / steps)) - 1
    return [int(t) for t in found[::-1]]


def check_contained(
    settings: Mapping[str, Any], inversion: tuple[str, int], sampling: tuple[str, int]
) -> None:
    """Refuse an inversion that passes by a timestep of sampling.

    Args:
        settings: What ``schedule_settings`` gave, or a scheduler's config.
        inversion: What the user calls its number of steps, and the number.
        sampling: Likewise.

    Raises:
        BaseModelError: names the nearest numbers of inversion steps that go; see ``check_steps``.
    """
    (name, wanted), (other, steps) = inversion, sampling
    check_steps(settings, steps, other)
    trained, needed = settings["num_train_timesteps"], set(timesteps(settings, steps))

    def goes(n: int) -> bool:
        return needed.issubset(timesteps(settings, n)) and _obstacle(settings, n) is None

    if goes(wanted):
        return
    counts = (range(min(wanted, trained), steps - 1, -1), range(wanted, trained + 1))
    nearest = [next(filter(goes, some), None) for some in counts]
    raise BaseModelError(
        f"{name}={wanted} does not go with {other}={steps} on this base's schedule: inversion must "
        "pass through every timestep of sampling, for what it leaves there is read there. Set "
        f"{name} to {' or '.join(str(n) for n in nearest if n is not None)}."
    )


def _obstacle(settings: Mapping[str, Any], steps: int) -> str | None:
    """Why diffusers' timesteps leave the training steps, or do not nearly cover them."""
    trained = settings["num_train_timesteps"]
    stride = trained // steps
    if not stride:
        return "there are not so many"
    if stride * steps < _COVERED * trained:
        return (
            f"a stride of {trained} // {steps} = {stride} covers {stride * steps} of them, but "
            f"{_COVERED:.0%} must be, or the walk ends far from noise"
        )
    if settings["timestep_spacing"] == "leading":
        last = (steps - 1) * stride + settings["steps_offset"]
        return f"it would use step {last} of 0 .. {trained - 1}" if last >= trained else None
    found = timesteps(settings, steps)
    fit = len(found) == steps and found[0] >= 0
    return None if fit else "rounding gives one step too many"


def _check_kind(said: Mapping[str, Any]) -> None:
    """Refuse other families by their class, by a value that only they have, or by a key."""
    kind = said.get("_class_name", "DDIMScheduler")
    if kind not in SAMPLERS:
        raise _refused(
            "_class_name", kind, "a sampler of discrete noise levels", f"It is not. {_FAMILY}"
        )
    for name, allowed in NEEDED.items():
        if (value := said.get(name, allowed[0])) not in allowed:
            raise _refused(name, value, " or ".join(map(repr, allowed)), _FAMILY)
    known = DEFAULTS.keys() | NEEDED.keys() | IRRELEVANT
    for name, value in said.items():
        if not name.startswith("_") and name not in known and value is not False:
            raise BaseModelError(
                f"{SCHEDULER_FILE} has {name}={value!r}, a key that is not known here, so it is "
                "not known what it does to the noise. Remove it, or set it to null, if it does "
                f"nothing; else: {_FAMILY.lower()}."
            )


def _check_betas(settings: Mapping[str, Any]) -> None:
    """Refuse betas that are no schedule, or that this prediction type cannot undo."""
    for name in ("beta_start", "beta_end"):
        if type(settings[name]) not in (int, float) or not 0 < settings[name] < 1:
            raise _refused(name, settings[name], "between 0 and 1", "Repair the file")
    steps = settings["num_train_timesteps"]
    trained = settings["trained_betas"]
    if trained is not None and not _are_numbers(trained, steps):
        what = f"{len(trained)} values" if isinstance(trained, list) else trained
        limit = f"num_train_timesteps={steps} numbers from 0 to 1"
        raise _refused("trained_betas", what, limit, "Repair the file, or remove the key")
    kept = _signal(settings)
    ending = int((kept <= 0).sum())
    falling = bool(np.isfinite(kept).all() and (np.diff(kept) <= 0).all() and 0 < kept[0] < 1)
    if not falling or ending > 1:
        raise BaseModelError(
            f"the betas in {SCHEDULER_FILE} give no schedule: the signal that is left must fall "
            f"from step to step, from below 1 to above 0. Repair the file. {_FAMILY}."
        )
    if ending and settings["prediction_type"] == "epsilon":
        zero = "rescale_betas_zero_snr=True" if settings["rescale_betas_zero_snr"] else "betas"
        raise BaseModelError(
            f"{SCHEDULER_FILE} has {zero} that leave no signal in the last training step, and "
            "prediction_type='epsilon': from noise alone the predicted noise gives no picture (a "
            "division by zero). Set rescale_betas_zero_snr to false, or prediction_type to "
            "v_prediction, whichever the model was trained with."
        )


def _are_numbers(betas: Any, count: int) -> bool:
    return (
        isinstance(betas, list)
        and len(betas) == count
        and all(type(beta) in (int, float) and 0 <= beta <= 1 for beta in betas)
    )


def _signal(settings: Mapping[str, Any]) -> NDArray[np.float32]:
    """What diffusers calls `alphas_cumprod`: the part of the variance that is signal, by step."""
    steps, start, end = (
        settings[name] for name in ("num_train_timesteps", "beta_start", "beta_end")
    )
    make: dict[str, Callable[[], Any]] = {
        "linear": lambda: np.linspace(start, end, steps),
        "scaled_linear": lambda: np.linspace(start**0.5, end**0.5, steps) ** 2,
        "squaredcos_cap_v2": lambda: _cosine_betas(steps),
    }
    given = settings["trained_betas"]
    betas = make[settings["beta_schedule"]]() if given is None else np.array(given)
    kept = np.cumprod(1 - betas.astype(np.float32))
    if settings["rescale_betas_zero_snr"]:
        root = np.sqrt(kept)
        with np.errstate(all="ignore"):  # what comes of it is looked at
            kept = ((root - root[-1]) * (root[0] / (root[0] - root[-1]))) ** 2
    return kept.astype(np.float32)


def _cosine_betas(steps: int) -> NDArray[np.float64]:
    kept = np.cos((np.arange(steps + 1) / steps + 0.008) / 1.008 * np.pi / 2) ** 2
    betas: NDArray[np.float64] = np.minimum(1 - kept[1:] / kept[:-1], 0.999)
    return betas


def _refused(name: str, value: object, limit: str, remedy: str) -> BaseModelError:
    return BaseModelError(
        f"{SCHEDULER_FILE} has {name}={value!r}, which cannot be honoured: it must be {limit}. "
        f"{remedy}."
    )
