from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from methods.frame_by_frame import FrameByFrame, FrameByFrameConfig
from methods.method import ClipSize, Frames
from tav_model.vae import decode
from tests.editing import clip, edited, loaded, made, prepare


@pytest.fixture(scope="module")
def method(base_folder: Path) -> FrameByFrame:
    return loaded(FrameByFrame, base_folder, inversion_steps=4, steps=4, frames_per_batch=3)


def test_without_guidance_the_way_back_leads_to_the_frames(
    base_folder: Path, frames: Frames, tmp_path: Path
) -> None:
    method = loaded(FrameByFrame, base_folder, inversion_steps=20, steps=20, guidance_scale=1)
    # As in tav_model's test of sampling: in the field of a constant prediction the two ways are
    # each other's inverse.
    torch.nn.init.zeros_(method._base.unet.conv_out.weight)
    source = clip(frames)
    prepared = prepare(method, source, tmp_path)
    through_the_vae = decode(method._base, method.encode(source))
    back = edited(method, source, source.prompt, prepared)
    assert np.abs(back.astype(int) - through_the_vae).max() <= 1
    clean = method.encode(source)
    moved = load_file(prepared["inversion"])["latents"] - clean
    assert moved.norm() > 0.5 * clean.norm()


def test_no_frame_knows_another(method: FrameByFrame, frames: Frames, tmp_path: Path) -> None:
    order = [2, 0, 3, 1]
    out, shuffled = (
        edited(method, source, "a blue car", prepare(method, source, tmp_path / name))
        for name, source in (("a", clip(frames)), ("b", clip(frames[order])))
    )
    assert out.shape == frames.shape
    assert np.abs(shuffled.astype(int) - out[order]).max() <= 1
    assert len(np.unique(out.reshape(len(out), -1), axis=0)) == len(out)


def test_the_prompt_matters(method: FrameByFrame, frames: Frames, tmp_path: Path) -> None:
    source = clip(frames)
    prepared = prepare(method, source, tmp_path)
    one, other = (edited(method, source, prompt, prepared) for prompt in ("a fish", "a cartoon"))
    assert not np.array_equal(one, other)


def test_what_it_says_of_itself(base_folder: Path) -> None:
    method = made(FrameByFrame, base_folder, inversion_steps=30, steps=20, guidance_scale=1)
    cost = method.cost()
    assert cost.image
    assert cost.stages["inversion"].inversion == 30
    assert (cost.edit.guided, cost.edit.rows) == (20, 1)
    assert method.schedule_steps() == {
        "frame_by_frame.inversion_steps": 30,
        "frame_by_frame.steps": 20,
    }
    size = ClipSize(num_frames=24, width=512, height=512)
    assert cost.storage["inversion"](size, 8) == 24 * 4 * 64 * 64 * 4


def test_sampling_settings_are_no_part_of_the_inversion(base_folder: Path) -> None:
    one, other, third = (
        made(FrameByFrame, base_folder, **own).stages()[0].parts
        for own in ({"steps": 20, "guidance_scale": 3}, {}, {"inversion_steps": 40})
    )
    assert one == other != third


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"steps": 0}, r"steps=0 .* 1 \.\. 1000\. Use 50"),
        ({"inversion_steps": 1001}, r"inversion_steps=1001 .* 1 \.\. 1000"),
        ({"guidance_scale": 0.5}, r"guidance_scale=0.5 .* >= 1 and finite"),
        ({"frames_per_batch": 0}, r"frames_per_batch=0 .* >= 1"),
    ],
)
def test_nonsense_is_refused(own: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FrameByFrameConfig(**own)  # type: ignore[arg-type]


def test_a_negative_prompt_that_is_too_long_stops_the_run(base_folder: Path) -> None:
    with pytest.raises(
        ValueError, match=r"frame_by_frame\.negative_prompt: the prompt has \d+ tokens"
    ):
        loaded(FrameByFrame, base_folder, negative_prompt="ugly " * 100)
