"""Each fault that makes results bad is named: planted one by one in what is otherwise sound."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from click.testing import CliRunner
from diffusers import DDIMScheduler
from transformers import CLIPTextModel

from components.cli.main import main
from components.config import JudgeConfig, RunConfig
from components.config.control import DepthConfig, MaskConfig
from components.doctor.clips import TrialSource, chosen_clip
from components.doctor.controls import controls
from components.doctor.finding import Finding
from components.doctor.machine import attention, devices, disks, dtype
from components.doctor.meaning import meaning
from components.doctor.models import base, judges, resolved
from components.doctor.place import place
from components.doctor.trial import TrialClip, drawn_clip, trial
from components.errors import UserError
from components.manifest.edits import VideoEntry
from components.manifest.load import Manifest
from components.records.revisions import resolve_revision
from components.storage import s3_client
from tav_model.config import ControlConfig, ModelConfig
from tav_model.load import BaseModel, load_base
from tests.random_controls import build_adapter, build_controlnet, build_sam2
from tests.runs import run_config, tiny_document
from tests.s3_answers import Answers, Request, s3_answers
from tests.unit.components.storage.test_s3_client import clean
from tests.unit.tav_model.test_tav_check import setting
from tinyworld.shipped import shipped_model

SCHEDULER = "scheduler/scheduler_config.json"


@pytest.fixture(scope="module")
def shipped() -> BaseModel:
    """A base that is sound."""
    return load_base(ModelConfig(base=str(shipped_model("base"))))


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    document = tiny_document(tmp_path, shipped_model("base").parent)
    return run_config(document | {"invert": {"steps": 5}, "tune": {"learning_rate": 6e-4}})


def named(findings: Iterator[Finding], check: str) -> Finding:
    (found,) = [one for one in findings if one.check.startswith(check)]
    return found


def test_a_text_encoder_of_another_model(shipped: BaseModel, config: RunConfig) -> None:
    """Of the same config and other weights: nothing but the prediction tells."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        other = CLIPTextModel(shipped.text_encoder.config).eval()
    found = list(meaning(dataclasses.replace(shipped, text_encoder=other), config))
    text = named(iter(found), "text encoder")
    assert text.level == "fail"
    assert "another model's than the UNet" in text.remedy
    assert "no proof" in text.remedy
    assert named(iter(found), "VAE").level == "ok"
    assert named(iter(found), "noise schedule").level == "ok"


@pytest.mark.parametrize("model_type", ["linear", "v_prediction"])
def test_a_scheduler_that_was_overridden(
    shipped: BaseModel, config: RunConfig, model_type: str
) -> None:
    changes: dict[str, Any] = {"prediction_type": "v_prediction"}
    if model_type == "linear":
        changes = {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02}
    other = DDIMScheduler.from_config({**shipped.scheduler.config, **changes})
    found = meaning(dataclasses.replace(shipped, scheduler=other), config)
    told = named(found, "noise schedule")
    assert told.level == "fail"
    assert "scheduler was overridden" in told.remedy
    assert "under Stable Diffusion's betas and epsilon" in told.found


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"beta_schedule": "linear"}, "beta_schedule=linear (there scaled_linear)"),
        ({"beta_end": 0.02}, "beta_end=0.02 (there 0.012)"),
        ({"timestep_spacing": "trailing"}, "timestep_spacing=trailing (there leading)"),
        ({"set_alpha_to_one": True}, "set_alpha_to_one=true (there false)"),
        ({"_class_name": "PNDMScheduler"}, "model_index.json names DDIMScheduler, the file PNDM"),
    ],
)
def test_what_a_schedule_says_other_than_stable_diffusions(
    config: RunConfig, tmp_path: Path, tiny_models: Path, changes: dict[str, Any], words: str
) -> None:
    folder = Path(shutil.copytree(tiny_models / "base", tmp_path / "base"))
    assert {one.level for one in of_base(config, folder)} == {"ok"}
    setting(SCHEDULER, **changes)(folder)
    told = [one for one in of_base(config, folder) if one.level == "warn"]
    assert [one for one in told if words in one.found]
    assert all("overridden" in one.remedy for one in told)


def of_base(config: RunConfig, folder: Path) -> list[Finding]:
    model = dataclasses.replace(config.model, base=str(folder))
    revisions = {"model.base": resolve_revision(str(folder))}
    return list(base(dataclasses.replace(config, model=model), revisions))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (setting("text_encoder/config.json", hidden_size=64), "of different models"),
        (setting("unet/config.json", in_channels=9), "inpainting"),
        (setting("scheduler/scheduler_config.json", _class_name="LCMScheduler"), "LCMScheduler"),
        (lambda folder: shutil.rmtree(folder / "tokenizer"), "tokenizer_config.json"),
    ],
)
def test_a_base_of_parts_that_do_not_fit(
    config: RunConfig, tmp_path: Path, tiny_models: Path, change: Any, words: str
) -> None:
    folder = Path(shutil.copytree(tiny_models / "base", tmp_path / "base"))
    change(folder)
    (told,) = of_base(config, folder)
    assert told.level == "fail"
    assert words in told.found


def test_a_clip_whose_inversion_does_not_come_back(shipped: BaseModel, config: RunConfig) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    clip = TrialClip(name="clip noise", frames=noise, prompt="noise")
    told = named(trial(shipped, config, clip), "inversion")
    assert told.level == "fail"
    assert told.found.startswith("does not come back: clip noise")


def test_a_learning_rate_that_unlearns(shipped: BaseModel, config: RunConfig) -> None:
    high = dataclasses.replace(config, tune=dataclasses.replace(config.tune, learning_rate=0.1))
    found = list(trial(shipped, high, drawn_clip(high)))
    tuning = named(iter(found), "tuning, 10 steps")
    assert (tuning.level, tuning.remedy) == ("fail", "it unlearns: lower tune.learning_rate")
    inversion = named(iter(found), "inversion")
    assert inversion.level == "fail"
    assert "lower tune.learning_rate" in inversion.remedy


def test_a_vae_that_gives_black_frames(shipped: BaseModel, config: RunConfig) -> None:
    config = dataclasses.replace(config, tune=dataclasses.replace(config.tune, steps=1))
    black = load_base(shipped.config)
    with torch.no_grad():
        black.vae.decoder.conv_out.weight.zero_()
        black.vae.decoder.conv_out.bias.fill_(-1)
    found = list(trial(black, config, drawn_clip(config)))
    told = named(iter(found), "sampling")
    assert told.level == "fail"
    assert "of 4 frames 4 black, 4 constant" in told.found
    assert next(meaning(black, config)).level == "fail"


def test_dtype_device_and_attention(config: RunConfig) -> None:
    def model(**changes: Any) -> RunConfig:
        return dataclasses.replace(config, model=dataclasses.replace(config.model, **changes))

    assert dtype(config).level == "ok"
    half = dtype(model(dtype="fp16"))
    assert (half.level, half.check) == ("fail", "model.dtype=fp16")
    assert "fp16 on the CPU" in half.found
    assert attention(config).level == "ok"
    assert attention(model(attention_backend="flsh")).level == "fail"
    if not torch.cuda.is_available():
        (told, *_) = devices(model(device="cuda:7"))
        assert told.level == "fail"
        assert "Set model.device=cpu" in told.found


def test_the_hub_cannot_be_reached() -> None:
    told, revision = resolved(("owner/nobody-has-this", None), "model.base")
    assert (told.topic, told.level, revision) == ("hub", "fail", None)
    assert "HF_HUB_OFFLINE is set" in told.found
    assert "download it first" in told.found


def test_too_small_a_disk(config: RunConfig, tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    assert {one.level for one in disks(config, {"the run": 1.0})} == {"ok"}
    told = next(one for one in disks(config, {"the run": 3.0 * free}) if one.level == "fail")
    assert "the run" in told.check
    assert "set run to another place" in told.remedy
    assert {one.level for one in disks(config, None)} == {"warn"}
    # What shares a disk shares its room.
    both = {"the run": 0.6 * free, "temporary files": 0.6 * free}
    assert any(one.level == "fail" for one in disks(config, both))


def test_a_folder_is_tried_and_left_as_it_was(config: RunConfig, tmp_path: Path) -> None:
    (told,) = place(config)
    assert told.level == "ok"
    assert not Path(config.run).exists()
    (tmp_path / "file").write_bytes(b"")
    (told,) = place(dataclasses.replace(config, run=str(tmp_path / "file" / "run")))
    assert told.level == "fail"


@pytest.mark.parametrize(
    ("status", "code", "methods", "words"),
    [
        (403, "InvalidAccessKeyId", "PUT GET", "check AWS_ACCESS_KEY_ID"),
        (403, "SignatureDoesNotMatch", "PUT GET", "check AWS_ACCESS_KEY_ID"),
        (404, "NoSuchBucket", "PUT GET", "check the bucket's name"),
        (403, "AccessDenied", "PUT", "lack the right"),
        (400, "ExpiredToken", "PUT GET", "expired"),
        (403, "RequestTimeTooSkewed", "PUT GET", "clock"),
        (403, "AccessDenied", "DELETE", "lack the right"),
    ],
)
def test_what_s3_refuses(
    config: RunConfig, tmp_path: Path, status: int, code: str, methods: str, words: str
) -> None:
    def refuse(request: Request) -> tuple[int, str] | None:
        return (status, code) if request.method in methods.split() else None

    with pytest.MonkeyPatch.context() as patch, s3_answers(Answers(refuse)) as answers:
        clean(patch, tmp_path)
        patch.setenv("AWS_ENDPOINT_URL_S3", answers.url)
        (told,) = place(dataclasses.replace(config, run="s3://bucket/run"))
    s3_client.connection.cache_clear()
    assert (told.topic, told.level) == ("S3", "fail")
    doing = "delete" if methods == "DELETE" else "write"
    assert told.check == f"{doing} an object"
    assert words in told.found


def test_a_clip_of_ones_own_needs_a_prompt(config: RunConfig, tiny_clips: Path) -> None:
    name = str(tiny_clips / "fish.mp4")
    with pytest.raises(UserError, match="give --prompt"):
        chosen_clip(TrialSource(name), config, None)
    clip = chosen_clip(TrialSource(name, "a red fish"), config, None)
    assert clip.frames.shape == (4, 64, 64, 3)


def test_judges_that_are_not_there_are_named(
    config: RunConfig, tmp_path: Path, tiny_judges: Path
) -> None:
    (tmp_path / "pickles").mkdir()
    (tmp_path / "pickles/raft.pth").write_bytes(b"pickled")
    models = {
        "dinov2": JudgeConfig(model=str(tiny_judges / "dinov2")),
        "openai_clip": JudgeConfig(model=str(tmp_path / "absent")),
        "raft": JudgeConfig(model=str(tmp_path / "pickles")),
    }
    names = ("v2vbench_v1", "warp_error_v1", "background_lpips_v1", "tav_paper_v1")
    score = dataclasses.replace(config.score, protocols=names, judges=models)
    told = {one.check: one for one in judges(dataclasses.replace(config, score=score))}
    fine = told.pop("score.judges.dinov2")
    assert (fine.level, "a folder, digest" in fine.found) == ("ok", True)
    assert {one.level for one in told.values()} == {"fail"}
    words = {one.check.partition(" ")[0].rpartition(".")[2]: one.found for one in told.values()}
    assert "is no folder here" in words["openai_clip"]
    assert "has no safetensors" in words["raft"]
    assert "HF_HUB_OFFLINE" in words["pickscore"]
    assert "set score.judges.lpips.model to a folder" in words["lpips"]
    assert list(judges(config)) == []


def tav(document: dict[str, Any], *words: str) -> tuple[int, str]:
    path = Path(document["manifest"]).with_name("run.yaml")
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    result = CliRunner().invoke(main, ["doctor", "--config", str(path), *words])
    assert isinstance(result.exception, SystemExit | None), result.exception
    return result.exit_code, result.output


def test_the_command_finds_the_tiny_world_sound_and_random_weights_not(
    tmp_path: Path, tiny_models: Path, tiny_clips: Path
) -> None:
    document = tiny_document(tmp_path, tiny_models)
    video = {"id": "fish", "uri": str(tiny_clips / "fish.mp4"), "prompt": "a red fish"}
    Path(document["manifest"]).write_text(yaml.safe_dump({"videos": [video]}), encoding="utf-8")
    code, output = tav(document, "--json")
    told = json.loads(output)
    assert (code, told["ok"]) == (1, False)
    wrong = {one["check"] for one in told["findings"] if one["level"] == "fail"}
    assert {"text encoder", "VAE there and back", "noise schedule"} <= wrong
    document |= {"model": {"base": "tinyworld"}, "invert": {"steps": 10}}
    code, output = tav(document, "--clip", "fish")
    assert code == 0, output
    assert "clip fish comes back with" in output
    assert "all is well" in output
    assert not Path(document["run"]).exists()


def test_nets_and_makers_of_maps_are_tried(
    config: RunConfig, tiny_models: Path, tmp_path: Path
) -> None:
    base = load_base(ModelConfig(base=str(tiny_models / "base")))
    adapter = build_adapter(tmp_path / "adapter", tiny_models / "base", seed=1)
    good = ControlConfig(kind="t2i_adapter", model=str(adapter), map="canny")
    whole = build_controlnet(tmp_path / "net", tiny_models / "base", seed=2)
    fitting = ControlConfig(kind="controlnet", model=str(whole), map="mask")
    torn = shutil.copytree(whole, tmp_path / "torn")
    (torn / "diffusion_pytorch_model.safetensors").write_bytes(b"torn")
    damaged = dataclasses.replace(fitting, model=str(torn), map="depth")
    section = dataclasses.replace(
        config.control,
        nets=(good, fitting, damaged),
        mask=MaskConfig(model=str(build_sam2(tmp_path / "sam2"))),
        depth=DepthConfig(model=str(tmp_path / "gone")),
    )
    asked = dataclasses.replace(config, control=section)
    entry = VideoEntry(video_id="v", uri="/v.mp4", prompt="a fish")
    manifest = Manifest(name="m", videos=(entry,))
    frames = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3)).astype(np.uint8)
    found = {one.check: one for one in controls(base, asked, frames, manifest, {})}
    assert {check: one.level for check, one in found.items()} == {
        f"net {adapter}": "ok",
        f"net {whole}": "ok",
        f"net {torn}": "fail",
        "maps: mask": "ok",
        "maps: depth": "fail",
    }
    assert found[f"net {adapter}"].found == "t2i_adapter, loads and fits the base"
