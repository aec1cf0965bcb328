"""What of a base's own noise schedule is honoured, forced, needed or refused."""

from __future__ import annotations

import inspect
import re
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers import DDIMInverseScheduler, DDIMScheduler
from hypothesis import given, settings
from hypothesis import strategies as st

from tav_model.errors import BaseModelError
from tav_model.schedule import (
    DEFAULTS,
    FORCED,
    IRRELEVANT,
    NEEDED,
    SAMPLERS,
    check_contained,
    check_steps,
    schedule_settings,
    timesteps,
)

SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
ZERO = {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}


def test_every_key_of_every_sampler_is_decided_on() -> None:
    known = DEFAULTS.keys() | NEEDED.keys() | IRRELEVANT
    for name in SAMPLERS:
        keys = set(inspect.signature(getattr(diffusers, name)).parameters) - {"args", "kwargs"}
        assert keys <= known, name
    own = set(inspect.signature(DDIMScheduler).parameters)
    assert own == (DEFAULTS.keys() | FORCED.keys()) | (own & IRRELEVANT)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"_class_name": "PNDMScheduler", "_diffusers_version": "0.7.0", "skip_prk_steps": True},
        {"_class_name": "PNDMScheduler", "set_alpha_to_one": False, "trained_betas": None},
        {
            "_class_name": "EulerDiscreteScheduler",
            "interpolation_type": "linear",
            "sigma_max": None,
        },
        {"_class_name": "UniPCMultistepScheduler", "use_flow_sigmas": False, "flow_shift": 1.0},
        {"_name_or_path": "x/y", "clip_sample": True, "clip_sample_range": 9.0, "steps_offset": 0},
        {"timestep_spacing": "trailing", **ZERO},
        {"beta_schedule": "squaredcos_cap_v2"},
        {"num_train_timesteps": 3, "trained_betas": [0.1, 0.2, 0.3]},
        {"a_key_to_come": False, "another": None},
    ],
)
def test_what_real_files_hold_passes(config: dict[str, Any]) -> None:
    settings = schedule_settings(config)
    assert set(settings) == DEFAULTS.keys() | FORCED.keys()
    assert settings["steps_offset"] == 1
    assert not settings["clip_sample"]
    DDIMScheduler(**settings)


def test_the_clean_end_is_the_files_own_and_stable_diffusions_where_it_says_nothing() -> None:
    assert schedule_settings({"set_alpha_to_one": True})["set_alpha_to_one"] is True
    for unsaid in ({}, {"set_alpha_to_one": None}):
        assert schedule_settings(unsaid)["set_alpha_to_one"] is False
    other = {"set_alpha_to_one": True, "_use_default_values": ["set_alpha_to_one"]}
    assert schedule_settings(other)["set_alpha_to_one"] is False


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"timestep_spacing": "linspace"}, "timestep_spacing='linspace'.*leading, trailing"),
        ({"rescale_betas_zero_snr": True}, "rescale_betas_zero_snr=True.*epsilon"),
        ({"num_train_timesteps": 3, "trained_betas": [0.1, 0.2, 1]}, "betas that leave no signal"),
        ({"beta_schedule": "sigmoid"}, "beta_schedule='sigmoid'.*scaled_linear"),
        ({"beta_start": 0.5, "beta_end": 0.999}, "give no schedule"),
        ({"beta_start": -0.1}, "beta_start=-0.1.*between 0 and 1"),
        ({"beta_end": "0.02"}, "beta_end='0.02'"),
        ({"trained_betas": [0.1] * 5}, "5 values.*num_train_timesteps=1000 numbers"),
        ({"trained_betas": "betas.npy"}, "betas.npy"),
        ({"num_train_timesteps": 0}, "num_train_timesteps=0"),
        ({"num_train_timesteps": 1000.0}, "num_train_timesteps=1000.0"),
        ({"prediction_type": "sample"}, "prediction_type='sample'.*epsilon, v_prediction"),
        ({"prediction_type": "flow_prediction"}, "flow_prediction"),
        ({"thresholding": True}, "thresholding=True.*must be False"),
        ({"variance_type": "learned_range"}, "learned_range"),
        ({"timestep_type": "continuous"}, "continuous"),
        ({"use_flow_sigmas": True}, "use_flow_sigmas"),
        ({"set_alpha_to_one": 1}, "set_alpha_to_one=1.*true or false"),
        ({"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0}, "FlowMatchEuler"),
        ({"_class_name": "EDMEulerScheduler"}, "EDMEuler"),
        ({"_class_name": "LCMScheduler"}, "LCMScheduler"),
        ({"_class_name": ["x"]}, "_class_name"),
        ({"snr_shift_scale": 3.0}, "snr_shift_scale=3.0.*not known here"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(config: dict[str, Any], message: str) -> None:
    with pytest.raises(BaseModelError, match=message):
        schedule_settings(config)


@pytest.mark.parametrize(
    ("trained", "steps", "nearest"),
    [
        (1000, 501, "500 or 900"),
        (1000, 1000, "999"),
        (1000, 334, "333 or 450"),
        (50, 50, "49"),
        (50, 60, "49"),
        (20, 30, "19"),
    ],
)
def test_steps_that_leave_the_training_steps_or_cover_half_are_refused(
    trained: int, steps: int, nearest: str
) -> None:
    settings = schedule_settings({"num_train_timesteps": trained, **SD})
    with pytest.raises(BaseModelError, match=rf"invert\.steps={steps} .*Set .* to {nearest}\.$"):
        check_steps(settings, steps, "invert.steps")
    for good in nearest.split(" or "):
        check_steps(settings, int(good), "invert.steps")


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 20, 25, 30, 50, 75, 100, 150, 200, 250, 500, 999])
@pytest.mark.parametrize("spacing", ["leading", "trailing"])
def test_usual_numbers_of_steps_go(steps: int, spacing: str) -> None:
    check_steps(schedule_settings({"timestep_spacing": spacing, **SD}), steps, "sample.steps")


@given(
    trained=st.integers(2, 400),
    steps=st.integers(1, 420),
    schedule=st.sampled_from(["linear", "scaled_linear", "squaredcos_cap_v2"]),
    end=st.floats(0.001, 0.2),
    spacing=st.sampled_from(["leading", "trailing"]),
    prediction=st.sampled_from(["epsilon", "v_prediction"]),
    zero=st.booleans(),
    one=st.booleans(),
)
def test_what_is_accepted_walks_to_finite_noise_and_back(  # noqa: PLR0917
    trained: int,
    steps: int,
    schedule: str,
    end: float,
    spacing: str,
    prediction: str,
    zero: bool,  # noqa: FBT001
    one: bool,  # noqa: FBT001
) -> None:
    config = {
        "num_train_timesteps": trained,
        "beta_schedule": schedule,
        "beta_end": end,
        "timestep_spacing": spacing,
        "prediction_type": prediction,
        "rescale_betas_zero_snr": zero,
        "set_alpha_to_one": one,
    }
    try:
        settings = schedule_settings(config)
        check_steps(settings, steps, "steps")
    except BaseModelError:
        return
    forward = DDIMScheduler(**settings)
    inverse = DDIMInverseScheduler.from_config(forward.config)
    x = torch.linspace(-2, 2, 9)
    for scheduler in (inverse, forward):
        scheduler.set_timesteps(steps)
        walk = scheduler.timesteps.tolist()
        assert len(walk) == steps
        assert 0 <= min(walk) <= max(walk) < trained
        for t in walk:
            x = scheduler.step(torch.full((9,), 0.5), t, x, return_dict=False)[0]
            assert torch.isfinite(x).all()
    levels = torch.arange(trained)
    noisy = forward.add_noise(torch.ones(trained), torch.ones(trained), levels)
    assert torch.isfinite(noisy).all()


def test_the_signal_looked_at_is_diffusers_own() -> None:
    from tav_model.schedule import _signal

    for config in (SD, {"beta_schedule": "squaredcos_cap_v2"}, SD | ZERO, {}):
        settings = schedule_settings(config)
        theirs = DDIMScheduler(**settings).alphas_cumprod.numpy()
        assert np.allclose(_signal(settings), theirs, rtol=1e-3, atol=1e-7)


SPACINGS = st.sampled_from(["leading", "trailing"])


def _goes(schedule: dict[str, Any], inversion: int, sampling: int) -> bool:
    try:
        check_contained(schedule, ("inversion", inversion), ("sampling", sampling))
        check_steps(schedule, inversion, "inversion")
    except BaseModelError:
        return False
    return True


@given(SPACINGS, st.integers(1, 1000), st.sampled_from([1000, 50, 37]))
def test_timesteps_are_diffusers_own(spacing: str, steps: int, trained: int) -> None:
    schedule = schedule_settings({"timestep_spacing": spacing, "num_train_timesteps": trained})
    steps = min(steps, trained)
    for scheduler in (DDIMScheduler(**schedule), DDIMInverseScheduler.from_config(schedule)):
        scheduler.set_timesteps(steps)
        assert sorted(scheduler.timesteps.tolist()) == timesteps(schedule, steps)


@settings(max_examples=30)  # each looks through a thousand numbers
@given(SPACINGS, st.integers(1, 1100), st.sampled_from([1, 4, 10, 20, 50, 100, 999]))
def test_an_inversion_that_passes_by_a_timestep_is_refused_with_what_goes(
    spacing: str, inversion: int, sampling: int
) -> None:
    schedule = schedule_settings({"timestep_spacing": spacing})
    if _goes(schedule, inversion, sampling):
        assert set(timesteps(schedule, inversion)) >= set(timesteps(schedule, sampling))
        return
    with pytest.raises(BaseModelError) as refused:
        check_contained(schedule, ("inversion", inversion), ("sampling", sampling))
    message = str(refused.value)
    nearest = [int(n) for n in re.findall(r"\d+", message.partition("Set ")[2])]
    assert nearest
    assert all(_goes(schedule, n, sampling) for n in nearest)


def test_the_nearest_inversions_of_fifty_steps() -> None:
    schedule = schedule_settings(SD)
    for wanted, nearest in ((60, "50 or 99"), (210, "200 or 246"), (1000, "999"), (20, "50")):
        with pytest.raises(
            BaseModelError, match=f"inversion={wanted} .* inversion to {nearest}\\."
        ):
            check_contained(schedule, ("inversion", wanted), ("sampling", 50))
    for goes in (50, 100, 200, 250, 500, 999):
        check_contained(schedule, ("inversion", goes), ("sampling", 50))
    with pytest.raises(BaseModelError, match="sampling=501 does not go"):
        check_contained(schedule, ("inversion", 999), ("sampling", 501))
