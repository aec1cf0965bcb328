"""Where words are attended to from, against maps in full and Prompt-to-Prompt's own arithmetic."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tav_model.config import SampleConfig
from tav_model.control import Steering
from tav_model.errors import PromptError
from tav_model.keeping import OutsideOfWords, source_levels
from tav_model.load import BaseModel
from tav_model.sample import sample
from tav_model.text import encode_prompts
from tav_model.windows import Windows
from tav_model.words import text_layers, watched

FRAMES = 3
SIZE = (16, 24)


def latents(seed: int, frames: int = FRAMES, clips: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(clips, 4, frames, *SIZE, generator=generator)


def weights_of(base: BaseModel, x: Tensor, text: Tensor) -> list[Tensor]:
    """Weights of attention to the text of each coarsest layer, (B, A, F, S, L), by its inputs."""
    _, names = text_layers(base.unet)
    found, hooks = [], []

    def look(layer: Any, args: Any, kwargs: Any) -> None:
        hidden = args[0] if args else kwargs["hidden_states"]
        q = layer.to_q(hidden).unflatten(-1, (layer.heads, -1)).unflatten(0, (len(x), -1))
        k = layer.to_k(kwargs["encoder_hidden_states"]).unflatten(-1, (layer.heads, -1))
        scores = torch.einsum("bfsad,blad->bafsl", q, k) * q.shape[-1] ** -0.5
        found.append(scores.softmax(-1))

    for name in names:
        layer = base.unet.get_submodule(name.removesuffix(".processor"))
        hooks.append(layer.register_forward_pre_hook(look, with_kwargs=True))
    with torch.no_grad():
        base.unet(x, 500, text)
    for hook in hooks:
        hook.remove()
    return found


@pytest.mark.parametrize("guided", [False, True])
def test_maps_are_sums_of_the_prompts_own_weights(base: BaseModel, guided: bool) -> None:  # noqa: FBT001
    words = [[1, 3], [2]]
    text = encode_prompts(base, ["", "", "a red fish", "a blue star"][0 if guided else 2 :])
    x = latents(1, clips=len(text))
    expected = weights_of(base, x, text)
    assert len(expected) > 1
    with torch.no_grad(), watched(base.unet, words, FRAMES) as maps:
        seen = base.unet(x, 500, text)
    assert torch.equal(seen, base.unet(x, 500, text)), "looking changed something"
    assert maps._seen_BFS is not None
    for row, places in enumerate(words):
        full = sum(layer[len(text) - 2 + row].mean(0)[..., places].sum(-1) for layer in expected)
        torch.testing.assert_close(maps._seen_BFS[row], full)


def test_the_mask_is_local_blends(base: BaseModel) -> None:
    """`LocalBlend.get_mask` of google/prompt-to-prompt, of maps that were summed over steps."""
    text = encode_prompts(base, ["a red fish"])
    with torch.no_grad(), watched(base.unet, [[2, 3]], FRAMES) as maps:
        for seed in (1, 2):
            base.unet(latents(seed), 500, text)
    assert maps._seen_BFS is not None
    side = (4, 6)
    pooled = functional.max_pool2d(maps._seen_BFS.view(FRAMES, 1, *side), 3, 1, 1)
    resized = functional.interpolate(pooled, size=SIZE)
    for threshold in (0.3, 0.9, 0.99):
        expected = (resized / resized.amax((2, 3), keepdim=True)).gt(threshold)[:, 0]
        assert torch.equal(maps.inside(SIZE, threshold)[0], expected)
    assert not expected.all(), "a threshold as high as this leaves something out"
    assert expected.flatten(1).any(1).all(), "each frame has its own maximum"


def test_windows_tell_which_frames_they_are(base: BaseModel) -> None:
    """Frames that two windows share are looked at twice, and the first frame by all."""
    text, x = encode_prompts(base, ["a red fish"]), latents(1, frames=5)
    base.unet.windows = Windows(frames=3, overlap=1)
    asked: list[Tensor] = []

    def frames_of(*given: Any) -> None:
        asked.append(given[3])

    try:
        with torch.no_grad(), watched(base.unet, [[2]], 5) as maps:
            base.unet(x, 500, text, frames_of)
    finally:
        base.unet.windows = None
    assert len(asked) > 1
    expected = torch.zeros(5)
    for frames in asked:
        part = weights_of(base, x[:, :, frames], text)
        expected[frames] += sum(layer[0].mean(0)[..., 2].sum(-1) for layer in part)
    assert maps._seen_BFS is not None
    torch.testing.assert_close(maps._seen_BFS[0].sum(-1), expected)


def test_the_stock_layers_come_back(base: BaseModel) -> None:
    before = dict(base.unet.attn_processors)
    with watched(base.unet, [[1]], FRAMES):
        changed = {n for n, p in base.unet.attn_processors.items() if p is not before[n]}
        assert changed == set(text_layers(base.unet)[1])
    assert all(p is before[n] for n, p in base.unet.attn_processors.items())
    with pytest.raises(PromptError), watched(base.unet, [[1]], FRAMES):
        sample(base, latents(1)[0], [""], SampleConfig(steps=1))
    assert all(p is before[n] for n, p in base.unet.attn_processors.items())


def test_other_prompts_than_were_told_are_refused(base: BaseModel) -> None:
    text = encode_prompts(base, ["a fish", "a star", "a car"])
    with (
        torch.no_grad(),
        watched(base.unet, [[1], [2]], FRAMES),
        pytest.raises(ValueError, match=r"3 clips .* words of 2 prompts"),
    ):
        base.unet(latents(1, clips=3), 500, text)


@pytest.mark.parametrize("scale", [1.0, 7.5])
def test_outside_of_the_words_the_source_comes_out_to_the_bit(
    base: BaseModel, scale: float
) -> None:
    clean, threshold = latents(2)[0], 0.98
    config = SampleConfig(steps=4, guidance_scale=scale, prompts_per_batch=2)
    levels = source_levels(base, clean, config.steps)
    prompts, words = ["a blue star", "a red fish"], [[2, 3], [3]]
    with watched(base.unet, words, FRAMES) as maps:
        after = OutsideOfWords(levels, maps, threshold).blend
        made = sample(base, levels[0], prompts, config, steering=Steering(after=after))
    inside_BFHW = maps.inside(SIZE, threshold)
    for edit, inside in zip(made, inside_BFHW, strict=True):
        assert inside.any()
        assert not inside.all()
        assert torch.equal(edit[:, ~inside], clean[:, ~inside])
        assert (edit[:, inside] - clean[:, inside]).abs().max() > 0.1, "nothing was edited"
    assert not torch.equal(*inside_BFHW), "each prompt has a mask of its own"
    # Alone as among others.
    with watched(base.unet, words[1:], FRAMES) as maps:
        after = OutsideOfWords(levels, maps, threshold).blend
        alone = sample(base, levels[0], prompts[1:], config, steering=Steering(after=after))
    torch.testing.assert_close(alone[0], made[1], atol=1e-4, rtol=1e-4)
