"""What LAVIS's process is told to load, and what is refused before it is asked."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from components.captioning.lavis import captioner
from components.captioning.lavis.captioner import LavisCaptioner
from components.config import CaptionConfig
from components.errors import UserError


def lavis(model: Path) -> CaptionConfig:
    return CaptionConfig(backend="lavis", model=str(model), max_new_tokens=8, prompt="a photo of ")


def test_it_is_told_all_that_transformers_would_use(tiny_models: Path, tmp_path: Path) -> None:
    model = tmp_path / "blip2"
    shutil.copytree(tiny_models / "blip2", model)
    document = json.loads((model / "config.json").read_text())
    for part, key in (("qformer", "cross_attention_frequency"), ("vision", "patch_size")):
        del document[f"{part}_config"][key]  # as in published files, which leave defaults out
    (model / "config.json").write_text(json.dumps(document))
    settings = captioner._settings(lavis(model), None)
    assert json.loads(json.dumps(settings)) == settings
    assert settings["weights"] == [str(model / "model.safetensors")]
    assert (settings["prompt"], settings["max_new_tokens"]) == ("a photo of ", 8)
    assert (settings["num_beams"], settings["length_penalty"]) == (5, 1.0)
    assert (settings["device"], settings["dtype"]) == ("cpu", "float32")
    assert settings["qformer"]["cross_attention_frequency"] == 2
    assert settings["vision"]["patch_size"] == 14
    assert settings["text"]["max_position_embeddings"] == 128
    assert settings["tokenizer"]["special"]["bos"] == "</s>"
    assert settings["tokenizer"]["added_tokens"][-1]["content"] == "<image>"


def test_weights_in_several_files_are_all_named(tiny_models: Path, tmp_path: Path) -> None:
    index = {"weight_map": {"a": "model-2.safetensors", "b": "model-1.safetensors"}}
    index["weight_map"]["c"] = "model-1.safetensors"
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    files = captioner._weights(lavis(tmp_path), None)
    assert files == [tmp_path / "model-1.safetensors", tmp_path / "model-2.safetensors"]


@pytest.mark.parametrize(
    ("file", "key", "value", "message"),
    [
        ("processor", "resample", 2, r"resampling is 2, but LAVIS can only 3"),
        (
            "processor",
            "size",
            {"height": 28, "width": 14},
            r"size is \(28, 14\), but .* \(28, 28\)",
        ),
        ("vision", "hidden_act", "relu", "activation is relu, but LAVIS can only gelu"),
    ],
)
def test_a_model_that_lavis_cannot_express_is_refused(
    tiny_models: Path, tmp_path: Path, file: str, key: str, value: object, message: str
) -> None:
    model = tmp_path / "blip2"
    shutil.copytree(tiny_models / "blip2", model)
    name, part = {
        "processor": ("processor_config.json", "image_processor"),
        "vision": ("config.json", "vision_config"),
    }[file]
    document = json.loads((model / name).read_text())
    document[part][key] = value
    (model / name).write_text(json.dumps(document))
    with pytest.raises(UserError, match=message + ".*set caption.backend=transformers"):
        captioner._settings(lavis(model), None)


def test_without_its_environment_nothing_is_loaded(tmp_path: Path) -> None:
    config = CaptionConfig(
        backend="lavis", model=str(tmp_path), lavis_python=str(tmp_path / "python")
    )
    with pytest.raises(UserError, match=r"python is missing|needs Python 3\.11"):
        LavisCaptioner(config)


def test_no_credentials_reach_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "RAY_AUTH_TOKEN", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.setenv(name, "x")
    found = captioner._environment()
    assert found["CUDA_VISIBLE_DEVICES"] == "x"
    assert found["PATH"] == os.environ["PATH"]
    assert not [name for name in found if "TOKEN" in name or "SECRET" in name]


@pytest.mark.parametrize(
    ("end", "told"),
    [("os.kill(os.getpid(), 9)", "SIGKILL"), ("sys.exit(7)", "exit code 7")],
)
def test_a_death_is_told_by_its_kind(end: str, told: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", f"import os, sys; {end}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert captioner._death(process) == told
    captioner._end(process)
