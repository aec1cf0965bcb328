import json
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import save_file

from tav_model.config import InvertConfig, ModelConfig, SampleConfig
from tav_model.errors import BaseModelError, NonFiniteError
from tav_model.image import load_image_base
from tav_model.invert import invert
from tav_model.load import BaseModel
from tav_model.sample import sample
from tav_model.text import encode_prompts

LATENTS = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(2))
PROMPTS = ["a red fish", "a blue car"]


@pytest.mark.parametrize("frames_per_batch", [1, 2, 8])
@pytest.mark.parametrize("folder", ["base_folder", "velocity_folder"])
@torch.no_grad()
def test_each_frame_goes_through_the_stock_unet(
    folder: str, frames_per_batch: int, request: pytest.FixtureRequest
) -> None:
    place: Path = request.getfixturevalue(folder)
    base = load_image_base(ModelConfig(base=str(place)), frames_per_batch=frames_per_batch)
    stock = UNet2DConditionModel.from_pretrained(place / "unet")
    text = encode_prompts(base, PROMPTS)
    x = torch.stack([LATENTS, -LATENTS])
    out = base.unet(x, torch.tensor(401), text)
    for clip in range(2):
        for frame in range(3):
            expected = stock(x[clip, :, frame][None], 401, text[clip][None]).sample[0]
            torch.testing.assert_close(out[clip, :, frame], expected, atol=1e-5, rtol=1e-4)


def test_nothing_is_tuned_and_all_is_in_one_dtype(base_folder: Path) -> None:
    base = load_image_base(ModelConfig(base=str(base_folder), dtype="bf16"), frames_per_batch=8)
    assert base.initial == {}
    assert {p.dtype for p in base.unet.parameters()} == {torch.bfloat16}
    assert not any(p.requires_grad for p in base.unet.parameters())
    assert base.unet(LATENTS[None], 1, encode_prompts(base, [""])).dtype == torch.float32


def test_an_inflated_unet_is_refused(base: BaseModel, base_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(base_folder, tmp_path / "base"))
    config = json.loads((folder / "unet" / "config.json").read_text())
    text = json.dumps({**config, "_class_name": "UNet3DConditionModel"}).replace("2D", "3D")
    (folder / "unet" / "config.json").write_text(text)
    state = {n: t.clone().contiguous() for n, t in base.unet.state_dict().items()}
    save_file(state, folder / "unet" / "diffusion_pytorch_model.safetensors")
    with pytest.raises(BaseModelError, match=r"inflated to video .*attn_temp.* model\.base"):
        load_image_base(ModelConfig(base=str(folder)), frames_per_batch=8)


def test_an_unknown_attention_backend_is_refused(base_folder: Path) -> None:
    config = ModelConfig(base=str(base_folder), attention_backend="flush")
    with pytest.raises(ValueError, match="attention_backend='flush' is unknown"):
        load_image_base(config, frames_per_batch=8)


def test_weights_of_another_unet_are_refused(base_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(base_folder, tmp_path / "base"))
    path = folder / "unet" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"layers_per_block": 2}))
    with pytest.raises(BaseModelError, match=r"do not fit its config\.json"):
        load_image_base(ModelConfig(base=str(folder)), frames_per_batch=8)


def test_pickled_weights_are_refused(base_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(base_folder, tmp_path / "base"))
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(BaseModelError, match="pickles"):
        load_image_base(ModelConfig(base=str(folder)), frames_per_batch=8)


def test_the_remedy_against_nan_is_none_of_tuning(base_folder: Path) -> None:
    base = load_image_base(ModelConfig(base=str(base_folder)), frames_per_batch=8)
    torch.nn.init.constant_(base.unet.conv_out.bias, float("nan"))
    with pytest.raises(NonFiniteError, match=r"(?!.*tune)inversion gave NaN .* damaged"):
        invert(base, LATENTS, InvertConfig(steps=2))
    with pytest.raises(NonFiniteError, match=r"(?!.*tune)sampling gave NaN .* guidance_scale"):
        sample(base, LATENTS, PROMPTS[:1], SampleConfig(steps=2))


def test_sampling_may_leave_out_its_noisy_steps(base_folder: Path) -> None:
    base = load_image_base(ModelConfig(base=str(base_folder)), frames_per_batch=8)
    config = SampleConfig(steps=4, guidance_scale=3)
    calls: list[tuple[int, int]] = []
    out = sample(base, LATENTS, PROMPTS, config, skip=3, on_step=lambda i, n: calls.append((i, n)))
    assert calls == [(1, 2), (2, 2)]
    with torch.no_grad():
        low, high = (
            base.unet(LATENTS[None], 1, encode_prompts(base, [text])) for text in ("", PROMPTS[1])
        )
    prediction = low + 3 * (high - low)
    expected = base.scheduler.step(prediction, 1, LATENTS[None], return_dict=False)[0]
    torch.testing.assert_close(out[1:], expected, atol=1e-4, rtol=1e-4)


def test_inversion_tells_the_latents_of_each_timestep(base_folder: Path) -> None:
    base = load_image_base(ModelConfig(base=str(base_folder)), frames_per_batch=8)
    told: dict[int, torch.Tensor] = {}
    steps = invert(
        base, LATENTS, InvertConfig(steps=4), all_steps=True, on_latents=told.__setitem__
    )
    assert list(told) == [1, 251, 501, 751]
    assert torch.equal(torch.stack(list(told.values())), steps[1:])
    other = invert(base, LATENTS, InvertConfig(steps=4), prompt="a red fish")
    assert not torch.allclose(other, steps[-1], atol=1e-3)
