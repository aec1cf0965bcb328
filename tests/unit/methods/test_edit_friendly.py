import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from methods.edit_friendly import EditFriendly, EditFriendlyConfig
from methods.method import ADAPTER, ClipSize, Frames
from tav_model.config import InvertConfig, SampleConfig
from tav_model.invert import invert
from tav_model.load import BaseModel
from tav_model.load_parts import load_scheduler
from tav_model.sample import sample
from tav_model.solvers import sampling_timesteps
from tav_model.vae import mean_latents
from tests.editing import clip, desk, edited, loaded, made, prepare
from tinyworld.clips import CLIPS
from tinyworld.draw import render
from tinyworld.shipped import shipped_model

PROMPT = "a blue car"
SOURCE = "a red fish"
STEPS = {"steps": 6, "skip": 0.34}


@pytest.fixture(scope="module")
def bases(base_folder: Path) -> dict[str, BaseModel]:
    """Both models, loaded once for the settings of many tests."""
    return {
        on: loaded(EditFriendly, base_folder, model=on, frames_per_batch=3)._base
        for on in ("tuned", "image")
    }


def on_base(base: BaseModel, **own: Any) -> EditFriendly:
    on = "tuned" if base.initial else "image"
    method = made(EditFriendly, Path(base.config.base), model=on, **own)
    method._base = base
    return method


@pytest.fixture(params=["tuned", "image"])
def method(bases: dict[str, BaseModel], request: pytest.FixtureRequest) -> EditFriendly:
    return on_base(bases[request.param], **STEPS)


def clean(method: EditFriendly, frames: Frames) -> Tensor:
    return mean_latents(method.moments(clip(frames)))


def way_back(method: EditFriendly, frames: Frames, prompt: str = SOURCE) -> float:
    """How far the source's prompt and guidance lead from the source's latents."""
    latents = clean(method, frames)
    noise, _ = method.find_noise(latents, prompt, 7)
    return (method.sample(noise, prompt) - latents).abs().max().item()


@pytest.mark.parametrize("on", ["tuned", "image"])
@pytest.mark.parametrize(
    "own",
    [
        {"steps": 5, "skip": 0},
        {"steps": 7, "skip": 0, "eta": 0.5},
        {"steps": 25, "skip": 0.36},
        {"steps": 9, "skip": 0.2, "eta": 0.0},
        {"steps": 1, "skip": 0},
        {"steps": 6, "skip": 0.5, "source_guidance_scale": 1, "guidance_scale": 1},
        {"steps": 6, "negative_prompt": "a grey house"},
    ],
    ids=str,
)
def test_the_sources_prompt_leads_back_to_the_source(
    bases: dict[str, BaseModel], frames: Frames, on: str, own: dict[str, Any]
) -> None:
    settings = {"source_guidance_scale": 3.5, "guidance_scale": 3.5, **own}
    assert way_back(on_base(bases[on], **settings), frames) <= 1e-4


ZERO = {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}


@pytest.mark.parametrize(
    "schedule",
    [
        {"timestep_spacing": "trailing"},
        {"set_alpha_to_one": True},
        {"num_train_timesteps": 137, "beta_schedule": "squaredcos_cap_v2"},
        {"timestep_spacing": "trailing", **ZERO},
    ],
    ids=str,
)
def test_odd_schedules_lead_back_too(
    bases: dict[str, BaseModel],
    base_folder: Path,
    tmp_path: Path,
    frames: Frames,
    schedule: dict[str, Any],
) -> None:
    path = tmp_path / "scheduler" / "scheduler_config.json"
    path.parent.mkdir()
    config = json.loads((base_folder / "scheduler" / path.name).read_text())
    path.write_text(json.dumps(config | schedule))
    scheduler = load_scheduler(tmp_path)
    assert schedule.items() <= scheduler.config.items()
    base = dataclasses.replace(bases["tuned"], scheduler=scheduler)
    assert way_back(on_base(base, steps=7, skip=0, guidance_scale=3.5), frames) <= 1e-4


@pytest.mark.parametrize("on", ["tuned", "image"])
def test_a_trained_model_leads_back_too(on: str) -> None:
    scene = CLIPS["fish"]
    settings: dict[str, Any] = {
        "steps": 25,
        "skip": 0.2,
        "source_guidance_scale": 2.5,
        "guidance_scale": 2.5,
    }
    method = loaded(EditFriendly, shipped_model("base"), model=on, **settings)
    assert way_back(method, render(scene).frames[:4], scene.caption()) <= 1e-4


def test_half_precision_leads_back_too(base_folder: Path, frames: Frames) -> None:
    settings = made(EditFriendly, base_folder, steps=7, guidance_scale=3.5).settings
    model = dataclasses.replace(settings.model, dtype="bf16")
    method = EditFriendly(dataclasses.replace(settings, model=model))
    method.load()
    assert way_back(method, frames) <= 1e-4


def _shifted(noise: Tensor) -> Tensor:
    return torch.cat([noise[:1], noise[1:].roll(1, 0)])


@pytest.mark.parametrize(
    "spoilt",
    [_shifted, lambda noise: noise.half().float(), lambda noise: noise * 1.001, torch.zeros_like],
    ids=["a step off", "in half precision", "a thousandth off", "none"],
)
def test_other_noise_leads_elsewhere(
    method: EditFriendly, frames: Frames, spoilt: Callable[[Tensor], Tensor]
) -> None:
    """What the bound of 1e-4 tells: half precision is not enough, nor is the step before."""
    latents = clean(method, frames)
    noise, back = method.find_noise(latents, SOURCE, 7)
    assert (back - latents).abs().max() <= 1e-4
    again = method._walk(noise[0], SOURCE, 3.5, lambda i, _: spoilt(noise)[i + 1])
    assert (again - latents).abs().max() > 1e-4


def test_other_prompts_and_guidance_lead_elsewhere(method: EditFriendly, frames: Frames) -> None:
    latents = clean(method, frames)
    noise, _ = method.find_noise(latents, SOURCE, 7)
    for prompt in (PROMPT, SOURCE):  # the source's, too: its guidance was another
        assert (method.sample(noise, prompt) - latents).abs().max() > 0.01


def test_noise_levels_are_the_schedules_and_draws_independent(method: EditFriendly) -> None:
    latents = torch.full((4, 2, 64, 64), 0.5)
    levels = torch.stack(method._levels(latents, 7))
    timesteps = sampling_timesteps(method._base, 6)[2:]
    assert method._timesteps() == timesteps
    assert torch.equal(levels[-1], latents)
    kept = method._base.scheduler.alphas_cumprod[timesteps].reshape(-1, 1, 1, 1, 1)
    drawn = (levels[:-1] - kept.sqrt() * latents) / (1 - kept).sqrt()
    assert drawn.mean().abs() < 0.05
    assert (drawn.var(unbiased=False) - 1).abs() < 0.05
    flat = drawn[:, :, 0].flatten(1)
    assert torch.corrcoef(flat).fill_diagonal_(0).abs().max() < 0.05
    shared = torch.equal(drawn[:, :, 0], drawn[:, :, 1])
    assert shared == (method.settings.own.model == "image")


def test_what_is_skipped_changes_no_draw(bases: dict[str, BaseModel]) -> None:
    latents = torch.zeros(4, 2, 8, 8)
    whole, part = (
        on_base(bases["tuned"], steps=6, skip=skip)._levels(latents, 7) for skip in (0, 0.5)
    )
    assert len(whole) == 7
    assert all(torch.equal(a, b) for a, b in zip(whole[3:], part, strict=True))


def test_without_noise_of_its_own_it_is_ddim(bases: dict[str, BaseModel], frames: Frames) -> None:
    method = on_base(bases["tuned"], steps=6, skip=0, eta=0, guidance_scale=2)
    start = invert(method._base, clean(method, frames), InvertConfig(steps=6))
    plain = torch.cat([start[None], torch.zeros(6, *start.shape)])
    config = SampleConfig(steps=6, guidance_scale=2)
    (expected,) = sample(method._base, start, [PROMPT], config)
    assert torch.equal(method.sample(plain, PROMPT), expected)


def test_an_edit_from_end_to_end(method: EditFriendly, frames: Frames, tmp_path: Path) -> None:
    source = clip(frames)
    prepared = prepare(method, source, tmp_path)
    kept = load_file(prepared["noise"])["noise"]
    assert kept.shape == (5, 4, 4, 4, 6)
    assert kept.dtype == torch.float32
    size = ClipSize(num_frames=4, width=48, height=32)
    assert method.cost().storage["noise"](size, 8) == kept.numel() * 4
    one, other = (edited(method, source, prompt, prepared) for prompt in ("a fish", "a cartoon"))
    assert one.shape == frames.shape
    assert not np.array_equal(one, other)


def test_facts_of_the_artefact(method: EditFriendly, frames: Frames, tmp_path: Path) -> None:
    (artefact,) = method.prepare(clip(frames), {}, ["noise"], desk(tmp_path))
    error = artefact.facts["reconstruction_error"]
    assert error is not None
    assert error <= 1e-4


def test_no_frame_knows_another_on_the_image_model(
    bases: dict[str, BaseModel], frames: Frames, tmp_path: Path
) -> None:
    method = on_base(bases["image"], **STEPS)
    order = [2, 0, 3, 1]
    out, shuffled = (
        edited(method, source, PROMPT, prepare(method, source, tmp_path / name))
        for name, source in (("a", clip(frames)), ("b", clip(frames[order])))
    )
    assert np.abs(shuffled.astype(int) - out[order]).max() <= 1


def test_it_is_made_with_the_clips_own_adapter(
    base_folder: Path, frames: Frames, tmp_path: Path
) -> None:
    method = loaded(EditFriendly, base_folder, tuned=2, **STEPS)
    source = clip(frames)
    prepared = prepare(method, source, tmp_path)
    assert set(prepared) == {ADAPTER, "noise"}
    tuned = edited(method, source, PROMPT, prepared)
    noise = load_file(prepared["noise"])["noise"]
    with_adapter = method.sample(noise, PROMPT)
    edited(method, source, PROMPT, {"noise": prepared["noise"]})
    assert not torch.equal(method.sample(noise, PROMPT), with_adapter), "the initial weights"
    assert np.array_equal(edited(method, source, PROMPT, prepared), tuned)
    # Another worker, with the adapter from its file, finds the same noise.
    other = loaded(EditFriendly, base_folder, tuned=2, **STEPS)
    again = prepare_noise(other, prepared, frames, tmp_path / "again")
    assert torch.equal(again, noise)


def prepare_noise(method: EditFriendly, prepared: Any, frames: Frames, folder: Path) -> Tensor:
    folder.mkdir()
    (artefact,) = method.prepare(clip(frames), prepared, ["noise"], desk(folder))
    assert artefact.path is not None
    return load_file(artefact.path)["noise"]


def test_what_it_says_of_itself(base_folder: Path) -> None:
    method = made(EditFriendly, base_folder, tuned=3)
    assert (method.settings.own.skipped, method.settings.own.taken) == (36, 64)
    cost = method.cost()
    assert not cost.image
    assert cost.stages[ADAPTER].train == 3
    assert (cost.stages["noise"].guided, cost.stages["noise"].rows) == (2 * 64, 2)
    assert (cost.edit.guided, cost.edit.rows) == (2 * 64, 2)
    assert method.schedule_steps() == {"edit_friendly.steps": 100}
    image = made(EditFriendly, base_folder, model="image", source_guidance_scale=1)
    assert image.cost().image
    assert image.cost().frames_per_batch == 8
    assert image.cost().stages.keys() == {"noise"}
    assert image.cost().stages["noise"].guided == 64


def test_the_noises_key_holds_what_it_depends_on(base_folder: Path) -> None:
    def parts(**own: Any) -> Any:
        return made(EditFriendly, base_folder, **own).stages()[-1].parts

    assert parts() == parts(guidance_scale=3, frames_per_batch=1)
    others: list[dict[str, Any]] = [
        {"steps": 50},
        {"skip": 0.1},
        {"eta": 0.5},
        {"source_guidance_scale": 1.0},
    ]
    others += [{"negative_prompt": "a"}, {"model": "image"}]
    assert all(parts(**other) != parts() for other in others)
    plain: dict[str, Any] = {"source_guidance_scale": 1.0}
    assert parts(**plain) == parts(**plain, negative_prompt="a"), "without guidance nobody reads it"
    assert [stage.kind for stage in made(EditFriendly, base_folder).stages()] == [ADAPTER, "noise"]
    assert [stage.kind for stage in made(EditFriendly, base_folder, model="image").stages()] == [
        "noise"
    ]


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"model": "video"}, r"model='video' .* one of .*Use tuned"),
        ({"steps": 0}, r"steps=0 .* 1 \.\. 1000"),
        ({"skip": 1}, r"skip=1 .* 0 \.\. 1 - 1 / steps = 0\.99\. .* identity"),
        ({"skip": float("nan")}, r"skip=nan "),
        ({"skip": -0.1}, r"skip=-0\.1 "),
        ({"eta": 1.1}, r"eta=1\.1 .* 0 \.\. 1\. The paper uses 1"),
        ({"eta": float("nan")}, r"eta=nan "),
        ({"guidance_scale": 0}, r"guidance_scale=0 .* >= 1"),
        ({"source_guidance_scale": 0.5}, r"^source_guidance_scale=0\.5 .* >= 1"),
        ({"frames_per_batch": 0}, r"frames_per_batch=0 "),
    ],
)
def test_nonsense_is_refused(own: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EditFriendlyConfig(**own)


def test_a_negative_prompt_that_is_too_long_stops_the_run(base_folder: Path) -> None:
    message = r"edit_friendly\.negative_prompt: the prompt has \d+ tokens"
    with pytest.raises(ValueError, match=message):
        loaded(EditFriendly, base_folder, negative_prompt="ugly " * 100)
