"""Measures against values recorded from the official code (see the folder's README.md)."""

import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from eval.background import background_psnr, whole_psnr, whole_ssim
from eval.errors import EvalError
from eval.judges import DINO_VITB8, DINOV2, OPENAI_CLIP, PICKSCORE
from eval.metrics import (
    adjacent_consistency,
    frame_accuracy,
    frame_consistency,
    scaled_alignment,
)
from eval.motion import motion_fidelity, motion_fidelity_dmt, similarity
from eval.protocols.evidence import Clip, Evidence, Judges
from eval.protocols.protocol import score
from eval.protocols.registry import get_protocol
from eval.structure import structure_distance
from eval.vision_models import ClipModel, DinoModel, ViTKeys
from eval.warping import Flows, occluded, warp_error, warp_error_lai, warped_pairs
from tests.parity.measures import (
    Frames,
    GoldenLoveu,
    GoldenMeasures,
    dino_pooled,
    read_frames,
    vit_of_dino,
)


def test_loveu(loveu_golden: GoldenLoveu) -> None:
    for value in loveu_golden.values:
        frames = loveu_golden.clip.frames(loveu_golden.frames(value["video"]))
        text = loveu_golden.clip.text(value["prompt"])
        aligned = scaled_alignment(frames, text, loveu_golden.clip.scale)
        assert frame_consistency(frames) == pytest.approx(value["frame_consistency"], abs=1e-4)
        assert aligned == pytest.approx(value["textual_alignment"], abs=1e-4)
        assert aligned == pytest.approx(value["pick_score"], abs=1e-4)


def test_the_protocol_is_loveus(loveu_golden: GoldenLoveu) -> None:
    model = ClipModel(str(loveu_golden.folder / "clip"), revision=None, device="cpu", batch_size=3)
    judges = Judges(named={OPENAI_CLIP: model, PICKSCORE: model})
    for value in loveu_golden.values:
        # Read as they are: the protocol resizes them.
        frames = read_frames(loveu_golden.folder / "frames" / value["video"])
        evidence = Evidence(
            judges=judges, edit=Clip(partial(identity, frames), judges), prompt=value["prompt"]
        )
        found = score(get_protocol("loveu_tgve_v1"), evidence).values
        for name in ("frame_consistency", "textual_alignment", "pick_score"):
            assert found[name] == pytest.approx(value[name], abs=1e-4), value["video"]


def identity(frames: Frames) -> Frames:
    return frames


def test_the_protocol_is_v2vbenchs(measures_golden: GoldenMeasures) -> None:
    folder = measures_golden.folder
    model = ClipModel(
        str(folder.parent / "metrics/clip"), revision=None, device="cpu", batch_size=3
    )
    dino = DinoModel(str(folder / "dinov2"), revision=None, device="cpu", batch_size=3)
    judges = Judges(named={OPENAI_CLIP: model, PICKSCORE: model, DINOV2: dino})

    def found(case: dict[str, Any], prompt: str) -> Mapping[str, float]:
        frames = v2vbench_frames(measures_golden, case)
        edit = Clip(partial(identity, frames), judges)
        evidence = Evidence(judges=judges, edit=edit, prompt=prompt)
        return score(get_protocol("v2vbench_v1"), evidence).values

    for case in measures_golden.expected["v2vbench"]["consistency"]:
        for name in ("clip_consistency", "dino_consistency"):
            assert found(case, "a fish")[name] == pytest.approx(case[name], rel=1e-5)
    for case in measures_golden.expected["v2vbench"]["text"]:
        values = found(case, case["prompt"])
        assert values["textual_alignment"] == pytest.approx(case["clip_text_alignment"], abs=1e-3)
        assert values["pick_score"] == pytest.approx(case["pick_score"], abs=1e-3)


def test_v2vbench_consistency(measures_golden: GoldenMeasures) -> None:
    for case in measures_golden.expected["v2vbench"]["consistency"]:
        frames = list(v2vbench_frames(measures_golden, case))
        found = {
            "clip_consistency": measures_golden.clip.pooled(frames),
            "dino_consistency": dino_pooled(measures_golden.folder / "dinov2", frames),
            "dino_consistency_interp": dino_pooled(
                measures_golden.folder / "dinov2_interp", frames
            ),
        }
        for name, embedded in found.items():
            # The position embeddings' interpolation differs between versions of transformers.
            near = 1e-2 if name.endswith("interp") else 1e-5
            value = adjacent_consistency(embedded, clamped=True)
            assert value == pytest.approx(case[name], rel=near), (case["video"], name)


def v2vbench_frames(golden: GoldenMeasures, case: dict[str, Any]) -> Frames:
    if case["video"] != "three":
        return golden.frames(case["frames"], case["video"])
    car, man = (golden.frames("source", video)[0] for video in ("car-turn", "man-skiing"))
    return np.stack([car, 255 - car, man])


def test_v2vbench_text(measures_golden: GoldenMeasures) -> None:
    for case in measures_golden.expected["v2vbench"]["text"]:
        frames = measures_golden.clip.frames(
            list(measures_golden.frames(case["frames"], case["video"]))
        )
        text = measures_golden.clip.text(case["prompt"])
        value = scaled_alignment(frames, text, measures_golden.clip.scale)
        assert value == pytest.approx(case["clip_text_alignment"], abs=1e-3)
        assert value == pytest.approx(case["pick_score"], abs=1e-3)


def test_warp_error(measures_golden: GoldenMeasures) -> None:
    for case in measures_golden.expected["warp_error"]:
        frames = measures_golden.frames(case["frames"], case["video"])[case["frame_indices"]]
        size = frames.shape[1:3]
        ways = [
            np.stack([measures_golden.flow(pair, way, size) for pair in case["flows"]])
            for way in ("fw", "bw")
        ]
        flows = Flows(forward_THW2=ways[0], backward_THW2=ways[1])
        pairs = warped_pairs(frames, flows)
        for pair, mask, forward, backward in zip(pairs, case["masks"], *ways, strict=True):
            unlike = occluded(forward, backward) ^ measures_golden.mask(mask.split("/")[1])
            assert unlike.sum() <= 3, (case["case"], mask)
            assert (pair.error is None) == (pair.occluded == unlike.size)
        errors = [pair.error or 0 for pair in pairs]
        assert errors == pytest.approx(case["pair_errors"], rel=1e-5), case["case"]
        assert warp_error_lai(pairs) == pytest.approx(case["video_error"], rel=1e-5)
        seen = [error for error, pair in zip(errors, pairs, strict=True) if pair.error is not None]
        if seen:
            assert warp_error(pairs) == pytest.approx(np.mean(seen), rel=1e-12)
        else:
            with pytest.raises(EvalError, match="no pixel"):
                warp_error(pairs)


def test_motion_fidelity(measures_golden: GoldenMeasures) -> None:
    tracks = np.load(measures_golden.folder / "tracks.npz")
    for case in measures_golden.expected["motion_fidelity"]:
        edit, source = tracks[case["edit"]], tracks[case["original"]]
        recorded = np.array(case["similarity_matrix"], np.float64)
        known = np.isfinite(recorded)
        np.testing.assert_allclose(
            similarity(edit, source)[known], recorded[known], rtol=1e-5, atol=1e-6
        )
        score = float(case.get("average_score", "nan"))
        if math.isnan(score):
            with pytest.raises(EvalError, match=r"stand still|as many"):
                motion_fidelity_dmt(edit, source)
            ours = motion_fidelity(edit, source)
            assert -1 <= ours.edit_to_source <= 1
            assert -1 <= ours.source_to_edit <= 1
        else:
            assert motion_fidelity_dmt(edit, source) == pytest.approx(score, rel=1e-5, abs=1e-6)
        if case["edit"] == case["original"]:
            assert motion_fidelity(edit, source).both == pytest.approx(1)


def test_background_and_structure(measures_golden: GoldenMeasures) -> None:
    cases = measures_golden.expected["pie_bench"]["cases"]
    for case in cases:
        source, edit, edited = pie_case(measures_golden, case)
        values = case["values"]
        parts = {"": np.ones_like(edited), "_unedit_part": ~edited, "_edit_part": edited}
        for part, kept in parts.items():
            if values[f"psnr{part}"] == "nan":
                with pytest.raises(EvalError, match="no background"):
                    whole_psnr(source[None], edit[None], kept[None])
                continue
            images = source[None], edit[None], kept[None]
            if values[f"psnr{part}"] == "inf":
                for psnr in (whole_psnr, background_psnr):
                    with pytest.raises(EvalError, match="infinite"):
                        psnr(*images)
            else:
                assert whole_psnr(*images) == pytest.approx(values[f"psnr{part}"], rel=1e-5)
            assert whole_ssim(*images) == pytest.approx(values[f"ssim{part}"], abs=2e-4)
            keys = [
                measures_golden.keys(image * kept[..., None].astype(np.uint8))[None]
                for image in (source, edit)
            ]
            distance = structure_distance(*keys)
            wanted = values[f"structure_distance{part}"]
            assert distance == pytest.approx(wanted, rel=1e-3, abs=1e-12), (case, part)


def test_the_protocol_is_pnpinversions(measures_golden: GoldenMeasures, tmp_path: Path) -> None:
    vit_of_dino(measures_golden.folder / "dino_vit", tmp_path)
    judge = ViTKeys(str(tmp_path), revision=None, device="cpu", batch_size=2)
    judges = Judges(named={DINO_VITB8: judge})
    for case in measures_golden.expected["pie_bench"]["cases"]:
        source, edit, _ = pie_case(measures_golden, case)
        evidence = Evidence(
            judges=judges,
            edit=Clip(partial(identity, edit[None]), judges),
            prompt="a fish",
            source_clip=Clip(partial(identity, source[None]), judges),
        )
        found = score(get_protocol("pnpinversion_structure_v1"), evidence).values
        # Grids that are not square have their position embeddings interpolated otherwise there.
        near = 1e-3 if source.shape[0] == source.shape[1] else 2e-2
        wanted = 1000 * case["values"]["structure_distance"]
        distance = found["structure_distance"]
        assert distance == pytest.approx(wanted, rel=near, abs=1e-9), case


def pie_case(golden: GoldenMeasures, case: dict[str, Any]) -> tuple[Frames, Frames, Any]:
    """Source, edit, and where it was edited."""
    frame = case["frame"]
    source = golden.frames("source", case["video"])[frame]
    edit = golden.frames("edit", case["video"])[frame]
    mask = golden.mask(f"pie_{case['mask']}.png")
    if case["special"] == "square":
        return source[:, :120], edit[:, :120], mask[:, :120]
    if case["special"] == "same":
        return source, source, mask
    if case["special"] == "big":
        big = [
            np.asarray(Image.fromarray(image).resize((512, 512), Image.Resampling.NEAREST))
            for image in (source, edit, mask.astype(np.uint8))
        ]
        return big[0], big[1], big[2] > 0
    return source, edit, mask


def test_edit_success(measures_golden: GoldenMeasures) -> None:
    for case in measures_golden.expected["editboard"]["success_rate"]:
        frames = editboard_frames(measures_golden, case)
        embedded = measures_golden.clip.frames(frames)
        target = measures_golden.clip.text(case["target_prompt"])
        source = measures_golden.clip.text(case["source_prompt"])
        rate = frame_accuracy(embedded, source, target, ties=True)
        assert rate == pytest.approx(case["success_rate"], abs=1e-12)
        cosines = [scaled_alignment(frame[None], target, 1) for frame in embedded]
        assert cosines == pytest.approx(case["cosine"], abs=1e-5)


def editboard_frames(golden: GoldenMeasures, case: dict[str, Any]) -> list[Frames]:
    if case["video"] == "mixed":
        frames = []
        for video in ("car-turn", "man-skiing"):
            source, edit = (golden.frames(kind, video) for kind in ("source", "edit"))
            frames += [source[0], edit[0], 255 - source[0], edit[5], 255 - edit[5]]
        return frames
    found = list(golden.frames(case["frames"], case["video"]))
    # A frame taller than wide is cropped to its bottom square there.
    return [frame[max(0, len(frame) - frame.shape[1]) :] for frame in found]
