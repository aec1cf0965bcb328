from pathlib import Path
from typing import Any

import numpy as np
import pytest

from methods.method import Frames
from methods.sdedit import SDEdit, SDEditConfig
from tav_model.vae import decode
from tests.editing import clip, edited, loaded, made
from tinyworld.clips import CLIPS
from tinyworld.draw import render
from tinyworld.shipped import shipped_model

PROMPT = "a blue car"


@pytest.fixture(scope="module")
def base_method(base_folder: Path) -> SDEdit:
    return loaded(SDEdit, base_folder, steps=10)


def _edit(base: Path, frames: Frames, seed: int = 7, **own: Any) -> Frames:
    return edited(loaded(SDEdit, base, **own), clip(frames, seed=seed), PROMPT, {})


def _distance(a: Frames, b: Frames) -> float:
    return float(np.abs(a.astype(int) - b).mean())


def test_the_weaker_the_nearer_to_the_source() -> None:
    # With random weights no step leads anywhere: this needs a model that was trained.
    base, frames = shipped_model("base"), render(CLIPS["fish"]).frames[:2]
    method = loaded(SDEdit, base, steps=20)
    through_the_vae = decode(method._base, method.encode(clip(frames)))
    distances = [
        _distance(_edit(base, frames, steps=20, strength=s), through_the_vae)
        for s in (0.05, 0.4, 1)
    ]
    assert distances == sorted(distances)
    assert distances[0] < 0.2 * distances[-1]


def test_at_full_strength_little_of_the_source_is_left(base_folder: Path, frames: Frames) -> None:
    others = 255 - frames
    weak, full = (
        [_edit(base_folder, x, steps=10, strength=s, guidance_scale=1) for x in (frames, others)]
        for s in (0.1, 1)
    )
    assert _distance(*full) < 0.3 * _distance(*weak)


def test_frames_are_edited_alone_and_with_one_noise(
    base_method: SDEdit, base_folder: Path, frames: Frames
) -> None:
    order = [2, 0, 3, 1]
    out = edited(base_method, clip(frames), PROMPT, {})
    shuffled = edited(base_method, clip(frames[order]), PROMPT, {})
    assert np.abs(shuffled.astype(int) - out[order]).max() <= 1
    still = edited(base_method, clip(frames[[0, 0]]), PROMPT, {})
    assert np.abs(still[0].astype(int) - still[1]).max() <= 1
    assert _distance(out, edited(base_method, clip(frames, seed=8), PROMPT, {})) > 1


def test_what_it_says_of_itself(base_folder: Path) -> None:
    method = made(SDEdit, base_folder, strength=0.58)
    assert method.stages() == ()
    assert method.cost().edit.guided == 2 * 28  # 50 * 0.58 is 28.999...
    assert method.schedule_steps() == {"sdedit.steps": 50}
    # Two precisions give two edits, and there is no stage whose key would say so.
    assert method.key_parts()["model"]["dtype"] == "fp32"


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"strength": 0}, r"strength=0 .* 1 / steps = 0.02 \.\. 1\. .* identity"),
        ({"strength": 0.05, "steps": 10}, r"strength=0.05 .* 1 / steps = 0.1 \.\. 1"),
        ({"strength": 1.5}, r"strength=1.5 "),
        ({"strength": float("nan")}, r"strength=nan "),
        ({"steps": 0}, r"steps=0 "),
        ({"guidance_scale": float("inf")}, r"guidance_scale=inf "),
        ({"frames_per_batch": 0}, r"frames_per_batch=0 "),
    ],
)
def test_nonsense_is_refused(own: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SDEditConfig(**own)  # type: ignore[arg-type]
