import json
import shutil
from fnmatch import fnmatch
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from tav_model.config import ModelConfig
from tav_model.identity import base_identity, resolve_base, resolve_model
from tav_model.load import load_base
from tav_model.weights import weight_files

WEIGHTS = "diffusion_pytorch_model.safetensors"


def test_identity_is_of_the_content(base_folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    shutil.copytree(base_folder, copy)
    assert base_identity(copy) == base_identity(base_folder)
    (copy / "unet" / "config.json").write_text("{}")
    assert base_identity(copy) != base_identity(base_folder)


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "diffusion_pytorch_model.bin").touch()
    with pytest.raises(ValueError, match="pickles"):
        weight_files(tmp_path)


def test_fp16_variant_and_shards_load(base_folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "variant"
    shutil.copytree(base_folder, copy)
    for part, stem in (("vae", "diffusion_pytorch_model"), ("text_encoder", "model")):
        (copy / part / f"{stem}.safetensors").rename(copy / part / f"{stem}.fp16.safetensors")
    state = load_file(copy / "unet" / WEIGHTS)
    (copy / "unet" / WEIGHTS).unlink()
    names = [f"diffusion_pytorch_model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    keys = sorted(state)
    halves = (keys[::2], keys[1::2])
    for name, half in zip(names, halves, strict=True):
        save_file({k: state[k] for k in half}, copy / "unet" / name)
    index = {"weight_map": {k: n for n, half in zip(names, halves, strict=True) for k in half}}
    (copy / "unet" / f"{WEIGHTS}.index.json").write_text(json.dumps(index))
    base = load_base(ModelConfig(base=str(copy)))
    assert set(state) < set(base.unet.state_dict())


def test_resolve_base_refuses(base_folder: Path) -> None:
    assert resolve_base(str(base_folder)) == base_folder
    with pytest.raises(ValueError, match="no revision 'v1'"):
        resolve_base(str(base_folder), "v1")
    with pytest.raises(ValueError, match="neither an existing folder nor a hub id"):
        resolve_base("./not/there/at all")


def test_of_a_hub_model_its_own_config_words_and_safetensors_are_fetched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def fetched(_model: str, *, revision: str, allow_patterns: list[str]) -> str:
        asked.extend(allow_patterns)
        return revision

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetched)
    assert resolve_model("owner/clip", "main", {"": "open_clip_model"}) == Path("main")
    there = ["open_clip_config.json", "open_clip_model.safetensors", "tokenizer.json"]
    there += ["vocab.json", "merges.txt", "special_tokens_map.json"]
    gone = ["open_clip_pytorch_model.bin", "pytorch_model.bin", "model.safetensors", "code.py"]
    found = [name for name in there + gone if any(fnmatch(name, one) for one in asked)]
    assert found == there
