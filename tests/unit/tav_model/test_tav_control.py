"""Controls agree with diffusers' own pipelines, and do nothing where they are nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tav_model.config import ControlConfig, ModelConfig, SampleConfig
from tav_model.control import Net, Steering, load_net
from tav_model.errors import BaseModelError
from tav_model.image import load_image_base
from tav_model.load import BaseModel, load_base
from tav_model.sample import sample
from tests.random_controls import build_adapter, build_controlnet

PROMPT = "a red fish"
SAMPLE = SampleConfig(steps=4, guidance_scale=5.0)


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory, base_folder: Path) -> dict[str, Path]:
    """Nets for the base, by name: two ControlNets, and T2I-Adapters of three and of one channel."""
    folder = tmp_path_factory.mktemp("controls")
    return {
        "one": build_controlnet(folder / "one", base_folder, seed=1),
        "other": build_controlnet(folder / "other", base_folder, seed=2),
        "adapter": build_adapter(folder / "adapter", base_folder, seed=3),
        "gray": build_adapter(folder / "gray", base_folder, seed=4, in_channels=1),
        "nothing": build_controlnet(folder / "nothing", base_folder, seed=1, zero=True),
        "no adapter": build_adapter(folder / "no adapter", base_folder, seed=3, zero=True),
    }


def control(nets: dict[str, Path], name: str, **changes: Any) -> ControlConfig:
    kind: Any = "t2i_adapter" if name in ("adapter", "gray", "no adapter") else "controlnet"
    return ControlConfig(kind=kind, model=str(nets[name]), map="files", **changes)


def maps(frames: int, seed: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(frames, 3, 64, 64, generator=generator)


def noise(frames: int) -> Tensor:
    return torch.randn(4, frames, 8, 8, generator=torch.Generator().manual_seed(6))


def steered(
    base: BaseModel, start: Tensor, controls: Sequence[ControlConfig], config: SampleConfig = SAMPLE
) -> Tensor:
    """An edit's latents, (C, F, H, W)."""
    loaded = [load_net(one, base) for one in controls]
    shown = [maps(start.shape[1], seed=5 + k) for k in range(len(loaded))]
    steering = Steering(loaded, shown) if loaded else None
    return sample(base, start, [PROMPT], config, steering=steering)[0]


@pytest.fixture(scope="module")
def image(base_folder: Path) -> BaseModel:
    return load_image_base(ModelConfig(base=str(base_folder)), frames_per_batch=2)


@pytest.fixture(scope="module")
def still(base_folder: Path) -> BaseModel:
    """The inflated model whose attentions along time add nothing, not even their bias."""
    base = load_base(ModelConfig(base=str(base_folder)))
    for name, parameter in base.unet.named_parameters():
        if name.endswith("attn_temp.to_out.0.bias"):
            parameter.data.zero_()
    return base


def official(base: Path, nets: Sequence[Path], config: Sequence[ControlConfig]) -> list[Tensor]:
    """The latents after each step of diffusers' own pipeline, (C, H, W) each."""
    from diffusers import (
        ControlNetModel,
        DDIMScheduler,
        StableDiffusionAdapterPipeline,
        StableDiffusionControlNetPipeline,
        T2IAdapter,
    )

    kwargs: dict[str, Any] = {"safety_checker": None, "feature_extractor": None}
    pictures: Any = [maps(1, seed=5 + k) for k in range(len(nets))]
    if config[0].kind == "controlnet":
        models = [ControlNetModel.from_pretrained(net) for net in nets]
        pipe = StableDiffusionControlNetPipeline.from_pretrained(base, controlnet=models, **kwargs)
        call = {
            "image": pictures,
            "controlnet_conditioning_scale": [one.weight for one in config],
            "control_guidance_start": [one.start for one in config],
            "control_guidance_end": [one.end for one in config],
        }
    else:
        (net,) = nets
        model = T2IAdapter.from_pretrained(net)
        pipe = StableDiffusionAdapterPipeline.from_pretrained(base, adapter=model, **kwargs)
        shown = pictures[0]
        if model.config.in_channels == 1:
            shown = shown.mean(dim=1, keepdim=True)
        call = {"image": shown, "adapter_conditioning_scale": config[0].weight}
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    steps: list[Tensor] = []

    def keep(_pipe: Any, _step: int, _timestep: Any, given: dict[str, Any]) -> dict[str, Any]:
        steps.append(given["latents"][0].clone())
        return given

    take: dict[str, Any] = {"callback_on_step_end": keep}
    if config[0].kind == "t2i_adapter":
        take = {"callback": lambda _step, _timestep, x: steps.append(x[0].clone())}
    pipe(
        PROMPT,
        height=64,
        width=64,
        num_inference_steps=SAMPLE.steps,
        guidance_scale=SAMPLE.guidance_scale,
        latents=noise(1).transpose(0, 1),
        output_type="latent",
        **call,
        **take,
    )
    return steps


CASES = {
    "one ControlNet": (["one"], {}),
    "two ControlNets": (["one", "other"], {}),
    "weaker, and not at every step": (["one"], {"weight": 0.6, "start": 0.25, "end": 0.75}),
    "T2I-Adapter": (["adapter"], {}),
    "weaker T2I-Adapter of one channel": (["gray"], {"weight": 0.4}),
}


@pytest.mark.parametrize("model", ["image", "still"])
@pytest.mark.parametrize("case", CASES)
def test_a_frame_alone_is_what_diffusers_pipelines_make(
    case: str,
    model: str,
    base_folder: Path,
    nets: dict[str, Path],
    request: pytest.FixtureRequest,
) -> None:
    names, changes = CASES[case]
    controls = [control(nets, name, **changes) for name in names]
    base: BaseModel = request.getfixturevalue(model)
    expected = official(base_folder, [nets[name] for name in names], controls)
    from tav_model.sample import denoise
    from tav_model.text import encode_prompts

    steering = Steering(
        [load_net(one, base) for one in controls],
        [maps(1, seed=5 + k) for k in range(len(controls))],
    )
    found: list[Tensor] = []
    denoise(
        base,
        noise(1)[None],
        encode_prompts(base, ["", PROMPT]),
        SAMPLE,
        on_latents=lambda x: found.append(x[0, :, 0].clone()),
        steering=steering,
    )
    assert len(found) == len(expected) == SAMPLE.steps
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()
    plain = steered(base, noise(1), [])
    assert (plain[:, 0] - expected[-1]).abs().max() > 1e-3, "the control does nothing"


@pytest.mark.parametrize("names", [["nothing"], ["no adapter"], ["nothing", "no adapter"]])
def test_a_control_of_zeros_is_none_to_the_bit(
    base: BaseModel, nets: dict[str, Path], names: list[str]
) -> None:
    with_it = steered(base, noise(3), [control(nets, name) for name in names])
    assert torch.equal(with_it, steered(base, noise(3), []))


@pytest.mark.parametrize("name", ["one", "adapter"])
def test_weight_zero_is_none_to_the_bit(base: BaseModel, nets: dict[str, Path], name: str) -> None:
    with_it = steered(base, noise(3), [control(nets, name, weight=0.0)])
    assert torch.equal(with_it, steered(base, noise(3), []))


def test_each_frame_is_steered_by_its_own_map(image: BaseModel, nets: dict[str, Path]) -> None:
    """Three frames in batches of two are what each is alone."""
    controls = [control(nets, "one"), control(nets, "adapter")]
    loaded = [load_net(one, image) for one in controls]
    shown = [maps(3, seed=5), maps(3, seed=6)]
    start = noise(3)

    def run(frames: slice) -> Tensor:
        parts = [one[frames] for one in shown]
        found = sample(image, start[:, frames], [PROMPT], SAMPLE, steering=Steering(loaded, parts))
        return found[0]

    together = run(slice(0, 3))
    for f in range(3):
        assert torch.allclose(together[:, f : f + 1], run(slice(f, f + 1)), atol=1e-5)
    assert (together[:, 0] - together[:, 1]).abs().max() > 1e-3


def test_edits_in_one_batch_are_steered_alike(base: BaseModel, nets: dict[str, Path]) -> None:
    controls = [control(nets, "one"), control(nets, "adapter")]
    steering = Steering([load_net(one, base) for one in controls], [maps(2), maps(2, seed=8)])
    prompts = [PROMPT, "a blue star"]
    both = sample(base, noise(2), prompts, replace(SAMPLE, prompts_per_batch=2), steering=steering)
    each = sample(base, noise(2), prompts, SAMPLE, steering=steering)
    assert torch.allclose(both, each, atol=1e-5)


def test_a_net_of_another_base_or_kind_is_refused(
    base: BaseModel, nets: dict[str, Path], tmp_path: Path, base_folder: Path
) -> None:
    with pytest.raises(BaseModelError, match="kind=t2i_adapter needs a T2IAdapter"):
        load_net(replace(control(nets, "one"), kind="t2i_adapter"), base)
    wide = build_controlnet(tmp_path / "wide", base_folder, seed=1, cross_attention_dim=48)
    with pytest.raises(BaseModelError, match=r"cross_attention_dim 48, but the base 32"):
        load_net(ControlConfig(kind="controlnet", model=str(wide), map="files"), base)
    fine = build_adapter(tmp_path / "fine", base_folder, seed=1, downscale_factor=4)
    with pytest.raises(BaseModelError, match=r"factor of pixels to latents 4, but the base 8"):
        load_net(ControlConfig(kind="t2i_adapter", model=str(fine), map="files"), base)
    pooled = build_controlnet(tmp_path / "p", base_folder, seed=1, global_pool_conditions=True)
    with pytest.raises(BaseModelError, match="pools its maps over the frame"):
        load_net(ControlConfig(kind="controlnet", model=str(pooled), map="files"), base)
    with pytest.raises(BaseModelError, match="neither an existing folder nor a hub id"):
        load_net(ControlConfig(kind="controlnet", model=str(tmp_path / "no"), map="files"), base)


def test_a_pickled_net_is_refused(base: BaseModel, nets: dict[str, Path], tmp_path: Path) -> None:
    place = tmp_path / "pickled"
    place.mkdir()
    (place / "config.json").write_text((nets["one"] / "config.json").read_text())
    (place / "diffusion_pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(BaseModelError, match="pickles"):
        load_net(ControlConfig(kind="controlnet", model=str(place), map="files"), base)


def test_a_net_is_frozen(base: BaseModel, nets: dict[str, Path]) -> None:
    net: Net = load_net(control(nets, "one"), base)
    assert not any(p.requires_grad for p in net.model.parameters())
    assert not net.model.training


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"weight": -1.0}, "weight=-1.0 is out of range"),
        ({"start": 0.5, "end": 0.5}, "0 <= start < end <= 1"),
        ({"end": 1.5}, "0 <= start < end <= 1"),
        ({"kind": "pose"}, "kind='pose' is out of range"),
    ],
)
def test_settings_out_of_range_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ControlConfig(**{"kind": "controlnet", "model": "m", "map": "canny", **changes})
