"""The CLIP encoder on a tiny open_clip model with random weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from eval.clip_encoder import CONFIG_NAME, WEIGHTS_NAME, ClipEncoder, checked_device
from eval.errors import EncoderError, EvalError


@pytest.fixture(scope="module")
def encoder(tiny_models: Path) -> ClipEncoder:
    return ClipEncoder(str(tiny_models / "clip"))


@pytest.fixture
def folder(tiny_models: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_models / "clip", tmp_path / "clip"))


def random_frames(count: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (count, 48, 64, 3), dtype=np.uint8)


def test_embeddings_are_unit_float32_and_batches_do_not_matter(encoder: ClipEncoder) -> None:
    frames = random_frames(5)
    embedded = encoder.encode_frames(frames)
    assert embedded.shape == (5, 32)
    assert embedded.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embedded, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(encoder.encode_frames(frames, 2), embedded, atol=1e-5)
    text = encoder.encode_text("a cat on a boat")
    assert text.shape == (32,)
    assert text.dtype == np.float32


def test_frames_and_prompts_are_told_apart(encoder: ClipEncoder) -> None:
    frames = encoder.encode_frames(random_frames(2))
    assert np.abs(frames[0] - frames[1]).max() > 1e-3
    assert np.abs(encoder.encode_text("a cat") - encoder.encode_text("a dog")).max() > 1e-3


def test_preprocessing_is_the_models_own(folder: Path) -> None:
    frames = random_frames(2)
    before = ClipEncoder(str(folder)).encode_frames(frames)
    document = json.loads((folder / CONFIG_NAME).read_text(encoding="utf-8"))
    document["preprocess_cfg"]["mean"] = [0.0, 0.0, 0.0]
    (folder / CONFIG_NAME).write_text(json.dumps(document), encoding="utf-8")
    after = ClipEncoder(str(folder)).encode_frames(frames)
    assert np.abs(after - before).max() > 1e-3


@pytest.mark.parametrize("words", [1, 74, 75])
def test_a_prompt_that_fits_is_read(encoder: ClipEncoder, words: int) -> None:
    assert np.isfinite(encoder.encode_text("cat " * words)).all()


@pytest.mark.parametrize(("words", "tokens"), [(76, 78), (77, 79), (300, 302)])
def test_a_prompt_over_the_limit_is_an_error(encoder: ClipEncoder, words: int, tokens: int) -> None:
    with pytest.raises(EvalError, match=f"takes {tokens} tokens .* reads 77: shorten the prompt"):
        encoder.encode_text("cat " * words)


def test_an_over_long_message_stays_short(encoder: ClipEncoder) -> None:
    with pytest.raises(EvalError) as caught:
        encoder.encode_text("cat " * 5000)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("prompt", ["", "  \n"])
def test_an_empty_prompt_is_an_error(encoder: ClipEncoder, prompt: str) -> None:
    with pytest.raises(EvalError, match="empty"):
        encoder.encode_text(prompt)


@pytest.mark.parametrize("prompt", ["🐈\u200d⬛ na\u0308ive 猫", "\x00\x1b[31m", "<|endoftext|>"])
def test_odd_prompts_are_read(encoder: ClipEncoder, prompt: str) -> None:
    assert np.isfinite(encoder.encode_text(prompt)).all()


def test_pickled_weights_are_refused(folder: Path) -> None:
    torch.save({}, folder / "open_clip_pytorch_model.bin")
    (folder / WEIGHTS_NAME).unlink()
    with pytest.raises(EncoderError, match=r"open_clip_pytorch_model\.bin may run code .* refused"):
        ClipEncoder(str(folder))


def test_safetensors_win_over_pickled_weights_beside_them(folder: Path) -> None:
    (folder / "open_clip_pytorch_model.bin").write_bytes(b"not even a pickle")
    assert ClipEncoder(str(folder)).encode_text("a cat").shape == (32,)


def test_remote_code_is_refused(folder: Path) -> None:
    document = json.loads((folder / CONFIG_NAME).read_text(encoding="utf-8"))
    document["model_cfg"]["text_cfg"]["tokenizer_kwargs"] = {"trust_remote_code": True}
    (folder / CONFIG_NAME).write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(EncoderError, match=r"trust_remote_code, .* refused"):
        ClipEncoder(str(folder))


@pytest.mark.parametrize("damage", [b"", b"{", b"\x08\0\0\0\0\0\0\0{}      "])
def test_damaged_weights_name_the_folder(folder: Path, damage: bytes) -> None:
    (folder / WEIGHTS_NAME).write_bytes(damage)
    with pytest.raises(EncoderError, match="no open_clip model that can be loaded"):
        ClipEncoder(str(folder))


def test_a_folder_that_is_no_model_says_what_lacks(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=f"no {CONFIG_NAME}"):
        ClipEncoder(str(tmp_path))
    with pytest.raises(EncoderError, match="no such folder"):
        ClipEncoder(str(tmp_path / "absent"))


def test_a_hub_model_that_cannot_be_fetched_is_named() -> None:
    # conftest.py keeps the tests off the network.
    with pytest.raises(EncoderError, match="cannot fetch hf-hub:nobody/nothing"):
        ClipEncoder("hf-hub:nobody/nothing")


@pytest.mark.parametrize("device", ["gpu", "cuda:9999"])
def test_a_device_that_is_not_there_is_an_error(device: str) -> None:
    with pytest.raises(EncoderError, match=r"score\.device is"):
        checked_device(device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is here")
def test_cuda_never_falls_back_to_cpu(tiny_models: Path) -> None:
    with pytest.raises(EncoderError, match="torch sees 0 CUDA"):
        ClipEncoder(str(tiny_models / "clip"), device="cuda")
