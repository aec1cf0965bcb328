"""CLIP and DINOv2 through transformers: what they see, whatever the batch, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

from eval.errors import EncoderError, EvalError
from eval.judges import DINO_VITB8, DINOV2, JUDGES, OPENAI_CLIP, PICKSCORE, check_names
from eval.metrics import adjacent_consistency, frame_consistency
from eval.protocols.evidence import Clip, Evidence, Judges
from eval.protocols.protocol import Scores, score
from eval.protocols.registry import get_protocol
from eval.vision_models import ClipModel, DinoModel, ViTKeys
from tests.random_models import build_vit


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


@pytest.fixture(scope="module")
def vit_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_vit(tmp_path_factory.mktemp("judges") / "vit")


def vit(folder: Path, batch_size: int = 2) -> ViTKeys:
    return ViTKeys(str(folder), revision=None, device="cpu", batch_size=batch_size)


def keys_of(folder: Path, pixels: torch.Tensor) -> npt.NDArray[np.float64]:
    """The last layer's keys of one image (3, H, W) by the definition of a ViT, in float64."""
    w = {name: one.double() for name, one in load_file(folder / "model.safetensors").items()}

    def linear(name: str, x: torch.Tensor) -> torch.Tensor:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(name: str, x: torch.Tensor) -> torch.Tensor:
        weight, bias = w[f"{name}.weight"], w[f"{name}.bias"]
        return nn.functional.layer_norm(x, (32,), weight, bias, eps=1e-12)

    patches = "embeddings.patch_embeddings.projection"
    x = nn.functional.conv2d(pixels[None], w[f"{patches}.weight"], w[f"{patches}.bias"], stride=16)
    places = w["embeddings.position_embeddings"]
    if x.shape[2:] != (14, 14):
        grid = places[:, 1:].reshape(1, 14, 14, 32).permute(0, 3, 1, 2)
        grid = nn.functional.interpolate(grid, x.shape[2:], mode="bicubic")
        places = torch.cat([places[:, :1], grid.flatten(2).transpose(1, 2)], dim=1)
    x = (torch.cat([w["embeddings.cls_token"], x.flatten(2).transpose(1, 2)], dim=1) + places)[0]
    layer = "encoder.layer.0"
    before = norm(f"{layer}.layernorm_before", x)
    query, key, value = (
        linear(f"{layer}.attention.attention.{name}", before).reshape(-1, 4, 8).transpose(0, 1)
        for name in ("query", "key", "value")
    )
    seen = (query @ key.transpose(1, 2) / 8**0.5).softmax(dim=-1) @ value
    x = x + linear(f"{layer}.attention.output.dense", seen.transpose(0, 1).reshape(-1, 32))
    wide = linear(f"{layer}.intermediate.dense", norm(f"{layer}.layernorm_after", x))
    x = x + linear(f"{layer}.output.dense", nn.functional.gelu(wide))
    before = norm("encoder.layer.1.layernorm_before", x)
    found: npt.NDArray[np.float64] = linear(
        "encoder.layer.1.attention.attention.key", before
    ).numpy()
    return found


def prepared(frame: Any, *, unit: bool) -> torch.Tensor:
    """The shorter side to 224, antialiased, less ImageNet's mean."""
    pixels = torch.from_numpy(frame.copy()).double().permute(2, 0, 1)[None]
    height, width = frame.shape[:2]
    scale = 224 / min(height, width)
    size = (int(height * scale), int(width * scale))
    sized = nn.functional.interpolate(
        pixels / 255 if unit else pixels, size, mode="bilinear", antialias=True
    )
    mean, deviation = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).double()
    found: torch.Tensor = (sized[0] - mean[:, None, None]) / deviation[:, None, None]
    return found


def distance(source: npt.NDArray[np.float64], edit: npt.NDArray[np.float64]) -> float:
    cosines = []
    for keys in (source, edit):
        unit = keys / np.linalg.norm(keys, axis=1, keepdims=True)
        cosines.append(unit @ unit.T)
    return float(((cosines[0] - cosines[1]) ** 2).mean())


def structure(name: str, edit: Any, source: Any, judge: ViTKeys) -> Scores:
    judges = Judges(named={DINO_VITB8: judge})
    evidence = Evidence(
        judges=judges,
        edit=Clip(lambda: edit, judges),
        prompt="a fish",
        source_clip=Clip(lambda: source, judges),
    )
    return score(get_protocol(name), evidence)


@pytest.mark.parametrize(("height", "width"), [(40, 40), (40, 56)])
@pytest.mark.parametrize("name", ["structure_v1", "pnpinversion_structure_v1"])
def test_structure_is_of_the_last_layers_keys(
    vit_folder: Path, height: int, width: int, name: str
) -> None:
    source, edit = frames(3)[:, :height, :width], frames(3)[:, ::-1, :width][:, :height] // 2
    unit = name == "structure_v1"
    judge = vit(vit_folder)
    wanted = []
    for one, other in zip(source, edit, strict=True):
        keys = [keys_of(vit_folder, prepared(frame, unit=unit)) for frame in (one, other)]
        np.testing.assert_allclose(judge.see(one[None], unit=unit)[0], keys[0], atol=1e-3)
        wanted.append(distance(*keys))
    found = structure(name, edit, source, judge).values
    assert found == {"structure_distance": pytest.approx(1000 * np.mean(wanted), rel=1e-3)}
    assert structure(name, edit, source, vit(vit_folder, 32)).values == pytest.approx(
        dict(found), rel=1e-4
    )
    assert structure(name, source, source, judge).values["structure_distance"] == 0


def test_structure_of_degenerate_clips(vit_folder: Path) -> None:
    judge, source = vit(vit_folder), frames(2)
    for edit in (source[:1], source[:, :, :40]):
        with pytest.raises(EvalError, match="frames and tokens must be as many"):
            structure("structure_v1", edit, source, judge)
    black = np.zeros_like(source)
    assert structure("structure_v1", black, source, judge).values["structure_distance"] > 0
    long = np.zeros((1, 8, 8 * 70, 3), np.uint8)
    with pytest.raises(EvalError, match="560×8 pixels are too narrow for a patch"):
        structure("structure_v1", long, long, judge)


def test_a_vit_without_weights_of_its_own_is_refused(
    vit_folder: Path, tiny_judges: Path, tmp_path: Path
) -> None:
    with pytest.raises(EncoderError, match="is no ViTModel that can be loaded"):
        vit(tiny_judges / "dinov2")
    shutil.copytree(vit_folder, tmp_path / "vit")
    weights = tmp_path / "vit/model.safetensors"
    kept = load_file(weights)
    del kept["encoder.layer.1.attention.attention.key.bias"]
    save_file(kept, weights, metadata={"format": "pt"})
    with pytest.raises(EncoderError, match=r"1 of its tensors are not there, such as .*bias"):
        vit(tmp_path / "vit")
    weights.write_bytes(weights.read_bytes()[:500])
    with pytest.raises(EncoderError, match="is no ViTModel that can be loaded"):
        vit(tmp_path / "vit")
    weights.rename(tmp_path / "vit/pytorch_model.bin")
    with pytest.raises(EncoderError, match="pickled weights may run code"):
        vit(tmp_path / "vit")
