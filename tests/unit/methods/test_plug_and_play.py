import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file

from methods.method import ClipSize, Frames
from methods.plug_and_play import Layers, PlugAndPlay, PlugAndPlayConfig, layers
from tav_model.config import SampleConfig
from tav_model.image import load_image_base
from tav_model.load_parts import load_scheduler
from tav_model.sample import sample
from tav_model.solvers import sampling_timesteps
from tests.editing import clip, edited, loaded, made, prepare
from tinyworld.shipped import shipped_model

PROMPT = "a blue car"
STEPS = {"inversion_steps": 10, "steps": 5}


@pytest.fixture(scope="module")
def method(base_folder: Path) -> PlugAndPlay:
    return loaded(PlugAndPlay, base_folder, **STEPS, frames_per_batch=3)


def test_without_injection_it_is_guided_sampling(
    base_folder: Path, frames: Frames, tmp_path: Path
) -> None:
    method = loaded(PlugAndPlay, base_folder, **STEPS, feature_injection=0, attention_injection=0)
    inverted = load_file(prepare(method, clip(frames), tmp_path)["inversion"])["latents"]
    own = method.settings.own
    config = SampleConfig(
        steps=5, guidance_scale=own.guidance_scale, negative_prompt=own.negative_prompt
    )
    base = load_image_base(method.settings.model, frames_per_batch=8)
    (plain,) = sample(base, inverted[0], [PROMPT], config)
    assert torch.equal(method.sample(inverted, PROMPT), plain)
    injected = loaded(PlugAndPlay, base_folder, **STEPS)
    assert (injected.sample(inverted, PROMPT) - plain).abs().max() > 0.1


def test_the_steps_that_inject(base_folder: Path) -> None:
    own = PlugAndPlayConfig(feature_injection=0.8, attention_injection=0.58)
    assert sum(own.injects(i)[0] for i in range(50)) == 40
    assert sum(own.injects(i)[1] for i in range(50)) == 28  # 50 * 0.58 is 28.999...
    cost = made(PlugAndPlay, base_folder).cost()
    assert cost.stages["inversion"].inversion == 999
    assert (cost.edit.guided, cost.edit.rows, cost.frames_per_batch) == (3 * 40 + 2 * 10, 3, 8)
    size = ClipSize(num_frames=24, width=512, height=512)
    assert cost.storage["inversion"](size, 8) == 50 * 24 * 4 * 64 * 64 * 4


def test_no_frame_knows_another(method: PlugAndPlay, frames: Frames, tmp_path: Path) -> None:
    order = [2, 0, 3, 1]
    out, shuffled = (
        edited(method, source, PROMPT, prepare(method, source, tmp_path / name))
        for name, source in (("a", clip(frames)), ("b", clip(frames[order])))
    )
    assert out.shape == frames.shape
    assert np.abs(shuffled.astype(int) - out[order]).max() <= 1


def test_a_failed_edit_leaves_nothing_injected(
    method: PlugAndPlay, frames: Frames, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = prepare(method, clip(frames), tmp_path / "before")
    with monkeypatch.context() as patch:
        patch.setattr(type(method._base.unet), "forward", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            edited(method, clip(frames), PROMPT, before)
    after = prepare(method, clip(frames), tmp_path / "after")
    first, second = (load_file(p["inversion"])["latents"] for p in (before, after))
    assert torch.equal(first, second)


def test_it_keeps_the_latents_of_samplings_timesteps_alone(
    method: PlugAndPlay, frames: Frames, tmp_path: Path
) -> None:
    latents = load_file(prepare(method, clip(frames), tmp_path)["inversion"])["latents"]
    assert latents.shape == (5, 4, *frames.shape[:1], *(n // 8 for n in frames.shape[1:3]))
    noisy = [x.var().item() for x in latents]
    assert method._timesteps == sampling_timesteps(method._base, 5) == [801, 601, 401, 201, 1]
    assert len(set(noisy)) == 5


def test_inversion_that_misses_samplings_timesteps_is_refused(base_folder: Path) -> None:
    message = r"plug_and_play\.inversion_steps=60 .* plug_and_play\.steps=50 .* to 50 or 99\."
    with pytest.raises(ValueError, match=message):
        loaded(PlugAndPlay, base_folder, inversion_steps=60)
    # The driver asks with the schedule alone.
    schedule = load_scheduler(base_folder).config
    with pytest.raises(ValueError, match=message):
        made(PlugAndPlay, base_folder, inversion_steps=60).check_schedule(schedule)


def _layers(blocks: tuple[str, ...], per_block: int = 2) -> Layers:
    kinds = {"cross": "CrossAttnUpBlock2D", "plain": "UpBlock2D"}
    downs = {"cross": "CrossAttnDownBlock2D", "plain": "DownBlock2D"}
    config: dict[str, Any] = {
        "up_block_types": tuple(kinds[block] for block in blocks),
        "down_block_types": tuple(downs[block] for block in reversed(blocks)),
        "block_out_channels": (8,) * len(blocks),
        "norm_num_groups": 8,
        "layers_per_block": per_block,
        "cross_attention_dim": 8,
        "attention_head_dim": 2,
    }
    with torch.device("meta"):
        return layers(UNet2DConditionModel(**config))


def _attention(*places: tuple[int, int]) -> tuple[str, ...]:
    return tuple(f"up_blocks.{i}.attentions.{j}.transformer_blocks.0.attn1" for i, j in places)


def test_stable_diffusions_layers_are_the_papers() -> None:
    # Features of decoder layer 4, attention of layers 4 to 11.
    assert _layers(("plain", "cross", "cross", "cross")) == Layers(
        features="up_blocks.1.resnets.1.conv2",
        attention=_attention(
            *((1, j) for j in (1, 2)), *((i, j) for i in (2, 3) for j in range(3))
        ),
    )


@pytest.mark.parametrize(
    ("blocks", "per_block", "features", "attention"),
    [
        (("plain", "cross", "cross", "cross"), 1, (1, 1), [(1, 1), (2, 0), (2, 1), (3, 0), (3, 1)]),
        (("plain", "cross", "cross"), 2, (1, 0), [(i, j) for i in (1, 2) for j in range(3)]),
        (("plain", "cross", "cross"), 1, (1, 0), [(1, 0), (1, 1), (2, 0), (2, 1)]),
        (("cross", "cross"), 2, (0, 2), [(0, 2), (1, 0), (1, 1), (1, 2)]),
        (("cross",), 1, (0, 1), [(0, 1)]),
    ],
)
def test_other_layouts_are_injected_at_the_same_depth(
    blocks: tuple[str, ...],
    per_block: int,
    features: tuple[int, int],
    attention: list[tuple[int, int]],
) -> None:
    assert _layers(blocks, per_block) == Layers(
        features="up_blocks.{}.resnets.{}.conv2".format(*features),
        attention=_attention(*attention),
    )


def test_a_decoder_without_attention_there_is_refused() -> None:
    with pytest.raises(ValueError, match=r"from layer 3 of 9 on.*'UpBlock2D', 'UpBlock2D'\]"):
        _layers(("cross", "plain", "plain"))


def test_tinyworlds_own_base_works(frames: Frames, tmp_path: Path) -> None:
    method = loaded(PlugAndPlay, shipped_model("base"), **STEPS)
    source = clip(frames[:2])
    prepared = prepare(method, source, tmp_path)
    assert edited(method, source, PROMPT, prepared).shape == frames[:2].shape


def test_half_precision_keeps_half_the_bytes(
    base_folder: Path, frames: Frames, tmp_path: Path
) -> None:
    settings = made(PlugAndPlay, base_folder, **STEPS).settings
    model = dataclasses.replace(settings.model, dtype="bf16")
    method = PlugAndPlay(dataclasses.replace(settings, model=model))
    method.load()
    source = clip(frames)
    prepared = prepare(method, source, tmp_path)
    latents = load_file(prepared["inversion"])["latents"]
    assert latents.dtype == torch.float16
    count, height, width, _ = frames.shape
    size = ClipSize(num_frames=count, width=width, height=height)
    stored = method.cost().storage["inversion"](size, 8)
    assert stored == latents.numel() * latents.element_size()
    assert edited(method, source, PROMPT, prepared).shape == frames.shape


def test_the_inversions_key_holds_what_it_depends_on(base_folder: Path) -> None:
    first, *others = (
        made(PlugAndPlay, base_folder, **own).stages()[0].parts
        for own in (
            {},
            {"guidance_scale": 3, "feature_injection": 0, "frames_per_batch": 1},
            {"steps": 20},
            {"inversion_steps": 500},
            {"inversion_prompt": "a fish"},
        )
    )
    assert [other == first for other in others] == [True, False, False, False]


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"feature_injection": 1.1}, r"feature_injection=1.1 .* 0 \.\. 1\. Use 0 for none"),
        ({"attention_injection": float("nan")}, r"attention_injection=nan "),
        ({"inversion_steps": 40}, r"inversion_steps=40 .* >= steps=50\. The official"),
        ({"inversion_steps": 1001}, r"inversion_steps=1001 .* 1 \.\. 1000"),
        ({"guidance_scale": 0}, r"guidance_scale=0 "),
        ({"frames_per_batch": 0}, r"frames_per_batch=0 "),
    ],
)
def test_nonsense_is_refused(own: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PlugAndPlayConfig(**own)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["negative_prompt", "inversion_prompt"])
def test_texts_that_are_too_long_stop_the_run(base_folder: Path, name: str) -> None:
    text: dict[str, Any] = {name: "ugly " * 100}
    with pytest.raises(ValueError, match=rf"plug_and_play\.{name}: the prompt has \d+ tokens"):
        loaded(PlugAndPlay, base_folder, **text)
