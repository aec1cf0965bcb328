"""CLIP as a guide: tinyworld's."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from eval.clip_encoder import ClipEncoder
from methods.clip import Clip
from methods.clip_config import check_config
from methods.edit_training import spherical_distance
from tav_model.errors import BaseModelError, PromptError
from tests.tiny_atlas import SCENE, drawn
from tinyworld.clips import CLIPS
from tinyworld.shipped import shipped_model

CPU = torch.device("cpu")
PROMPT = CLIPS[SCENE].caption()


@pytest.fixture(scope="module")
def folder() -> Path:
    return shipped_model("clip")


@pytest.fixture(scope="module")
def clip(folder: Path) -> Clip:
    return Clip(folder, CPU)


@pytest.fixture(scope="module")
def frame() -> torch.Tensor:
    return torch.from_numpy(drawn().frames[3]).permute(2, 0, 1) / 255


def test_texts_and_pictures_are_embedded_as_the_score_s_are(
    clip: Clip, folder: Path, frame: torch.Tensor
) -> None:
    judge = ClipEncoder(str(folder))
    text = clip.texts(PROMPT, ["{}", "a photo of {}"])
    expected = [judge.encode_text(one) for one in (PROMPT, f"a photo of {PROMPT}")]
    text = torch.nn.functional.normalize(text, dim=1)
    torch.testing.assert_close(text, torch.from_numpy(np.stack(expected)), atol=1e-5, rtol=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clip, "_views", lambda picture: picture)  # without augmentation
        seen = torch.nn.functional.normalize(clip.views([frame], 1)[0], dim=1)
    image = judge.encode_frames(drawn().frames[3:4])
    torch.testing.assert_close(seen, torch.from_numpy(image), atol=1e-4, rtol=0)


def test_views_differ_and_know_what_they_show(clip: Clip, frame: torch.Tensor) -> None:
    torch.manual_seed(0)
    (views,) = clip.views([frame], 8)
    assert len({tuple(view) for view in views.tolist()}) == 8
    own, other = (clip.texts(t, ["{}"]) for t in (PROMPT, "a yellow car over the sand"))
    assert float(spherical_distance(views, own)) < float(spherical_distance(views, other))
    torch.manual_seed(0)
    assert torch.equal(clip.views([frame], 8)[0], views)


def test_gradients_reach_the_picture(clip: Clip, frame: torch.Tensor) -> None:
    torch.manual_seed(0)
    picture = frame.clone().requires_grad_()
    seen = clip.views([picture], 6).sum() + clip.self_similarity([picture]).sum()
    torch.autograd.backward(seen)
    assert picture.grad is not None
    assert bool(picture.grad.isfinite().all())
    assert float(picture.grad.abs().sum()) > 0


def test_self_similarity_is_of_what_the_last_layer_is_given(
    clip: Clip, frame: torch.Tensor
) -> None:
    like, mirrored = clip.self_similarity([frame, frame.flip(-1)])
    assert not torch.allclose(like, mirrored, atol=1e-2)
    assert like.shape == (65, 65)
    torch.testing.assert_close(like.diagonal(), torch.ones(65))
    torch.testing.assert_close(like, like.T)
    model = clip._model.visual
    tokens = model._embeds(clip._normalize(frame)[None])
    for block in model.transformer.resblocks[:-1]:
        tokens = block(tokens)
    expected = torch.nn.functional.cosine_similarity(tokens[0][:, None], tokens[0][None], dim=-1)
    torch.testing.assert_close(like, expected, atol=1e-5, rtol=0)


def test_a_text_over_the_limit_is_refused_and_one_at_it_is_not(clip: Clip) -> None:
    clip.check(" ".join(["fish"] * 30))
    with pytest.raises(PromptError, match=r"33 tokens, CLIP reads 32.*Shorten"):
        clip.check(" ".join(["fish"] * 31))
    with pytest.raises(PromptError, match="CLIP reads 32"):
        clip.texts(" ".join(["fish"] * 30), ["{}", "a {}"])
    with pytest.raises(PromptError, match="is empty"):
        clip.check(" ")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"vision_cfg": {"timm_model_name": "convnext"}}, "timm_model_name='convnext'"),
        ({"vision_cfg": {"layers": [3, 4, 6, 3]}}, r"layers=\[3, 4, 6, 3\]"),
        ({"text_cfg": {"hf_model_name": "roberta-base"}}, "hf_model_name='roberta-base'"),
        ({"text_cfg": {"tokenizer_kwargs": {"bpe_path": "/etc/passwd"}}}, "bpe_path="),
        ({"text_cfg": {"hf_tokenizer_kwargs": {"trust_remote_code": True}}}, "trust_remote_code"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_models_are_refused_by_their_configs(
    folder: Path, tmp_path: Path, change: dict[str, dict[str, Any]], problem: str
) -> None:
    document = json.loads((folder / "open_clip_config.json").read_text())
    for name, values in change.items():
        document["model_cfg"][name] |= values
    (tmp_path / "open_clip_config.json").write_text(json.dumps(document))
    with pytest.raises(ValueError, match=rf"text2live\.clip '.*{problem}.*vision transformer"):
        check_config("text2live.clip", str(tmp_path), None)
    check_config("text2live.clip", str(folder), None)


@pytest.mark.parametrize("text", ["{}", '{"model_cfg": 3}', '{"model_cfg": {"vision_cfg": []}}'])
def test_a_config_of_nothing_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "open_clip_config.json").write_text(text)
    with pytest.raises(ValueError, match=r"open_clip_config\.json.*copy or"):
        check_config("text2live.clip", str(tmp_path), None)


def test_a_folder_without_a_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"cannot read open_clip_config\.json"):
        check_config("text2live.clip", str(tmp_path), None)


def test_pickles_and_pieces_are_refused(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "clip"))
    weights = copy / "open_clip_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BaseModelError, match="no whole safetensors file"):
        Clip(copy, CPU)
    weights.rename(copy / "open_clip_pytorch_model.bin")
    with pytest.raises(BaseModelError, match="pickles"):
        Clip(copy, CPU)
