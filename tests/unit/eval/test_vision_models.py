"""CLIP and DINOv2 through transformers: what they see, whatever the batch, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from eval.errors import EncoderError, EvalError
from eval.judges import DINOV2, JUDGES, OPENAI_CLIP, PICKSCORE, check_names
from eval.metrics import adjacent_consistency, frame_consistency
from eval.protocols.evidence import Clip, Evidence, Judges
from eval.protocols.protocol import Scores, score
from eval.protocols.registry import get_protocol
from eval.vision_models import ClipModel, DinoModel


def frames(count: int = 5) -> Any:
    return np.random.default_rng(3).integers(0, 256, (count, 40, 56, 3), dtype=np.uint8)


def clip(folder: Path, batch_size: int = 2) -> ClipModel:
    return ClipModel(str(folder / "clip"), revision=None, device="cpu", batch_size=batch_size)


def dino(folder: Path, batch_size: int = 2) -> DinoModel:
    return DinoModel(str(folder / "dinov2"), revision=None, device="cpu", batch_size=batch_size)


def test_what_is_seen_does_not_depend_on_the_batch(tiny_judges: Path) -> None:
    small, large = clip(tiny_judges).see(frames()), clip(tiny_judges, 32).see(frames())
    assert (small.projected_FD.shape, small.pooled_FD.shape) == ((5, 16), (5, 32))
    for one, other in zip(small, large, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    assert dino(tiny_judges).see(frames()).shape == (5, 32)
    np.testing.assert_allclose(
        dino(tiny_judges).see(frames()), dino(tiny_judges, 32).see(frames()), atol=1e-5
    )


def test_a_long_prompt_is_an_error_or_is_cut(tiny_judges: Path) -> None:
    model, long = clip(tiny_judges), "a red fish " * 60
    assert model.read("a red fish", cut=False).shape == (16,)
    with pytest.raises(EvalError, match="reads 77: shorten the prompt"):
        model.read(long, cut=False)
    np.testing.assert_allclose(model.read(long, cut=True), model.read(f"{long} star", cut=True))
    for cut in (True, False):
        with pytest.raises(EvalError, match="prompt is empty"):
            model.read("  ", cut=cut)


def test_pickled_weights_and_other_models_are_refused(tiny_judges: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_judges / "clip", tmp_path / "clip")
    weights = tmp_path / "clip/model.safetensors"
    weights.rename(weights.with_name("pytorch_model.bin"))
    with pytest.raises(EncoderError, match="has no safetensors: pickled weights may run code"):
        clip(tmp_path)
    with pytest.raises(EncoderError, match="is no Dinov2Model"):
        DinoModel(str(tiny_judges / "clip"), revision=None, device="cpu", batch_size=1)
    shutil.copytree(tiny_judges / "dinov2", tmp_path / "dinov2")
    (tmp_path / "dinov2/config.json").write_text("{", encoding="utf-8")
    with pytest.raises(EncoderError, match="check its files"):
        dino(tmp_path)


def test_a_judge_that_there_is_not_names_the_nearest() -> None:
    check_names(JUDGES)
    with pytest.raises(ValueError, match="no judge is called 'pickscor': did you mean 'pickscore'"):
        check_names(["pickscor"])


def scored(folder: Path, name: str, edit: Any, prompt: str = "a red fish") -> Scores:
    named = {OPENAI_CLIP: clip(folder), PICKSCORE: clip(folder), DINOV2: dino(folder)}
    judges = Judges(named=named)
    evidence = Evidence(judges=judges, edit=Clip(lambda: edit, judges), prompt=prompt)
    return score(get_protocol(name), evidence)


def aligned(model: ClipModel, seen: Any, prompt: str) -> float:
    """The scale times the mean cosine, in float64."""
    text = model.read(prompt, cut=True).astype(np.float64)
    rows = seen.astype(np.float64)
    cosines = rows @ text / np.linalg.norm(rows, axis=1) / np.linalg.norm(text)
    return model.scale * float(cosines.mean())


def test_loveu_is_all_pairs_at_480_and_scaled_cosines(tiny_judges: Path) -> None:
    model = clip(tiny_judges)
    sized = [np.asarray(Image.fromarray(one).resize((480, 480))) for one in frames()]
    seen = model.see(np.stack(sized)).projected_FD
    expected = aligned(model, seen, "a red fish")
    assert scored(tiny_judges, "loveu_tgve_v1", frames()).values == {
        "frame_consistency": pytest.approx(frame_consistency(seen), abs=1e-4),
        "textual_alignment": pytest.approx(expected, abs=1e-4),
        "pick_score": pytest.approx(expected, abs=1e-4),
    }


def test_v2vbench_is_neighbours_before_the_projection_and_dinos(tiny_judges: Path) -> None:
    model = clip(tiny_judges)
    seen = model.see(frames())
    expected = aligned(model, seen.projected_FD, "a red fish")
    pooled = dino(tiny_judges).see(frames())
    assert scored(tiny_judges, "v2vbench_v1", frames()).values == {
        "clip_consistency": pytest.approx(adjacent_consistency(seen.pooled_FD, clamped=True)),
        "dino_consistency": pytest.approx(adjacent_consistency(pooled, clamped=True)),
        "textual_alignment": pytest.approx(expected, abs=1e-4),
        "pick_score": pytest.approx(expected, abs=1e-4),
    }


def test_degenerate_clips_and_prompts_null_what_they_must(tiny_judges: Path) -> None:
    one = scored(tiny_judges, "loveu_tgve_v1", frames(1))
    assert one.values.keys() == {"textual_alignment", "pick_score"}
    long = "a red fish " * 60
    assert scored(tiny_judges, "loveu_tgve_v1", frames(), long).values.keys() == {
        "frame_consistency"
    }
    assert len(scored(tiny_judges, "v2vbench_v1", frames(), long).values) == 4
    black = np.zeros((3, 40, 56, 3), np.uint8)
    found = scored(tiny_judges, "v2vbench_v1", black).values
    assert found["clip_consistency"] == pytest.approx(1)
    assert found["dino_consistency"] == pytest.approx(1)
