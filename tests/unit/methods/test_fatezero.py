import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from methods.alignment import align
from methods.fatezero import FateZero, FateZeroConfig
from methods.method import ADAPTER, LATENTS, ClipSize, Edit, Frames
from methods.tune_a_video import TuneAVideo
from tav_model.config import SampleConfig
from tav_model.solvers import sampling_timesteps
from tav_model.text import encode_prompts
from tav_model.vae import sample_latents
from tests.editing import clip, desk, edited, loaded, made, prepare
from tinyworld.clips import CLIPS
from tinyworld.draw import render
from tinyworld.shipped import shipped_model

SOURCE = "a red fish"
PROMPT = "a blue fish, cartoon style"
STEPS = 5
NONE = {"self_replace_steps": 0, "cross_replace_steps": 0}


@pytest.fixture(scope="module")
def method(base_folder: Path) -> FateZero:
    return loaded(FateZero, base_folder, steps=STEPS)


def settled(method: FateZero, **own: Any) -> FateZero:
    """The same model with other settings, which `Methods` would load anew."""
    # Frames so small have two latents where words are seen, which a mask would open both.
    settings = {"steps": STEPS, "mask_threshold": 1, **own}
    other = made(FateZero, Path(method.settings.model.base), **settings)
    other._base, other._blending = method._base, method._blending
    return other


@pytest.fixture(scope="module")
def kept(method: FateZero, frames: Frames, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return prepare(method, clip(frames), tmp_path_factory.mktemp("kept"))


def latents_of(method: FateZero, kept: Any, prompt: str = PROMPT, **spoilt: Tensor) -> Tensor:
    tensors = load_file(kept["inversion"]) | spoilt
    return method.sample(tensors["latents"], tensors["words"], SOURCE, prompt)


@pytest.mark.parametrize("guidance_scale", [7.5, 1.0])
def test_without_blending_it_is_tune_a_video_bit_for_bit(
    base_folder: Path, frames: Frames, tmp_path: Path, guidance_scale: float
) -> None:
    source, text = clip(frames), "a grey house"
    own = {"steps": STEPS, "guidance_scale": guidance_scale, "negative_prompt": text}
    method = loaded(FateZero, base_folder, tuned=1, **own, **NONE)
    prepared = prepare(method, source, tmp_path)
    start = load_file(prepared["inversion"])["latents"][0].numpy()
    config = SampleConfig(steps=STEPS, guidance_scale=guidance_scale, negative_prompt=text)
    plain = TuneAVideo(dataclasses.replace(method.settings, own=TuneAVideo.Config(), sample=config))
    plain.load()
    (expected,) = plain.edit(
        source,
        [Edit(name="edit", prompt=PROMPT)],
        {ADAPTER: prepared[ADAPTER], LATENTS: start},
    )
    assert np.array_equal(edited(method, source, PROMPT, prepared), expected)
    blended = settled(method, **own)
    assert not np.array_equal(edited(blended, source, PROMPT, prepared), expected)


def test_the_source_beside_the_edit_is_the_inversion(
    method: FateZero, frames: Frames, kept: Any
) -> None:
    """Each step's source row is asked what the inversion was asked at that noise level.

    So its maps are those of the inversion: those that were recorded then are seen again.
    """
    base, blending = method._base, method._blending
    tensors = load_file(kept["inversion"])
    asked: list[tuple[int, Tensor]] = []
    real = type(base.unet).forward

    def spy(unet: Any, sample: Tensor, timestep: Tensor, text: Tensor) -> Tensor:
        asked.append((int(timestep), sample[0].clone()))
        blending.recording = []
        out = real(unet, sample, timestep, text)
        recorded = torch.stack(blending.recording or []).mean(0)[..., : tensors["words"].shape[-1]]
        torch.testing.assert_close(
            recorded, tensors["words"][len(asked) - 1].float(), atol=1e-3, rtol=1e-3
        )
        return out

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(base.unet), "forward", spy)
        latents_of(settled(method, self_replace_steps=1, cross_replace_steps=1), kept)
    timesteps = sampling_timesteps(base, STEPS)
    assert [t for t, _ in asked] == timesteps
    assert all(torch.equal(x, y) for (_, x), y in zip(asked, tensors["latents"][1:], strict=True))
    # The last step's is the clip itself: the inversion's first.
    generator = torch.Generator().manual_seed(7)
    clean = sample_latents(method.moments(clip(frames)), generator)
    assert torch.equal(tensors["latents"][-1], clean)


def _rolled(method: FateZero, kept: Any) -> Tensor:
    tensors = load_file(kept["inversion"])["latents"]
    return latents_of(method, kept, latents=torch.cat([tensors[:1], tensors[1:].roll(1, 0)]))


@pytest.mark.parametrize("own", [{"cross_replace_steps": 0}, {"self_replace_steps": 0}], ids=str)
def test_each_kind_of_blending_and_its_step_matter(
    method: FateZero, kept: Any, own: dict[str, float]
) -> None:
    changed = settled(method, **own)
    out = latents_of(changed, kept)
    for other in (settled(method), settled(method, **NONE)):
        assert (latents_of(other, kept) - out).abs().max() > 1e-3
    assert (_rolled(changed, kept) - out).abs().max() > 1e-3, "the maps of another step"


def test_the_steps_that_blend(base_folder: Path) -> None:
    own = FateZeroConfig(self_replace_steps=0.5, cross_replace_steps=0.8)
    assert [sum(own.blends(i)[kind] for i in range(50)) for kind in (0, 1)] == [25, 40]
    assert own.blends(24) == (True, True)
    assert own.blends(25) == (False, True)
    cost = made(FateZero, base_folder, tuned=3, self_replace_steps=0.5).cost()
    assert (cost.edit.guided, cost.edit.rows) == (2 * 50 + 40, 3)
    assert cost.stages[ADAPTER].train == 3
    assert cost.stages["inversion"].inversion == 50
    plain = made(FateZero, base_folder, guidance_scale=1, **NONE).cost()
    assert (plain.edit.guided, plain.edit.rows) == (50, 1)
    assert made(FateZero, base_folder).schedule_steps() == {"fatezero.steps": 50}


def test_a_clip_blended_with_itself_stays_as_it_is(method: FateZero, kept: Any) -> None:
    tensors = load_file(kept["inversion"])
    one = settled(method, guidance_scale=1, cross_replace_steps=1, self_replace_steps=1)
    text = encode_prompts(method._base, [SOURCE, SOURCE])
    timesteps = sampling_timesteps(method._base, STEPS)
    x = tensors["latents"][2]
    plain = one._step(x, x, timesteps[1], text)
    aligned = align(method._base.tokenizer, SOURCE, SOURCE)
    one._blend(1, aligned, tensors["words"][1], x.shape[-2:])
    blended = one._step(x, x, timesteps[1], text)
    one._blending.reset()
    torch.testing.assert_close(blended, plain, atol=1e-5, rtol=1e-5)


def test_words_that_the_edit_lacks_open_the_mask(method: FateZero, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    frames = rng.integers(0, 256, (2, 4, 4, 3)).astype(np.uint8).repeat(32, 1).repeat(32, 2)
    kept = prepare(method, clip(frames), tmp_path)
    words = load_file(kept["inversion"])["words"]
    assert words.shape[1:3] == (2, 16)

    def out(prompt: str, threshold: float, corner: int = 0, **places: int) -> Tensor:
        seen = words.clone()
        for place in places.values():
            seen[..., place] = 0.01
            seen[:, :, corner, place] = 1
        return latents_of(settled(method, mask_threshold=threshold), kept, prompt, words=seen)

    added, replaced = "a red fish, cartoon style", "a blue fish"
    assert torch.equal(out(added, 0.3), out(added, 1)), "all of the source's words are there"
    red, fish = 2, 3
    masked = out(replaced, 0.3, red=red)
    for other in (out(replaced, 0, red=red), out(replaced, 1), out(replaced, 0.3, 15, red=red)):
        assert (other - masked).abs().max() > 1e-4
    # Where another word is seen does not matter.
    assert torch.equal(out(replaced, 0.3, red=red), masked)
    one, other = (
        latents_of(settled(method, mask_threshold=0.3), kept, replaced, words=spoilt)
        for spoilt in (words, words.index_fill(-1, torch.tensor([fish]), 1))
    )
    assert torch.equal(one, other)


@pytest.mark.parametrize("own", [{"alignment": "replace"}, {"amplify": 5}])
def test_other_settings_give_other_edits(method: FateZero, kept: Any, own: dict[str, Any]) -> None:
    assert (
        latents_of(settled(method, **own), kept) - latents_of(settled(method), kept)
    ).abs().max() > 1e-4


def test_large_layers_are_left_alone(base_folder: Path, method: FateZero, kept: Any) -> None:
    few = loaded(FateZero, base_folder, steps=STEPS, mask_threshold=1, max_tokens=1)
    assert (latents_of(few, kept) - latents_of(settled(method), kept)).abs().max() > 1e-4
    # The smallest of these frames' layers have one token.
    few._blending.max_tokens = 0
    none = settled(method, **NONE)
    assert (latents_of(few, kept) - latents_of(none, kept)).abs().max() <= 1e-5


def test_a_failed_edit_leaves_nothing_blended(
    method: FateZero, frames: Frames, kept: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(type(method._base.unet), "forward", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            edited(method, clip(frames), PROMPT, kept)
        with pytest.raises(ZeroDivisionError):
            prepare(method, clip(frames), tmp_path / "failed")
    again = prepare(method, clip(frames), tmp_path / "again")
    for name, tensor in load_file(kept["inversion"]).items():
        assert torch.equal(load_file(again["inversion"])[name], tensor), name


def test_what_it_keeps(method: FateZero, frames: Frames, tmp_path: Path) -> None:
    (artefact,) = method.prepare(clip(frames), {}, ["inversion"], desk(tmp_path))
    assert artefact.path is not None
    tensors = load_file(artefact.path)
    assert tensors["latents"].shape == (STEPS + 1, 4, 4, 4, 6)
    tokens = len(method._base.tokenizer(SOURCE).input_ids)
    assert tensors["words"].shape == (STEPS, 4, 1 * 2, tokens)  # at a quarter of 4 by 6, rounded up
    whole = tensors["words"].float().sum(-1)
    assert (whole > 0).all()
    assert (whole < 1.01).all(), "shares of one attention, of which the rest goes to what fills up"
    size = ClipSize(num_frames=4, width=64, height=64)
    stored = method.cost().storage["inversion"](size, 8)
    exact = 4 * (STEPS + 1) * 4 * 4 * 64 + STEPS * 4 * 4 * 2 * 77
    assert stored == exact


def test_keys(base_folder: Path) -> None:
    def parts(**own: Any) -> Any:
        return [stage.parts for stage in made(FateZero, base_folder, **own).stages()]

    assert parts() == parts(guidance_scale=3, self_replace_steps=0.1, mask_threshold=1)
    assert parts()[0] == parts(steps=20)[0]
    assert parts()[1] != parts(steps=20)[1]


def test_half_precision(base_folder: Path, frames: Frames, tmp_path: Path) -> None:
    settings = made(FateZero, base_folder, steps=2).settings
    model = dataclasses.replace(settings.model, dtype="bf16")
    method = FateZero(dataclasses.replace(settings, model=model))
    method.load()
    prepared = prepare(method, clip(frames), tmp_path)
    assert edited(method, clip(frames), PROMPT, prepared).shape == frames.shape


def test_tinyworlds_own_base_finds_its_words(tmp_path: Path) -> None:
    """The mask of the object's words lies on the object, which a random model cannot show."""
    scene = CLIPS["fish"]
    drawn = render(scene)
    method = loaded(FateZero, shipped_model("base"), steps=10)
    frames = drawn.frames[::6]
    prepared = prepare(method, clip(frames, prompt=scene.caption()), tmp_path)
    words = load_file(prepared["inversion"])["words"]
    seen = (
        words[5:, :, :, 2:4].float().sum(-1).mean(0).view(4, 8, 8)
    )  # "red fish", in the late half
    centres = drawn.centers[::6, 0] / 8
    for frame, (x, y) in zip(seen, centres, strict=True):
        rows, columns = np.mgrid[0:8, 0:8] + 0.5
        near = torch.tensor(np.hypot(rows - y, columns - x) < 2)
        assert frame[near].mean() > 1.3 * frame[~near].mean()


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"steps": 0}, r"steps=0 .* 1 \.\. 1000"),
        ({"guidance_scale": 0.5}, r"guidance_scale=0\.5 .* >= 1"),
        ({"self_replace_steps": 1.1}, r"self_replace_steps=1\.1 .* 0 \.\. 1\. Use 0 for none"),
        ({"cross_replace_steps": float("nan")}, r"cross_replace_steps=nan "),
        ({"mask_threshold": 2}, r"mask_threshold=2 .* 0 \.\. 1\. Use 1 for no mask"),
        ({"alignment": "swap"}, r"alignment='swap' .* one of .*Use replace"),
        ({"amplify": -1}, r"amplify=-1 .* 0 \.\. 100\. Use 1"),
        ({"amplify": float("inf")}, r"amplify=inf "),
        ({"max_tokens": 0}, r"max_tokens=0 .* >= 1\. The official"),
    ],
)
def test_nonsense_is_refused(own: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FateZeroConfig(**own)


def test_a_negative_prompt_that_is_too_long_stops_the_run(base_folder: Path) -> None:
    with pytest.raises(ValueError, match=r"fatezero\.negative_prompt: the prompt has \d+ tokens"):
        loaded(FateZero, base_folder, negative_prompt="ugly " * 100)
