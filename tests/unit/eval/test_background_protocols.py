"""Background kept, as its protocols give it: from the definition, and where there is no mask."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.ndimage import gaussian_filter

from eval.errors import EvalError
from eval.protocols.evidence import Clip, Evidence, Judges
from eval.protocols.protocol import Scores, score
from eval.protocols.registry import PROTOCOLS, get_protocol

Frames = npt.NDArray[np.uint8]
Masks = npt.NDArray[np.bool_]
F, H, W = 3, 40, 56


def drawn(seed: int = 0) -> tuple[Frames, Frames, Masks]:
    """Source, edit and mask of a clip."""
    rng = np.random.default_rng(seed)
    source = rng.integers(0, 256, (F, H, W, 3), dtype=np.uint8)
    noise = rng.integers(-40, 40, source.shape)
    edit = np.clip(source.astype(np.int64) + noise, 0, 255).astype(np.uint8)
    mask = np.zeros((F, H, W), bool)
    for at in range(F):
        mask[at, 5 + at : 20, 10 : 30 + at] = True
    return source, edit, mask


def scored(name: str, edit: Frames, source: Frames, mask: Masks | None, **judges: Any) -> Scores:
    found = Judges(named=judges)
    evidence = Evidence(
        judges=found,
        edit=Clip(lambda: edit, found),
        prompt="a fish",
        source_clip=Clip(lambda: source, found, lambda: mask),
        source_prompt="a fish",
    )
    return score(get_protocol(name), evidence)


def decibels(error: float) -> float:
    return -10 * float(np.log10(error))


def similarity(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """SSIM about each pixel: Gaussian windows of 11 pixels, sigma 1.5, the colours' mean."""

    def mean(image: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        return np.asarray(gaussian_filter(image, (1.5, 1.5, 0), truncate=3.5, mode="mirror"))

    a, b = mean(one), mean(other)
    variances = mean(one**2) - a**2 + mean(other**2) - b**2
    covariance = mean(one * other) - a * b
    alike = (2 * a * b + 0.01**2) * (2 * covariance + 0.03**2)
    found = alike / ((a**2 + b**2 + 0.01**2) * (variances + 0.03**2))
    return np.asarray(found.mean(axis=-1))


@pytest.mark.parametrize("seed", [1, 2])
def test_both_aggregations_are_those_of_the_definitions(seed: int) -> None:
    source, edit, mask = drawn(seed)
    one, other = source / 255, edit / 255
    squares = np.square(one - other)
    whole_psnr, ssim, whole_ssim = [], [], []
    for at in range(F):
        kept = ~mask[at]
        whole_psnr.append(decibels((squares[at] * kept[..., None]).mean()))
        seen = (image[at] * kept[..., None] for image in (one, other))
        alike = similarity(*seen)
        ssim.append(alike[kept].mean())
        whole_ssim.append(alike.mean())
    found = scored("background_v1", edit, source, mask)
    assert found.reasons == {}
    assert found.values == {
        "psnr": pytest.approx(decibels(squares[~mask].mean()), rel=1e-9),
        "ssim": pytest.approx(np.mean(ssim), abs=1e-5),
        "whole_psnr": pytest.approx(np.mean(whole_psnr), rel=1e-9),
        "whole_ssim": pytest.approx(np.mean(whole_ssim), abs=1e-5),
    }
    assert found.values["whole_psnr"] > found.values["psnr"]


def test_what_is_edited_inside_the_mask_changes_nothing() -> None:
    source, edit, mask = drawn()
    other = np.where(mask[..., None], 255 - edit, edit)
    assert scored("background_v1", edit, source, mask) == scored(
        "background_v1", other, source, mask
    )


def test_a_video_without_a_mask_has_no_value_and_is_no_failure() -> None:
    source, edit, _ = drawn()
    found = scored("background_v1", edit, source, None)
    assert found.values == {}
    assert set(found.reasons) == {"psnr", "ssim", "whole_psnr", "whole_ssim"}
    assert all("the video has no mask" in reason for reason in found.reasons.values())


def test_a_background_that_is_equal_has_an_ssim_alone() -> None:
    source, edit, mask = drawn()
    kept = np.where(mask[..., None], edit, source)
    found = scored("background_v1", kept, source, mask)
    assert found.values == {"ssim": pytest.approx(1), "whole_ssim": pytest.approx(1)}
    assert "infinite" in found.reasons["psnr"]


def test_masks_of_another_size_are_a_fault() -> None:
    source, edit, mask = drawn()
    with pytest.raises(EvalError, match="frames and pixels must be as many"):
        scored("background_v1", edit, source, mask[:, :-1])
    everything = np.ones_like(mask)
    found = scored("background_v1", edit, source, everything)
    assert "no background" in found.reasons["psnr"]


def test_a_mask_is_read_once_for_all_measures_and_protocols() -> None:
    source, edit, mask = drawn()
    read = []

    def load() -> Masks:
        read.append(1)
        return mask

    judges = Judges()
    clip = Clip(lambda: source, judges, load)
    for _ in range(2):
        evidence = Evidence(
            judges=judges, edit=Clip(lambda: edit, judges), prompt="a fish", source_clip=clip
        )
        score(get_protocol("background_v1"), evidence)
    assert len(read) == 1


def test_who_reads_masks_reads_sources() -> None:
    masked = {name for name, one in PROTOCOLS.items() if one.reads_mask}
    assert masked >= {"background_v1"}
    assert all(PROTOCOLS[name].reads_source for name in masked)
