"""The pipelines of diffusers as methods, on tiny models of random weights."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from methods.method import ClipSize, Edit, Frames, Masks, Method, Settings, without_places
from methods.registry import find_method
from methods.video_parts import SizeRule
from tav_model.config import ModelConfig
from tav_model.errors import NonFiniteError, PromptError
from tests.editing import clip, edited
from tests.random_pipelines import BUILDERS, MAX_TOKENS, build_cogvideox, build_video_models

PROMPT = "a blue car"
PARTS = [name for name, (setting, _) in BUILDERS.items() if setting == "base"]
Make = Callable[..., Method]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return build_video_models(tmp_path_factory.mktemp("video"))


@pytest.fixture
def make(models: dict[str, Path], base_folder: Path) -> Make:
    def made(name: str, folder: Path | None = None, **own: Any) -> Method:
        kind, setting = find_method(name), BUILDERS[name][0]
        fields = {field.name for field in dataclasses.fields(kind.Config)}
        usual = {"steps": 2, "guidance_scale": 2.0, "strength": 0.5, "dtype": "fp32"}
        settings = {k: v for k, v in usual.items() if k in fields}
        settings |= {setting: str(folder or models[name]), **own}
        return kind(Settings(own=kind.Config(**settings), model=ModelConfig(base=str(base_folder))))

    return made


@pytest.fixture
def copied(models: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    """A copy of a method's model, to be spoilt."""

    def copy(name: str) -> Path:
        return Path(shutil.copytree(models[name], tmp_path / name))

    return copy


def change(path: Path, **values: Any) -> None:
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | values))


def source(name: str) -> Frames:
    """As many frames of 64×64 as the method takes."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (4 if name == "animatediff_v2v" else 9, 4, 4, 3))
    return coarse.astype(np.uint8).repeat(16, axis=1).repeat(16, axis=2)


@pytest.mark.parametrize("name", BUILDERS)
def test_it_edits_a_clip_and_equal_inputs_give_equal_edits(name: str, make: Make) -> None:
    method, frames = make(name), source(name)
    size = ClipSize(num_frames=len(frames), width=64, height=64)
    assert method.nearest(size) == size
    method.check_own_models()
    method.load()
    method.check_prompt(PROMPT)
    out = edited(method, clip(frames), PROMPT, {})
    assert out.shape == frames.shape
    assert out.dtype == np.uint8
    assert out.std() > 0
    assert np.array_equal(out, edited(method, clip(frames), PROMPT, {}))
    assert not np.array_equal(out, edited(method, clip(frames), "a red fish in the snow", {}))
    assert not np.array_equal(out, edited(method, clip(frames, seed=8), PROMPT, {}))
    of_another = edited(method, clip(255 - frames), PROMPT, {})
    assert np.array_equal(out, of_another) == (name == "cogvideo")  # which does not look at it


@pytest.mark.parametrize(
    ("name", "asked", "nearest"),
    [
        ("cogvideo", (8, 512, 512), (9, 512, 512)),
        ("cogvideo", (5, 520, 488), (1, 512, 480)),
        ("cogvideox_v2v", (12, 64, 64), (9, 64, 64)),
        ("wan_v2v", (8, 64, 72), (9, 64, 64)),
        ("wan_v2v", (1, 8, 8), (1, 16, 16)),
        ("wan_vace", (16, 848, 480), (17, 848, 480)),
        ("lucy_edit", (7, 64, 64), (5, 64, 64)),
        ("animatediff_v2v", (20, 72, 64), (16, 72, 64)),
    ],
)
def test_the_nearest_size_is_told_from_configs_alone(
    name: str, asked: tuple[int, ...], nearest: tuple[int, ...], make: Make
) -> None:
    size, fits = (ClipSize(num_frames=f, width=w, height=h) for f, w, h in (asked, nearest))
    assert make(name).nearest(size) == fits


def test_of_two_nearest_sizes_it_is_the_smaller_and_always_one_that_fits() -> None:
    rule = SizeRule(first=1, every=4, most=30, side=16)
    for frames in range(1, 80):
        found = rule.nearest(ClipSize(num_frames=frames, width=8 * frames, height=24))
        assert rule.nearest(found) == found
        assert found.num_frames % 4 == 1
        assert found.num_frames <= 29
        assert found.width % 16 == found.height % 16 == 0
        assert abs(found.num_frames - min(frames, 29)) <= 2
    assert rule.nearest(ClipSize(num_frames=3, width=24, height=8)) == ClipSize(
        num_frames=1, width=16, height=16
    )


def test_a_vae_gives_an_even_number_of_latents_back_as_more_frames(
    make: Make,
) -> None:
    # Why CogVideoX takes 8k + 1 frames and not 4k + 1.
    method = make("cogvideo")
    method.load()
    vae = method._pipeline.vae  # type: ignore[attr-defined]
    with torch.no_grad():
        counts = [vae.decode(torch.zeros(1, 4, n, 2, 2)).sample.shape[2] for n in (1, 2, 3, 4, 5)]
    assert counts == [1, 8, 9, 16, 17]


@pytest.mark.parametrize("name", PARTS)
def test_a_model_of_another_kind_is_refused(
    name: str, copied: Callable[[str], Path], make: Make
) -> None:
    folder = copied(name)
    change(folder / "model_index.json", _class_name="StableDiffusionPipeline")
    with pytest.raises(ValueError, match=f"{name}.base .*'StableDiffusionPipeline'"):
        make(name, folder).check_own_models()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"transformer": ["os", "system"]}, r"\['os', 'system'\] as transformer, but diffusers's"),
        ({"vae": ["diffusers", "AutoencoderKL"]}, "AutoencoderKL.* as vae, .*AutoencoderKLWan"),
        ({"scheduler": ["diffusers", "DDIMScheduler"]}, "UniPCMultistepScheduler"),
        ({"text_encoder": None}, "nothing as text_encoder"),
        ({"tokenizer": "T5Tokenizer"}, "nothing as tokenizer"),
        ({"transformer_2": ["diffusers", "WanTransformer3DModel"]}, "transformer_2=.*without it"),
        ({"boundary_ratio": 0.9}, "boundary_ratio=0.9"),
        ({"expand_timesteps": True}, "expand_timesteps=True"),
    ],
)
def test_parts_that_are_not_loaded_are_refused_and_never_imported(
    entry: dict[str, Any], message: str, copied: Callable[[str], Path], make: Make
) -> None:
    folder = copied("wan_v2v")
    (folder / "transformer" / "os.py").write_text("raise SystemExit('imported')")
    change(folder / "model_index.json", **entry)
    with pytest.raises(ValueError, match=message):
        make("wan_v2v", folder).check_own_models()


def test_what_a_model_says_of_absent_parts_does_not_matter(
    copied: Callable[[str], Path], make: Make
) -> None:
    folder = copied("wan_v2v")
    change(folder / "model_index.json", transformer_2=[None, None], boundary_ratio=None)
    make("wan_v2v", folder).check_own_models()


@pytest.mark.parametrize(
    ("name", "part", "config", "message"),
    [
        ("wan_v2v", "text_encoder", {"d_model": 48}, "d_model is 48, .*text_dim asks for 32"),
        ("wan_v2v", "transformer", {"in_channels": 36}, "in_channels is 36, .*asks for 16"),
        ("wan_v2v", "transformer", {"patch_size": 2}, "patch_size is 2, but must be 3 numbers"),
        ("wan_v2v", "transformer", {"_class_name": "WanAnimate"}, "is of 'WanAnimate'"),
        ("wan_v2v", "vae", {"scale_factor_spatial": 16}, "takes for 8x8: use a model with Wan 2.1"),
        ("wan_v2v", "vae", {"z_dim": "many"}, "z_dim='many'"),
        ("wan_v2v", "scheduler", {"num_train_timesteps": 1}, "steps=2 is over the 1 steps"),
        ("wan_vace", "transformer", {"vace_in_channels": 32}, "vace_in_channels is 32, .* 96"),
        ("lucy_edit", "transformer", {"in_channels": 16}, "in_channels is 16, .*asks for 32"),
        ("cogvideo", "transformer", {"in_channels": 8}, "latent_channels is 4, .*asks for 8"),
        ("cogvideox_v2v", "transformer", {"patch_size_t": 2}, r"CogVideoX 1\.5 .*or cogvideo"),
    ],
)
def test_configs_that_do_not_go_together_are_refused(
    name: str,
    part: str,
    config: dict[str, Any],
    message: str,
    copied: Callable[[str], Path],
    make: Make,
) -> None:
    folder = copied(name)
    (path,) = folder.glob(f"{part}/*config.json")
    change(path, **config)
    with pytest.raises(ValueError, match=message):
        make(name, folder).check_own_models()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"block_out_channels": [8, 16]}, r"\[8, 16\], but that of model.base .* for this kind"),
        ({"conv_in_channels": 9}, "conv_in_channels=9"),
        ({"_class_name": "ControlNetModel"}, "is of 'ControlNetModel', but MotionAdapter"),
        ({"motion_max_seq_length": 0}, "motion_max_seq_length=0"),
    ],
)
def test_adapters_that_do_not_fit_are_refused(
    config: dict[str, Any], message: str, copied: Callable[[str], Path], make: Make
) -> None:
    folder = copied("animatediff_v2v")
    change(folder / "config.json", **config)
    with pytest.raises(ValueError, match=message):
        make("animatediff_v2v", folder).check_own_models()


def _pickled(folder: Path) -> None:
    weights = folder / "transformer/diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))


def _lacking(folder: Path) -> None:
    path = folder / "transformer/diffusion_pytorch_model.safetensors"
    state = load_file(path)
    del state[min(state)]
    save_file(state, path, metadata={"format": "pt"})


def _cut(folder: Path) -> None:
    path = folder / "vae/diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:-8])


def _wordless(folder: Path) -> None:
    for path in (folder / "tokenizer").glob("tokenizer.json"):
        path.unlink()


def _few_words(folder: Path) -> None:
    change(folder / "text_encoder/config.json", vocab_size=8)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_pickled, "are pickles"),
        (_lacking, "do not fit its config.json"),
        (_cut, "no whole safetensors file"),
        (_wordless, "holds none of tokenizer.json, spiece.model"),
        (_few_words, "tokens, but the text encoder knows 8"),
    ],
)
def test_files_that_cannot_be_used_are_refused_when_they_are_loaded(
    spoil: Callable[[Path], None],
    message: str,
    copied: Callable[[str], Path],
    make: Make,
) -> None:
    folder = copied("cogvideo")
    spoil(folder)
    with pytest.raises(ValueError, match=message):
        make("cogvideo", folder).load()


def test_texts_over_the_limit_are_refused(make: Make) -> None:
    method = make("cogvideo")
    method.load()
    method.check_prompt("car " * (MAX_TOKENS - 1))
    with pytest.raises(PromptError, match=f"25 tokens, the text encoder reads {MAX_TOKENS}"):
        method.check_prompt("car " * MAX_TOKENS)
    with pytest.raises(PromptError, match="empty"):
        method.check_prompt(" ")
    for name in ("cogvideo", "animatediff_v2v"):
        with pytest.raises(ValueError, match=rf"{name}\.negative_prompt: the prompt has"):
            make(name, negative_prompt="car " * 100).load()


def test_what_is_not_finite_is_no_edit(copied: Callable[[str], Path], make: Make) -> None:
    folder = copied("cogvideo")
    path = folder / "vae/diffusion_pytorch_model.safetensors"
    state = load_file(path)
    save_file({k: torch.full_like(v, torch.nan) for k, v in state.items()}, path)
    method = make("cogvideo", folder)
    method.load()
    with pytest.raises(NonFiniteError, match="cogvideo gave NaN or infinity in fp32: copy"):
        edited(method, clip(source("cogvideo")), PROMPT, {})


def test_offloading_takes_a_gpu(make: Make) -> None:
    with pytest.raises(ValueError, match=r"cogvideo\.offload=model .* model.device is cpu"):
        make("cogvideo", offload="model").load()


def test_half_precision_leaves_wans_vae_alone(make: Make) -> None:
    method = make("wan_v2v", dtype="bf16")
    method.load()
    pipeline = method._pipeline  # type: ignore[attr-defined]
    assert pipeline.vae.dtype == torch.float32
    assert pipeline.text_encoder.dtype == torch.bfloat16
    assert edited(method, clip(source("wan_v2v")), PROMPT, {}).std() > 0


def test_tiles_change_edits_and_are_in_keys(make: Make) -> None:
    whole, tiled = make("wan_v2v"), make("wan_v2v", vae_tiling=True)
    assert whole.key_parts() != tiled.key_parts()
    tiled.load()
    assert tiled._pipeline.vae.use_tiling  # type: ignore[attr-defined]


def test_where_a_model_lies_is_in_no_key(tmp_path: Path, make: Make) -> None:
    own = make("cogvideo").settings.own
    assert without_places(own) == without_places(make("cogvideo", tmp_path).settings.own)


def test_weights_are_counted_for_the_device(make: Make) -> None:
    numbers = {"base/text_encoder": 100, "base/transformer": 50, "base/vae": 10}
    found = {
        (dtype, offload): make("wan_v2v", dtype=dtype, offload=offload).least_bytes(numbers)
        for dtype in ("fp32", "bf16")
        for offload in ("none", "model", "sequential")
    }
    assert found == {
        ("fp32", "none"): 640,
        ("fp32", "model"): 400,
        ("fp32", "sequential"): None,
        ("bf16", "none"): 340,
        ("bf16", "model"): 200,
        ("bf16", "sequential"): None,
    }


@pytest.mark.parametrize(
    ("name", "own", "message"),
    [
        ("wan_v2v", {"base": ""}, "base='' "),
        ("wan_v2v", {"strength": 0}, r"strength=0 .* identity"),
        ("wan_v2v", {"strength": 1.5}, r"strength=1.5 "),
        ("cogvideox_v2v", {"strength": 0.4, "steps": 2}, r"strength=0.4 "),
        ("animatediff_v2v", {"strength": float("nan")}, r"strength=nan "),
        ("lucy_edit", {"steps": 0}, r"steps=0 "),
        ("cogvideo", {"guidance_scale": float("inf")}, r"guidance_scale=inf "),
        ("cogvideo", {"dtype": "fp8"}, r"dtype='fp8' "),
        ("wan_vace", {"offload": "disk"}, r"offload='disk' "),
        ("wan_vace", {"conditioning_scale": -1}, r"conditioning_scale=-1 "),
    ],
)
def test_nonsense_is_refused(name: str, own: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        find_method(name).Config(**own)


@pytest.fixture
def box() -> Masks:
    """Of 9 frames of 64×64: a box that moves by a column a frame, and in the last is gone."""
    mask = np.zeros((9, 64, 64), np.bool_)
    for index, frame in enumerate(mask[:8]):
        frame[16:40, 8 + index : 32 + index] = True
    return mask


def test_vace_is_given_the_clip_with_its_object_in_grey_and_a_mask_in_white(
    make: Make, box: Masks
) -> None:
    method, frames = make("wan_vace"), source("wan_vace")
    edit = Edit(name="edit", prompt=PROMPT)
    plain = method.arguments(clip(frames), edit)  # type: ignore[attr-defined]
    assert set(plain) == {"video", "num_frames", "conditioning_scale"}
    assert np.array_equal([np.asarray(one) for one in plain["video"]], frames)
    given = method.arguments(clip(frames, mask=box), edit)  # type: ignore[attr-defined]
    assert set(given) == {*plain, "mask"}
    mask = [np.asarray(one) for one in given["mask"]]
    assert np.array_equal(mask, np.where(box, 255, 0))
    video = np.stack([np.asarray(one) for one in given["video"]])
    assert (video[box] == 128).all()
    assert np.array_equal(video[~box], frames[~box])

    # What the pipeline makes of it: 1 where it may change anything, 0 where it keeps the clip.
    method.load()
    pipeline = method._pipeline  # type: ignore[attr-defined]
    size = {"height": 64, "width": 64, "num_frames": 9, "dtype": torch.float32, "device": "cpu"}
    clip_BCFHW, mask_BCFHW, _ = pipeline.preprocess_conditions(
        given["video"], given["mask"], **size
    )
    assert torch.equal(mask_BCFHW[0, 0], torch.from_numpy(box).float())
    assert float(clip_BCFHW[0][:, torch.from_numpy(box)].abs().max()) < 0.005


def test_a_mask_changes_what_vace_makes(make: Make, box: Masks) -> None:
    method, frames = make("wan_vace"), source("wan_vace")
    method.load()
    with_box = edited(method, clip(frames, mask=box), PROMPT, {})
    assert with_box.shape == frames.shape
    assert np.array_equal(with_box, edited(method, clip(frames, mask=box), PROMPT, {}))
    for other in (None, ~box, np.roll(box, 16, axis=1)):
        assert not np.array_equal(with_box, edited(method, clip(frames, mask=other), PROMPT, {}))
    # What is under the mask is not looked at, and what is outside is.
    under, outside = frames.copy(), frames.copy()
    under[box] = 255 - frames[box]
    outside[~box] = 255 - frames[~box]
    assert np.array_equal(with_box, edited(method, clip(under, mask=box), PROMPT, {}))
    assert not np.array_equal(with_box, edited(method, clip(outside, mask=box), PROMPT, {}))


def test_a_text_model_of_the_next_generation_takes_the_same_clips(
    tmp_path: Path, make: Make
) -> None:
    # CogVideoX 1.5: its pipeline makes latents more and throws them away.
    build_cogvideox(
        tmp_path / "model",
        patch_size_t=2,
        attention_head_dim=16,
        use_rotary_positional_embeddings=True,
    )
    method = make("cogvideo", tmp_path / "model")
    method.check_own_models()
    method.load()
    frames = source("cogvideo")
    assert edited(method, clip(frames), PROMPT, {}).shape == frames.shape
