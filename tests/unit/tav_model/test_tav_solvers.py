"""Solvers of sampling and the interval of guidance, against an ODE whose solution is known."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from tav_model.config import SampleConfig
from tav_model.load import BaseModel
from tav_model.sample import denoise, sample
from tav_model.solvers import sampling_timesteps, shrinking, solver_of

LATENTS = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(2))
PROMPTS = ["a red fish", "a blue car"]
PLAIN = SampleConfig(guidance_scale=1)


class OfGaussian(nn.Module):
    """The best prediction of noise where clean latents are Gaussian: linear in the noisy ones."""

    variance = 0.25

    def __init__(self, base: BaseModel, kind: str = "epsilon") -> None:
        super().__init__()
        self.alphas, self.kind = base.scheduler.alphas_cumprod, kind

    def forward(self, x: Tensor, timestep: Tensor, *_: object) -> Tensor:
        a: Tensor = self.alphas[int(timestep)]
        total = a * self.variance + 1 - a
        noise = (1 - a).sqrt() / total * x
        clean = a.sqrt() * self.variance / total * x
        return noise if self.kind == "epsilon" else a.sqrt() * noise - (1 - a).sqrt() * clean

    def solution(self, x: Tensor, first: int, last: Tensor) -> Tensor:
        """Of the probability-flow ODE: the deviation falls, the direction stays."""
        here, there = (a * self.variance + 1 - a for a in (self.alphas[first], last))
        return x * (there / here).sqrt()


def error(base: BaseModel, config: SampleConfig, kind: str = "epsilon") -> float:
    """Of the ODE's end, relative."""
    exact = OfGaussian(base, kind)
    unet: Any = exact
    known = replace(base, unet=unet)
    text = torch.zeros(2, 1, 1)
    found = denoise(known, LATENTS[None], text, config)
    expected = exact.solution(
        LATENTS[None], sampling_timesteps(base, config.steps)[0], base.scheduler.final_alpha_cumprod
    )
    return float((found - expected).norm() / expected.norm())


@pytest.fixture(params=["epsilon", "v_prediction"])
def either(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


def test_a_solver_of_second_order_needs_fewer_steps(
    base: BaseModel, velocity_base: BaseModel, either: str
) -> None:
    of = base if either == "epsilon" else velocity_base
    ddim = [error(of, replace(PLAIN, steps=n), either) for n in (20, 50)]
    second = [error(of, replace(PLAIN, steps=n, solver="dpmpp_2m"), either) for n in (20, 50)]
    assert second[0] < ddim[1] / 2, "20 steps are better than 50 of DDIM"
    assert second[0] / second[1] > 3, "the error falls faster than 2.5 times as many steps"


def test_of_first_order_it_is_ddim(base: BaseModel) -> None:
    known = OfGaussian(base)
    solver = solver_of(base, replace(PLAIN, steps=7, solver="dpmpp_2m"))
    solver.register_to_config(solver_order=1)
    alphas, last = base.scheduler.alphas_cumprod, base.scheduler.final_alpha_cumprod
    timesteps = solver.timesteps.tolist()
    x = expected = LATENTS[None]
    for t, there in zip(timesteps, [*alphas[timesteps[1:]], last], strict=True):
        x = solver.step(known(x, torch.tensor(t)), t, x, return_dict=False)[0]
        noise, here = known(expected, torch.tensor(t)), alphas[t]
        clean = (expected - (1 - here).sqrt() * noise) / here.sqrt()
        expected = there.sqrt() * clean + (1 - there).sqrt() * noise
    torch.testing.assert_close(x, expected, atol=1e-5, rtol=1e-4)


@given(steps=st.integers(1, 999), end=st.floats(0.0, 0.99))
def test_timesteps_fall_and_get_closer(steps: int, end: float) -> None:
    signal = torch.linspace(0.999, end, 1000)
    first = (steps - 1) * (1000 // steps) + 1
    found = shrinking(signal, first, steps)
    assert len(found) == steps
    assert found[0] == first
    assert found[-1] >= 1
    assert all(later < former for former, later in pairwise(found))


def test_levels_are_those_of_their_equation(base: BaseModel) -> None:
    signal = base.scheduler.alphas_cumprod
    found = shrinking(signal, 951, 20)
    sigma = ((1 - signal) / signal).sqrt()
    most, least = float(sigma[951]) ** (1 / 7), float(sigma[0]) ** (1 / 7)
    wanted = [(most + k / 20 * (least - most)) ** 7 for k in range(20)]
    # Timesteps are whole numbers, which at the clean end are a tenth of a level apart.
    assert [float(sigma[t]) for t in found] == pytest.approx(wanted, rel=0.12)


def test_left_out_steps_are_those_at_the_noisy_end(base: BaseModel) -> None:
    config = SampleConfig(steps=6, guidance_scale=3, solver="dpmpp_2m")
    asked: list[int] = []
    with rows_of(base, asked):
        made = sample(base, LATENTS, PROMPTS[:1], config, skip=4)
    assert len(asked) == 2
    assert torch.isfinite(made).all()


def test_prompts_do_not_see_each_other(base: BaseModel) -> None:
    config = SampleConfig(
        steps=6, guidance_scale=3, solver="dpmpp_2m", guidance_interval=(0.2, 0.7)
    )
    together = sample(base, LATENTS, PROMPTS, replace(config, prompts_per_batch=2))
    apart = sample(base, LATENTS, PROMPTS, config)
    torch.testing.assert_close(together, apart, atol=1e-4, rtol=1e-3)
    assert (apart[0] - apart[1]).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("interval", "guided"),
    [((0.0, 1.0), [2] * 5), ((0.0, 0.8), [2, 2, 2, 2, 1]), ((0.2, 0.5), [1, 2, 2, 1, 1])],
)
def test_only_steps_of_the_interval_are_guided(
    base: BaseModel, interval: tuple[float, float], guided: list[int]
) -> None:
    config = SampleConfig(steps=5, guidance_scale=3, guidance_interval=interval)
    asked: list[int] = []
    with rows_of(base, asked):
        sample(base, LATENTS, PROMPTS[:1], config)
    assert asked == guided
    assert [1 + config.guided(step) for step in range(5)] == guided


def test_without_guidance_an_interval_changes_nothing(base: BaseModel) -> None:
    config = SampleConfig(steps=3, guidance_scale=1)
    plain, inside = (
        sample(base, LATENTS, PROMPTS[:1], one)
        for one in (config, replace(config, guidance_interval=(0.3, 0.6)))
    )
    assert torch.equal(plain, inside)


@contextmanager
def rows_of(base: BaseModel, asked: list[int]) -> Iterator[None]:
    """Note how many clips each call of the UNet is given."""
    hook = base.unet.register_forward_pre_hook(lambda _, given: asked.append(len(given[0])))
    try:
        yield
    finally:
        hook.remove()
