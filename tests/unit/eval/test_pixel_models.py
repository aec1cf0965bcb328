"""LPIPS and RAFT: exactly the libraries' own networks, and the protocols that stand on them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import load_model, save_file
from torch import nn
from torchmetrics.functional.image.lpips import _LPIPS
from torchvision.models.optical_flow import raft_large

from eval.chaining import chain
from eval.errors import EncoderError, EvalError
from eval.judges import LPIPS, RAFT
from eval.motion import motion_fidelity
from eval.pixel_models import Lpips, Raft
from eval.protocols.evidence import Clip, Evidence, Judges
from eval.protocols.protocol import score
from eval.protocols.registry import get_protocol
from tests.random_models import build_lpips, build_raft
from tests.unit.eval.test_background_protocols import drawn, scored
from tests.unit.eval.test_protocol_files import moving, structural_similarity, visible, warped


@pytest.fixture(scope="module")
def lpips_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_lpips(tmp_path_factory.mktemp("judges") / "lpips")


@pytest.fixture(scope="module")
def raft_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_raft(tmp_path_factory.mktemp("judges") / "raft")


def lpips(folder: Path, batch_size: int = 2) -> Lpips:
    return Lpips(str(folder), revision=None, device="cpu", batch_size=batch_size)


def raft(folder: Path) -> Raft:
    return Raft(str(folder), revision=None, device="cpu")


def layers(
    net: Any, one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]
) -> list[npt.NDArray[np.float64]]:
    """Each layer's weighted squared differences of two images within [0, 1], in float64."""
    shift, scale = np.array([-0.030, -0.088, -0.188]), np.array([0.458, 0.448, 0.450])
    seen = []
    for image in (one, other):
        pixels = (2 * image - 1 - shift) / scale
        with torch.inference_mode():
            features = net.net(torch.from_numpy(pixels.transpose(2, 0, 1)[None]))
        seen.append([layer[0].numpy() for layer in features])
    found = []
    for head, a, b in zip(net.lins, *seen, strict=True):
        a, b = (x / np.sqrt(1e-8 + (x**2).sum(axis=0)) for x in (a, b))  # noqa: PLW2901
        weights = head.model[1].weight.detach().numpy()[0, :, 0, 0]
        found.append(np.tensordot(weights, (a - b) ** 2, axes=1))
    return found


def test_both_lpips_are_those_of_the_masked_images(lpips_folder: Path) -> None:
    source, edit, mask = drawn()
    mask[2] = True  # no background: left out
    net = _LPIPS(pretrained=False, pnet_rand=True, net="squeeze").double()
    load_model(net, lpips_folder / "model.safetensors")
    net.eval()
    within, whole = [], []
    for at in (0, 1):
        kept = ~mask[at]
        maps = layers(net, *(clip[at] / 255 * kept[..., None] for clip in (source, edit)))
        whole.append(sum(one.mean() for one in maps))
        sized = sum(
            nn.functional.interpolate(
                torch.from_numpy(one)[None, None], mask.shape[1:], mode="bilinear"
            )[0, 0].numpy()
            for one in maps
        )
        within.append(np.asarray(sized)[kept].mean())
    found = scored("background_lpips_v1", edit, source, mask, lpips=lpips(lpips_folder))
    assert found.values == {
        "lpips": pytest.approx(np.mean(within), rel=1e-4),
        "whole_lpips": pytest.approx(np.mean(whole), rel=1e-4),
    }
    one = scored("background_lpips_v1", edit, source, mask, lpips=lpips(lpips_folder, 1))
    assert one.values == pytest.approx(dict(found.values), rel=1e-5)


def test_lpips_of_degenerate_clips(lpips_folder: Path) -> None:
    source, edit, mask = drawn()
    judge = lpips(lpips_folder)
    same = scored("background_lpips_v1", source, source, mask, lpips=judge).values
    assert same == {"lpips": pytest.approx(0, abs=1e-7), "whole_lpips": pytest.approx(0, abs=1e-7)}
    inside = np.where(mask[..., None], 255 - edit, edit)
    values = [
        scored("background_lpips_v1", one, source, mask, lpips=judge) for one in (edit, inside)
    ]
    assert values[0] == values[1], "what is edited inside the mask does not count"
    bare = scored("background_lpips_v1", edit, source, None, lpips=judge)
    assert bare.values == {}
    assert "the video has no mask" in bare.reasons["lpips"]
    small = source[:, :16], edit[:, :16], mask[:, :16]
    with pytest.raises(EvalError, match="SqueezeNet needs at least 17"):
        scored("background_lpips_v1", small[1], small[0], small[2], lpips=judge)
    assert scored(
        "background_lpips_v1", edit[:, :17], source[:, :17], mask[:, :17], lpips=judge
    ).values.keys() == {"lpips", "whole_lpips"}


def flow_of(net: nn.Module, one: npt.NDArray[Any], other: npt.NDArray[Any]) -> Any:
    """torchvision's RAFT, as anyone would call it, on frames of 48×64 that are filled up."""
    padded = (np.pad(x, ((40, 40), (32, 32), (0, 0)), mode="edge") for x in (one, other))
    images = [torch.from_numpy(x / 255).permute(2, 0, 1)[None].float() * 2 - 1 for x in padded]
    with torch.inference_mode():
        found = net(*images)[-1][0, :, 40:88, 32:96]
    return found.permute(1, 2, 0).numpy()


def test_warps_stand_on_rafts_flow_of_the_source(raft_folder: Path) -> None:
    net = raft_large(weights=None, progress=False)
    load_model(net, raft_folder / "model.safetensors")
    net.eval()
    source, edit = moving(2), moving(1, seed=9)
    assert source.shape == (3, 48, 64, 3)
    errors, alike, judge = [], [], raft(raft_folder)
    flows = judge.flows(source)
    for at in range(2):
        there, back = (flow_of(net, source[a], source[b]) for a, b in ((at, at + 1), (at + 1, at)))
        np.testing.assert_allclose(flows.forward_THW2[at], there, atol=1e-4)
        np.testing.assert_allclose(flows.backward_THW2[at], back, atol=1e-4)
        assert np.abs(there - back).max() > 0.01, "the two ways differ"
        shown = visible(there, back)
        assert 0.1 < shown.mean() <= 1
        after, before = warped(edit[at + 1] / 255, there), edit[at] / 255
        errors.append(np.square(after - before)[shown].mean())
        seen = [np.where(shown[..., None], image, 0) for image in (after, before)]
        alike.append(100 * structural_similarity(seen[0], seen[1])[shown].mean())
    seen_by: list[int] = []

    class Counting(Raft):
        def flows(self, frames_FHWC: Any) -> Any:
            seen_by.append(len(frames_FHWC))
            return super().flows(frames_FHWC)

    judges = Judges(named={RAFT: Counting(str(raft_folder), revision=None, device="cpu")})
    evidence = Evidence(
        judges=judges,
        edit=Clip(lambda: edit, judges),
        prompt="a fish",
        source_clip=Clip(lambda: source, judges),
    )
    found = score(get_protocol("warp_error_v1"), evidence).values
    assert found == {"warp_error": pytest.approx(1000 * np.mean(errors), rel=1e-3)}
    found = score(get_protocol("warp_ssim_v1"), evidence).values
    assert found == {"warp_ssim": pytest.approx(np.mean(alike), abs=1e-2)}
    assert seen_by == [3], "the flow is made once, of the source"


def test_motion_stands_on_tracks_of_rafts_flow_of_both_clips(raft_folder: Path) -> None:
    source, edit = moving(2), moving(1, seed=9)
    judge = raft(raft_folder)
    edit_tracks, source_tracks = (
        chain(judge.flows(clip), spacing=3).tracks_NF2 for clip in (edit, source)
    )
    judges = Judges(named={RAFT: judge})
    evidence = Evidence(
        judges=judges,
        edit=Clip(lambda: edit, judges),
        prompt="a fish",
        source_clip=Clip(lambda: source, judges),
    )
    still = (np.linalg.norm(np.diff(edit_tracks, axis=1), axis=-1) <= 0.25).all(axis=1)
    assert score(get_protocol("flow_motion_v1"), evidence).values == {
        "motion_fidelity": motion_fidelity(edit_tracks, source_tracks, still=0.25).both,
        "still_share": still.mean(),
    }


@pytest.mark.parametrize("shape", [(2, 130, 20), (2, 8, 140)])
def test_frames_of_any_size_have_a_flow(raft_folder: Path, shape: tuple[int, int, int]) -> None:
    frames = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    flows = raft(raft_folder).flows(frames)
    assert flows.forward_THW2.shape == flows.backward_THW2.shape == (1, *shape[1:], 2)
    assert np.isfinite(flows.forward_THW2).all()
    with pytest.raises(EvalError, match="at least 2"):
        raft(raft_folder).flows(frames[:1])


def test_weights_that_are_not_the_networks_are_refused(
    lpips_folder: Path, raft_folder: Path, tmp_path: Path
) -> None:
    for load, whole, other in (
        (lpips, lpips_folder, raft_folder),
        (raft, raft_folder, lpips_folder),
    ):
        with pytest.raises(
            EncoderError, match=r"tensors are not there, and \d+ are not its own"
        ) as told:
            load(other)
        assert len(str(told.value)) < 600 + len(str(other))
        folder = tmp_path / whole.name
        shutil.copytree(whole, folder)
        file = folder / "model.safetensors"
        shutil.copy(file, folder / "other.safetensors")
        with pytest.raises(EncoderError, match="has 2 safetensors files"):
            load(folder)
        (folder / "other.safetensors").unlink()
        file.write_bytes(file.read_bytes()[:1000])
        with pytest.raises(EncoderError, match="check its files"):
            load(folder)
        file.rename(folder / "model.pth")
        with pytest.raises(EncoderError, match="pickled weights may run code"):
            load(folder)


def test_weights_that_are_no_numbers_are_refused(lpips_folder: Path, tmp_path: Path) -> None:
    net = _LPIPS(pretrained=False, pnet_rand=True, net="squeeze")
    load_model(net, lpips_folder / "model.safetensors")
    kept = {name: one.clone() for name, one in net.state_dict().items() if "lins." not in name}
    kept["lin3.model.1.weight"][0, 5] = float("nan")
    save_file(kept, tmp_path / "model.safetensors")
    with pytest.raises(EncoderError, match=r"lin3\.model\.1\.weight holds NaN"):
        lpips(tmp_path)


def test_they_are_no_judges_of_any_hub() -> None:
    for name in ("background_lpips_v1", "warp_error_v1", "warp_ssim_v1"):
        assert set(get_protocol(name).judges) <= {LPIPS, RAFT}
