"""Tiny models: real classes load them, and equal seeds give equal bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tinyworld.random_weights import MANIFEST, build_all, build_base_model
from tinyworld.vocabulary import WORDS, clip_tokenizer, opt_tokenizer


def _contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_another_process_builds_the_same_bytes_and_touches_nothing_when_run_again(
    tiny_models: Path, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "models"
    command = [sys.executable, "-m", "tinyworld.random_weights", str(out)]
    environment = os.environ | {"PYTHONHASHSEED": "77"}
    subprocess.run(command, check=True, env=environment, capture_output=True)
    assert _contents(out) == _contents(tiny_models)
    assert [path.name for path in out.parent.iterdir()] == ["models"]
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    subprocess.run(command, check=True, env=environment, capture_output=True)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_only_safetensors_hold_weights_and_the_manifest_names_every_file(tiny_models: Path) -> None:
    files = set(_contents(tiny_models)) - {MANIFEST}
    assert {Path(name).suffix for name in files} == {".json", ".safetensors"}
    manifest = json.loads((tiny_models / MANIFEST).read_text())
    assert set(manifest["files"]) == files
    assert manifest["seed"] == 0


def test_the_global_generator_is_left_alone(tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    build_base_model(tmp_path)
    assert torch.equal(torch.rand(1), expected)


def test_seed_and_prediction_type_count(tiny_models: Path, tmp_path: Path) -> None:
    build_base_model(
        tmp_path,
        seed=9,
        prediction_type="v_prediction",
        unet_config={"use_linear_projection": True, "block_out_channels": (8, 16, 16, 16)},
    )
    scheduler = json.loads((tmp_path / "scheduler/scheduler_config.json").read_text())
    assert scheduler["prediction_type"] == "v_prediction"
    unet = json.loads((tmp_path / "unet/config.json").read_text())
    assert unet["use_linear_projection"] is True
    assert unet["block_out_channels"] == [8, 16, 16, 16]
    name = "vae/diffusion_pytorch_model.safetensors"
    here, there = load_file(tmp_path / name), load_file(tiny_models / "base" / name)
    assert not torch.equal(here["encoder.conv_in.weight"], there["encoder.conv_in.weight"])


def test_damage_is_repaired_and_a_foreign_folder_refused(tmp_path: Path) -> None:
    out = tmp_path / "models"
    config = out / "clip" / "open_clip_config.json"
    build_all(out, seed=3)
    sound = config.read_bytes()
    config.write_text("{}")
    build_all(out, seed=3)
    assert config.read_bytes() == sound
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("dear")
    with pytest.raises(FileExistsError, match="new or empty folder"):
        build_all(foreign)
    assert (foreign / "thesis.txt").read_text() == "dear"


def test_diffusers_runs_the_base_model_as_stable_diffusion(tiny_models: Path) -> None:
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(tiny_models / "base")
    pipeline.set_progress_bar_config(disable=True)
    assert pipeline.vae_scale_factor == 8
    assert pipeline.vae.config.latent_channels == 4
    assert pipeline.tokenizer.model_max_length == 77
    blocks = ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"]
    assert list(pipeline.unet.config.down_block_types) == blocks
    schedule = pipeline.scheduler.config
    assert (schedule.beta_start, schedule.beta_end) == (0.00085, 0.012)
    assert (schedule.beta_schedule, schedule.steps_offset) == ("scaled_linear", 1)
    assert not schedule.clip_sample
    assert not schedule.set_alpha_to_one

    def draw(prompt: str) -> torch.Tensor:
        result = pipeline(
            prompt,
            num_inference_steps=2,
            height=64,
            width=64,
            output_type="pt",
            generator=torch.Generator().manual_seed(0),
        )
        image: torch.Tensor = result.images[0]
        return image

    fish, car = draw("a red fish"), draw("a yellow car")
    assert fish.shape == (3, 64, 64)
    assert fish.std() > 0.02
    assert (fish - car).abs().mean() > 1e-3, "the prompt makes no difference"


def test_open_clip_loads_the_scorer_and_tells_images_and_texts_apart(tiny_models: Path) -> None:
    import open_clip
    from PIL import Image

    name = f"local-dir:{tiny_models / 'clip'}"
    model, _, preprocess = open_clip.create_model_and_transforms(name)
    model.eval()
    tokens = open_clip.get_tokenizer(name)(["a red fish", "a yellow car"])
    pixels = torch.stack(
        [preprocess(Image.new("RGB", (48, 64), color)) for color in ("red", "blue")]
    )
    with torch.no_grad():
        images = model.encode_image(pixels, normalize=True)
        texts = model.encode_text(tokens, normalize=True)
    assert tokens.shape == (2, 77)
    assert images.shape == texts.shape == (2, 32)
    assert images[0] @ images[1] < 0.9999
    assert texts[0] @ texts[1] < 0.99


@pytest.mark.parametrize("text", ["a red fish, over the sea!", "żółw 日本 🐢", "tab\tand\x00zero"])
def test_both_tokenizers_cover_any_text(text: str) -> None:
    opt = opt_tokenizer()
    assert opt.decode(opt(text, add_special_tokens=False).input_ids) == text
    ids = clip_tokenizer()(text, add_special_tokens=False).input_ids
    assert clip_tokenizer().unk_token_id not in ids


def test_common_words_are_one_token() -> None:
    assert len(clip_tokenizer()(" ".join(WORDS), add_special_tokens=False).input_ids) == len(WORDS)
    spaced = "".join(f" {word}" for word in WORDS)
    assert len(opt_tokenizer()(spaced, add_special_tokens=False).input_ids) == len(WORDS)
