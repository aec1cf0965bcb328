import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel

from tav_model.config import ModelConfig
from tav_model.load import BaseModel, load_base, load_unet
from tav_model.load_parts import load_scheduler, load_text_encoder, load_vae
from tav_model.parts import stock_config
from tav_model.unet import tuned_parameters


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_fall_back_from_cuda(base_folder: Path) -> None:
    with pytest.raises(ValueError, match="0 CUDA GPUs"):
        load_base(ModelConfig(base=str(base_folder), device="cuda"))


def test_same_seed_same_weights(base_folder: Path, base: BaseModel) -> None:
    again = load_unet(base_folder).state_dict()
    assert all(torch.equal(t, again[n]) for n, t in base.unet.state_dict().items())
    other = load_unet(base_folder, init_seed=1).state_dict()
    differing = {n for n, t in again.items() if not torch.equal(t, other[n])}
    assert differing
    assert all(".attn_temp." in n and not n.endswith("out.0.weight") for n in differing)


def test_official_3d_layout_loads_as_it_is(
    base: BaseModel, base_folder: Path, tmp_path: Path
) -> None:
    config = json.loads((base_folder / "unet" / "config.json").read_text())
    text = json.dumps({**config, "_class_name": "UNet3DConditionModel"}).replace("2D", "3D")
    (tmp_path / "config.json").write_text(text)
    state = {n: t.clone().contiguous() for n, t in base.unet.state_dict().items()}
    name = next(n for n in state if n.endswith("norm_temp.weight"))
    state[name] += 1
    save_file(state, tmp_path / "diffusion_pytorch_model.safetensors")
    loaded = load_unet(tmp_path).state_dict()
    assert all(torch.equal(t, loaded[n]) for n, t in state.items())


def test_a_vae_with_names_of_older_releases_loads(base_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(base_folder / "vae", tmp_path / "vae")
    path = tmp_path / "vae" / "diffusion_pytorch_model.safetensors"
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    state = {}
    for name, tensor in load_file(path).items():
        for new, was in old.items():
            name = name.replace(f".attentions.0.{new}.", f".attentions.0.{was}.")  # noqa: PLW2901
        state[name] = tensor
    assert any("proj_attn" in name for name in state)
    save_file(state, path)
    loaded = load_vae(tmp_path, torch.float32).state_dict()
    expected = load_vae(base_folder, torch.float32).state_dict()
    assert loaded.keys() == expected.keys()
    assert all(torch.equal(tensor, loaded[name]) for name, tensor in expected.items())


def test_a_text_encoder_loads_as_transformers_loads_it(base_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(base_folder / "text_encoder", tmp_path / "text_encoder")
    path = tmp_path / "text_encoder" / "model.safetensors"
    # As transformers before 4.31 saved it.
    state = {**load_file(path), "text_model.embeddings.position_ids": torch.arange(77)[None]}
    save_file(state, path, metadata={"format": "pt"})
    ours = load_text_encoder(tmp_path, torch.float32)
    theirs = CLIPTextModel.from_pretrained(tmp_path / "text_encoder", use_safetensors=True)
    ids = torch.arange(5)[None]
    assert torch.equal(ours(ids).last_hidden_state, theirs(ids).last_hidden_state)
    assert not any(parameter.requires_grad for parameter in ours.parameters())


def test_wrong_weights_are_named(base_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "unet"
    shutil.copytree(base_folder / "unet", folder)
    save_file({"conv_in.bias": torch.zeros(3)}, folder / "diffusion_pytorch_model.safetensors")
    with pytest.raises(ValueError, match="do not fit"):
        load_unet(tmp_path)
    with pytest.raises(ValueError, match=r"no config\.json"):
        load_unet(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "extra",
    [
        {"down_block_types": ["AttnDownBlock2D"]},
        {"addition_embed_type": "text_time"},
        {"mid_block_type": "UNetMidBlock2D"},
    ],
)
def test_other_families_are_refused(base_folder: Path, extra: dict[str, object]) -> None:
    config = json.loads((base_folder / "unet" / "config.json").read_text())
    with pytest.raises(ValueError, match="inflated"):
        stock_config({**config, **extra})


def test_the_files_own_schedule_is_honoured_but_for_what_the_official_code_forces(
    base_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "scheduler").mkdir()
    with pytest.raises(ValueError, match="Stable Diffusion layout"):
        load_scheduler(tmp_path)
    config = json.loads((base_folder / "scheduler" / "scheduler_config.json").read_text())
    config |= {"_class_name": "PNDMScheduler", "skip_prk_steps": True, "steps_offset": 0}
    config |= {"clip_sample": True, "set_alpha_to_one": True}
    path = tmp_path / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps(config))
    scheduler = load_scheduler(tmp_path)
    assert scheduler.config.steps_offset == 1
    assert not scheduler.config.clip_sample
    assert scheduler.final_alpha_cumprod == 1
    del config["set_alpha_to_one"]
    path.write_text(json.dumps(config))
    scheduler = load_scheduler(tmp_path)
    assert scheduler.final_alpha_cumprod == scheduler.alphas_cumprod[0]


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_low_precision_keeps_fp32_masters(base_folder: Path, dtype: str) -> None:
    unet = load_unet(base_folder, dtype=dtype)  # type: ignore[arg-type]
    kinds = {n: p.dtype for n, p in unet.named_parameters()}
    tuned = tuned_parameters(unet)
    low = {"bf16": torch.bfloat16, "fp16": torch.float16}[dtype]
    assert all(kind == (torch.float32 if n in tuned else low) for n, kind in kinds.items())


@pytest.mark.parametrize("kind", ["eps", "v"])
def test_bf16_stays_near_fp32(base_folder: Path, velocity_folder: Path, kind: str) -> None:
    folder = base_folder if kind == "eps" else velocity_folder
    x, text = torch.randn(1, 4, 3, 8, 8), torch.randn(1, 77, 32)
    with torch.no_grad():
        full, low = (load_unet(folder, dtype=d)(x, 500, text) for d in ("fp32", "bf16"))
    assert low.dtype == torch.float32
    assert (low - full).abs().max() < 0.03 * full.abs().max()
