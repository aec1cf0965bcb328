"""Each protocol's numbers from their definitions, in float64, and where it has none."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates

from eval.clip_encoder import ClipEncoder
from eval.errors import EvalError
from eval.protocols.evidence import CLIP, Clip, Evidence, Judges
from eval.protocols.protocol import Scores, score
from eval.protocols.registry import get_protocol

Frames = npt.NDArray[np.uint8]
PROMPTS = ("a red car on the road", "a blue fish over the sea")


@pytest.fixture(scope="module")
def encoder(tiny_models: Any) -> ClipEncoder:
    return ClipEncoder(str(tiny_models / "clip"))


def random_frames(count: int = 4, seed: int = 3) -> Frames:
    return np.random.default_rng(seed).integers(0, 256, (count, 40, 56, 3), dtype=np.uint8)


def scored(
    name: str,
    edit: Frames,
    source: Frames | None = None,
    encoder: ClipEncoder | None = None,
    prompts: tuple[str, str] = PROMPTS,
) -> Scores:
    judges = Judges(encoder)
    evidence = Evidence(
        judges=judges,
        edit=Clip(lambda: edit, judges),
        prompt=prompts[1],
        source_clip=None if source is None else Clip(lambda: source, judges),
        source_prompt=prompts[0],
    )
    return score(get_protocol(name), evidence)


def unit(rows: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    wide = np.asarray(rows, np.float64)
    return np.asarray(wide / np.linalg.norm(wide, axis=-1, keepdims=True))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_fatezero_is_neighbours_and_a_percentage_of_frames(encoder: ClipEncoder, seed: int) -> None:
    edit = random_frames(seed=seed)
    seen = unit(encoder.encode_frames(edit))
    source, target = (unit(encoder.encode_text(prompt)) for prompt in PROMPTS)
    found = scored("fatezero_v1", edit, encoder=encoder)
    cosines = [float(seen[at] @ seen[at + 1]) for at in range(3)]
    nearer = [float(frame @ target) > float(frame @ source) for frame in seen]
    assert found.values == {
        "temporal_consistency": pytest.approx(np.mean(cosines), abs=1e-6),
        "frame_accuracy": pytest.approx(100 * np.mean(nearer)),
    }


def test_a_tie_is_a_success_to_editboard_and_none_to_fatezero(encoder: ClipEncoder) -> None:
    same = (PROMPTS[0], PROMPTS[0])
    edit = random_frames()
    success = scored("edit_success_v1", edit, encoder=encoder, prompts=same)
    accuracy = scored("fatezero_v1", edit, encoder=encoder, prompts=same)
    assert (success.values["edit_success"], accuracy.values["frame_accuracy"]) == (1, 0)
    seen = unit(encoder.encode_frames(edit))
    source, target = (unit(encoder.encode_text(prompt)) for prompt in PROMPTS)
    found = scored("edit_success_v1", edit, encoder=encoder).values["edit_success"]
    assert found == np.mean(seen @ target >= seen @ source)


@pytest.mark.parametrize("name", ["fatezero_v1", "edit_success_v1"])
def test_a_source_prompt_that_is_too_long_is_a_reason(encoder: ClipEncoder, name: str) -> None:
    prompts = ("fish " * 90, PROMPTS[1])
    if name == "edit_success_v1":
        with pytest.raises(EvalError, match="reads 77"):
            scored(name, random_frames(), encoder=encoder, prompts=prompts)
    else:
        found = scored(name, random_frames(), encoder=encoder, prompts=prompts)
        assert found.values.keys() == {"temporal_consistency"}
        assert "reads 77" in found.reasons["frame_accuracy"]


def moving(shift: int, seed: int = 0, count: int = 3, down: int = 0) -> Frames:
    """A smooth pattern that goes right by so many pixels a frame."""
    noise = np.random.default_rng(seed).random((72, 96, 3))
    pattern = gaussian_filter(noise, (2, 2, 0))
    pattern = (pattern - pattern.min()) / np.ptp(pattern) * 255
    frames = [np.roll(pattern, (down * t, shift * t), (0, 1))[12:60, 16:80] for t in range(count)]
    return np.stack(frames).astype(np.uint8)


def flow_of(one: Frames, other: Frames) -> npt.NDArray[np.float32]:
    """As anyone would call OpenCV's DIS."""
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (one, other)]
    return np.asarray(dis.calc(grey[0], grey[1], np.zeros((*grey[0].shape, 2), np.float32)))


def warped(
    image: npt.NDArray[np.floating[Any]], flow: npt.NDArray[np.floating[Any]]
) -> npt.NDArray[np.float64]:
    height, width = flow.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float64)
    places = [np.clip(y + flow[..., 1], 0, height - 1), np.clip(x + flow[..., 0], 0, width - 1)]
    channels = [map_coordinates(image[..., c], places, order=1) for c in range(image.shape[2])]
    return np.stack(channels, axis=-1)


def visible(there: npt.NDArray[np.float32], back: npt.NDArray[np.float32]) -> Any:
    """Lai et al.: consistent both ways, and no motion boundary."""
    there, back = there.astype(np.float64), back.astype(np.float64)
    returned = warped(back, there.astype(np.float32))

    def squared(flow: Any) -> Any:
        return (flow**2).sum(axis=-1)

    astray = squared(there + returned) > 0.01 * (squared(there) + squared(returned)) + 0.5
    right, below = np.zeros_like(there), np.zeros_like(there)
    right[:, :-1], below[:-1] = np.diff(there, axis=1), np.diff(there, axis=0)
    boundary = squared(right) + squared(below) > 0.01 * squared(there) + 0.002
    return ~(astray | boundary)


def test_warp_error_is_that_of_the_edits_next_frame_on_the_sources_flow() -> None:
    source, edit = moving(2), moving(1, seed=9)
    errors = []
    for at in range(2):
        there, back = flow_of(source[at], source[at + 1]), flow_of(source[at + 1], source[at])
        shown = visible(there, back)
        difference = warped(edit[at + 1] / 255, there) - edit[at] / 255
        errors.append(np.square(difference)[shown].mean())
    found = scored("warp_error_dis_v1", edit, source).values
    assert found == {"warp_error": pytest.approx(1000 * np.mean(errors), rel=1e-4)}
    faithful = scored("warp_error_dis_v1", source, source).values["warp_error"]
    assert faithful < found["warp_error"] / 10


def structural_similarity(
    one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Wang et al. 2004: Gaussian windows of 11 pixels, sigma 1.5, by colour."""

    def mean(image: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.asarray(gaussian_filter(image, (1.5, 1.5, 0), truncate=3.5, mode="mirror"))

    a, b = mean(one), mean(other)
    variances = mean(one**2) - a**2 + mean(other**2) - b**2
    covariance = mean(one * other) - a * b
    first, second = 0.01**2, 0.03**2
    above = (2 * a * b + first) * (2 * covariance + second)
    return np.asarray(above / ((a**2 + b**2 + first) * (variances + second)))


def test_warp_ssim_is_that_of_the_visible_pixels() -> None:
    source, edit = moving(2), moving(1, seed=9)
    values = []
    for at in range(2):
        there, back = flow_of(source[at], source[at + 1]), flow_of(source[at + 1], source[at])
        shown = visible(there, back)
        one, other = warped(edit[at + 1] / 255, there), edit[at] / 255
        seen = [np.where(shown[..., None], image, 0) for image in (one, other)]
        values.append(100 * structural_similarity(seen[0], seen[1])[shown].mean())
    found = scored("warp_ssim_dis_v1", edit, source).values
    assert found == {"warp_ssim": pytest.approx(np.mean(values), abs=1e-3)}
    assert scored("warp_ssim_dis_v1", source, source).values["warp_ssim"] > 95


@pytest.mark.parametrize("name", ["warp_error_dis_v1", "warp_ssim_dis_v1"])
def test_warps_of_degenerate_clips(name: str) -> None:
    black = np.zeros((3, 24, 32, 3), np.uint8)
    best = {"warp_error_dis_v1": 0, "warp_ssim_dis_v1": 100}[name]
    (found,) = scored(name, black, black).values.values()
    assert found == pytest.approx(best, abs=1e-9)
    still = np.repeat(random_frames(1), 3, axis=0)
    (found,) = scored(name, still, still).values.values()
    assert found == pytest.approx(best, abs=1e-9)
    for edit, source in ((still[:1], still[:1]), (still, still[:2]), (still, black)):
        with pytest.raises(EvalError):
            scored(name, edit, source)


def test_motion_that_is_the_same_finds_itself_and_the_opposite_does_not() -> None:
    right = moving(2)
    same = scored("flow_motion_dis_v1", moving(2, seed=7), right).values
    assert same["motion_fidelity"] > 0.95
    assert same["still_share"] == 0
    left = scored("flow_motion_dis_v1", moving(-2, seed=7), right).values["motion_fidelity"]
    down = scored("flow_motion_dis_v1", moving(0, seed=7, down=2), right).values["motion_fidelity"]
    assert left < -0.9
    assert abs(down) < 0.3
    # A pause is a step of at most a quarter of a pixel; the speed does not count.
    faster = scored("flow_motion_dis_v1", moving(3, seed=7), right).values["motion_fidelity"]
    assert faster > 0.95


def test_a_clip_that_nothing_can_be_followed_through_is_no_failure() -> None:
    noise = random_frames(6)
    for name in ("flow_motion_dis_v1", "warp_error_dis_v1", "warp_ssim_dis_v1"):
        found = scored(name, noise, random_frames(6, seed=8))
        reasons = " ".join(found.reasons.values())
        assert found.values or "followed" in reasons, name
    found = scored("flow_motion_dis_v1", noise, moving(2, count=6))
    assert found.values == {}
    assert "can be followed through all 6 frames" in found.reasons["motion_fidelity"]


def test_an_edit_that_stands_still_has_no_fidelity_and_says_so() -> None:
    still = np.repeat(moving(0, count=1), 3, axis=0)
    found = scored("flow_motion_dis_v1", still, moving(2))
    assert found.values == {"still_share": 1}
    assert "no motion to compare" in found.reasons["motion_fidelity"]
    with pytest.raises(EvalError, match="it needs 2 frames"):
        scored("flow_motion_dis_v1", still[:1], still[:1])


def test_protocols_without_a_judge_ask_for_no_model() -> None:
    flows = ("warp_error_dis_v1", "warp_ssim_dis_v1", "flow_motion_dis_v1")
    assert all(get_protocol(name).judges == () for name in flows)
    assert all(get_protocol(name).reads_source for name in flows)
    assert get_protocol("fatezero_v1").judges == (CLIP,)
