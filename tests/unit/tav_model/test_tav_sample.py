import json
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from tav_model.config import InvertConfig, ModelConfig, SampleConfig
from tav_model.errors import NonFiniteError, PromptError
from tav_model.invert import inverse_scheduler, invert
from tav_model.load import BaseModel, load_base
from tav_model.sample import denoise, sample
from tav_model.text import encode_prompts

LATENTS = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(2))
PROMPTS = ["a red fish", "a blue car", "a cartoon"]


def test_sampling_undoes_inversion(base_folder: Path) -> None:
    base = load_base(ModelConfig(base=str(base_folder)))
    # Random weights make a jagged field, in which no discretised way leads back; a constant
    # prediction makes one in which the two ways are each other's inverse.
    torch.nn.init.zeros_(base.unet.conv_out.weight)
    calls: list[tuple[int, int]] = []
    steps = invert(
        base,
        LATENTS,
        InvertConfig(steps=20),
        all_steps=True,
        on_step=lambda i, n: calls.append((i, n)),
    )
    assert steps.shape == (21, *LATENTS.shape)
    assert calls == [(i, 20) for i in range(1, 21)]
    assert torch.equal(steps[0], LATENTS)
    with torch.no_grad():
        text = encode_prompts(base, [""])
        back = denoise(
            base, steps[-1:], torch.cat([text, text]), SampleConfig(steps=20, guidance_scale=1)
        )
    moved = (steps[-1] - LATENTS).norm()
    assert (back[0] - LATENTS).norm() < 1e-4 * moved


@pytest.mark.parametrize("one", [True, False, None])
def test_inversion_starts_and_sampling_ends_at_the_bases_own_clean_end(
    base_folder: Path,
    tmp_path: Path,
    one: bool | None,  # noqa: FBT001
) -> None:
    folder = Path(shutil.copytree(base_folder, tmp_path / "base"))
    path = folder / "scheduler" / "scheduler_config.json"
    config = json.loads(path.read_text()) | {"set_alpha_to_one": one}
    path.write_text(json.dumps({k: v for k, v in config.items() if v is not None}))
    base = load_base(ModelConfig(base=str(folder)))
    torch.nn.init.zeros_(base.unet.conv_out.weight)
    noise = base.unet.conv_out.bias.detach().view(4, 1, 1, 1)
    alphas = base.scheduler.alphas_cumprod
    # The official code's next_step and prev_step: final_alpha_cumprod below step 0.
    levels = [torch.tensor(1.0) if one else alphas[0], alphas[1], alphas[501]]
    expected = LATENTS
    for here, there in pairwise(levels):
        clean = (expected - (1 - here).sqrt() * noise) / here.sqrt()
        expected = there.sqrt() * clean + (1 - there).sqrt() * noise
    inverted = invert(base, LATENTS, InvertConfig(steps=2))
    torch.testing.assert_close(inverted, expected)
    back = sample(base, inverted, PROMPTS[:1], SampleConfig(steps=2, guidance_scale=1))
    torch.testing.assert_close(back[0], LATENTS, atol=1e-5, rtol=1e-4)


def test_inversion_converts_velocities(velocity_folder: Path) -> None:
    base = load_base(ModelConfig(base=str(velocity_folder)))
    torch.nn.init.zeros_(base.unet.conv_out.weight)
    velocity = base.unet.conv_out.bias.detach().view(4, 1, 1, 1)
    alphas = base.scheduler.alphas_cumprod
    levels = [base.scheduler.final_alpha_cumprod, alphas[1], alphas[251], alphas[501], alphas[751]]
    expected = LATENTS
    for here, there in pairwise(levels):
        noise = here.sqrt() * velocity + (1 - here).sqrt() * expected
        clean = here.sqrt() * expected - (1 - here).sqrt() * velocity
        expected = there.sqrt() * clean + (1 - there).sqrt() * noise
    torch.testing.assert_close(invert(base, LATENTS, InvertConfig(steps=4)), expected)


def test_prompts_together_as_alone(base: BaseModel) -> None:
    config = SampleConfig(steps=3, guidance_scale=3)
    calls: list[tuple[int, int]] = []
    together = sample(
        base,
        LATENTS,
        PROMPTS,
        SampleConfig(steps=3, guidance_scale=3, prompts_per_batch=2),
        on_step=lambda i, n: calls.append((i, n)),
    )
    assert calls == [(i, 6) for i in range(1, 7)]
    assert together.shape == (3, *LATENTS.shape)
    for i, prompt in enumerate(PROMPTS):
        alone = sample(base, LATENTS, [prompt], config)
        torch.testing.assert_close(together[i : i + 1], alone, atol=1e-4, rtol=1e-3)
    assert (together[0] - together[1]).abs().max() > 1e-3


def test_negative_prompt_and_guidance_matter(base: BaseModel) -> None:
    plain = sample(base, LATENTS, PROMPTS[:1], SampleConfig(steps=2))
    for config in (
        SampleConfig(steps=2, negative_prompt="a blue car"),
        SampleConfig(steps=2, guidance_scale=1),
    ):
        assert (sample(base, LATENTS, PROMPTS[:1], config) - plain).abs().max() > 1e-3


def test_start_from_noise(base: BaseModel) -> None:
    config = SampleConfig(steps=2, guidance_scale=1, start="noise")
    with pytest.raises(ValueError, match="seeded CPU generator"):
        sample(base, LATENTS, PROMPTS, config)
    seeds = [torch.Generator().manual_seed(s) for s in (5, 6)]
    with pytest.raises(ValueError, match="2 generators for 3 prompts"):
        sample(base, LATENTS, PROMPTS, config, generator=seeds)
    pair = sample(base, LATENTS, PROMPTS[:2], config, generator=seeds)
    alone = sample(
        base,
        torch.zeros(LATENTS.shape),
        PROMPTS[1:2],
        config,
        generator=torch.Generator().manual_seed(6),
    )
    torch.testing.assert_close(pair[1:], alone, atol=1e-5, rtol=1e-4)


def test_bad_input(base: BaseModel) -> None:
    with pytest.raises(ValueError, match="at least one"):
        sample(base, LATENTS, [], SampleConfig())
    with pytest.raises(PromptError, match="empty"):
        sample(base, LATENTS, ["fish", ""], SampleConfig())
    broken = torch.full_like(LATENTS, float("inf"))
    with pytest.raises(NonFiniteError, match=r"inversion .*float32: lower tune.learning_rate"):
        invert(base, broken, InvertConfig(steps=1))
    with pytest.raises(NonFiniteError, match=r"sampling .*float32: lower tune.learning_rate"):
        sample(base, broken, ["fish"], SampleConfig(steps=1))


def test_inverse_schedule_is_the_models_own(base: BaseModel) -> None:
    inverse = inverse_scheduler(base)
    assert torch.equal(inverse.alphas_cumprod, base.scheduler.alphas_cumprod)
    assert inverse.initial_alpha_cumprod == base.scheduler.final_alpha_cumprod
