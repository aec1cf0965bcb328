"""What is wrong with a model is one message and exit code 1, at plan and at run, without Ray."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from click.testing import CliRunner, Result
from safetensors.torch import load_file, save_file

from components.captioning.blip2 import Blip2Captioner
from components.cli.main import main
from components.errors import UserError
from components.records.revisions import resolve_revision
from components.run.record import find_revisions
from components.run.runner import Runner
from components.steps.methods import Methods
from components.steps.step import StepContext
from tests.runs import run_config, tiny_document, tiny_videos
from tests.unit.tav_model.test_tav_check import KINDS as BASE_KINDS
from tests.unit.tav_model.test_tav_check import nan, setting, without

SCHEDULER = "base/scheduler/scheduler_config.json"


@pytest.fixture
def models(tiny_models: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_models, tmp_path / "models"))


@pytest.fixture
def document(models: Path, tiny_clips: Path, tmp_path: Path) -> dict[str, Any]:
    document = tiny_document(tmp_path, models)
    videos = {"videos": tiny_videos(tiny_clips)}
    Path(document["manifest"]).write_text(yaml.safe_dump(videos), encoding="utf-8")
    return document


def tav(command: str, document: dict[str, Any], *overrides: str) -> Result:
    path = Path(document["run"]).with_name("run.yaml")
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return CliRunner().invoke(main, [command, "--config", str(path), *overrides])


def refused(document: dict[str, Any], *overrides: str) -> str:
    """The message of both `tav plan` and `tav run`; nothing is computed and no Ray is started."""
    messages = []
    for command in ("plan", "run"):
        result = tav(command, document, *overrides)
        assert result.exit_code == 1, result.output
        assert isinstance(result.exception, SystemExit), result.exception
        assert "Traceback" not in result.output
        messages.append(result.stderr.partition("Error: ")[2])
    assert not ray.is_initialized()
    assert not list(Path(document["run"]).rglob("*.parquet"))
    assert messages[0] == messages[1]
    assert 0 < messages[0].count("\n") < 3
    return messages[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        *(
            BASE_KINDS[kind]
            for kind in ("no JSON", "inpainting", "SDXL", "no weights", "vae turned")
        ),
        *(BASE_KINDS[kind] for kind in ("unet lacks a tensor", "no merges", "text NaN", "spacing")),
        *(BASE_KINDS[kind] for kind in ("vae folder", "key missing", "key missing in text")),
    ],
)
def test_a_base_that_cannot_be_used(
    document: dict[str, Any], models: Path, change: Callable[[Path], Any], message: str
) -> None:
    change(models / "base")
    told = refused(document)
    assert re.search(message, told), told
    context = StepContext(config=run_config(document), config_hash="c")
    if change is not BASE_KINDS["text NaN"][0]:  # a worker that meets it where no driver looked
        with pytest.raises(UserError, match=message):
            Methods(context).of("tune_a_video")


@pytest.mark.parametrize(
    ("trained", "overrides", "message"),
    [
        (1000, ("invert.steps=501",), r"invert\.steps=501 .*1000 training steps.*500 or 900"),
        (1000, ("sample.steps=1000",), r"sample\.steps=1000 .*Set sample\.steps to 999"),
        (50, ("invert.steps=50",), r"invert\.steps=50 .*50 training steps.*to 49"),
        (50, ("sample.steps=51",), r"sample\.steps=51 .*50 training steps.*to 49"),
    ],
)
def test_steps_that_the_base_was_not_trained_for(
    document: dict[str, Any], models: Path, trained: int, overrides: tuple[str], message: str
) -> None:
    setting(SCHEDULER, num_train_timesteps=trained)(models)
    told = refused(document, *overrides)
    assert re.search(message, told), told


def renamed(folder: Path, old: str, new: str) -> None:
    (folder / old).rename(folder / new)


def cut(path: str) -> Callable[[Path], Any]:
    def change(folder: Path) -> None:
        data = (folder / path).read_bytes()
        (folder / path).write_bytes(data[: len(data) // 2])

    return change


def indexed(folder: Path) -> None:
    index = {"weight_map": {"a": "model-00001-of-00001.safetensors"}}
    (folder / "blip2" / "model.safetensors.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (setting("blip2/config.json", model_type="t5"), "caption.model .* is a t5 .* blip-2"),
        (cut("blip2/config.json"), r"cannot read config\.json of caption\.model"),
        (
            cut("blip2/model.safetensors"),
            r"caption\.model .*no whole safetensors file of \d+ bytes",
        ),
        (indexed, r"both model\.safetensors and model\.safetensors\.index\.json"),
        (lambda f: renamed(f / "blip2", "model.safetensors", "model.fp16.safetensors"), "It holds"),
        (lambda f: renamed(f / "blip2", "tokenizer.json", "t.json"), "vocab.json and merges.txt"),
        (lambda f: renamed(f / "blip2", "processor_config.json", "p"), "no processor_config.json"),
        (cut("clip/open_clip_model.safetensors"), r"score\.model .*no whole safetensors file"),
        (cut("clip/open_clip_config.json"), "cannot be read .JSONDecodeError"),
        (setting("clip/open_clip_config.json", model_cfg={}), "cannot be read .KeyError"),
        (
            lambda f: renamed(f / "clip", "open_clip_model.safetensors", "x.bin"),
            "x.bin may run code",
        ),
    ],
)
def test_a_captioner_or_scorer_that_cannot_be_used(
    document: dict[str, Any], models: Path, change: Callable[[Path], Any], message: str
) -> None:
    change(models)
    told = refused(document)
    assert re.search(message, told), told


@pytest.mark.parametrize(
    ("tower", "values"),
    [
        ("text_cfg", {"hf_model_name": "xlm-roberta-base"}),
        ("text_cfg", {"tokenizer_kwargs": {"bpe_path": "/elsewhere/bpe.txt.gz"}}),
        ("vision_cfg", {"timm_model_name": "hf-hub:timm/x"}),
    ],
)
def test_a_scorer_whose_files_are_elsewhere_is_refused(
    document: dict[str, Any], models: Path, tower: str, values: dict[str, Any]
) -> None:
    path = models / "clip" / "open_clip_config.json"
    config = json.loads(path.read_text())
    config["model_cfg"][tower] |= values
    path.write_text(json.dumps(config))
    assert f"{next(iter(values)).replace('tokenizer_kwargs', 'bpe_path')}=" in refused(document)


def test_only_the_models_of_the_steps_are_looked_at(document: dict[str, Any], models: Path) -> None:
    nan("text_encoder/model.safetensors")(models / "base")
    cut("clip/open_clip_model.safetensors")(models)
    runner = Runner(run_config(document))
    assert runner.run(steps=()).used_ray is False
    with pytest.raises(UserError, match="NaN"):
        runner.run(steps=("tune",))
    with pytest.raises(UserError, match=r"score\.model"):
        runner.run(steps=("score",))


def test_a_captioner_that_lacks_a_tensor_is_refused_by_its_worker(
    document: dict[str, Any], models: Path
) -> None:
    without("model.safetensors", "language_projection")(models / "blip2")
    with pytest.raises(UserError, match=r"lack language_projection.* \(1 tensors in all\)"):
        Blip2Captioner(run_config(document).caption)


def test_a_good_base_is_looked_through_once_and_never_needs_torch_again(
    document: dict[str, Any], models: Path
) -> None:
    code = (
        "import sys\nfrom components.cli.main import main\n"
        "main(sys.argv[1:], standalone_mode=False)\nprint('torch' in sys.modules)\n"
    )
    assert tav("plan", document).exit_code == 0
    path = Path(document["run"]).with_name("run.yaml")
    command = [sys.executable, "-c", code, "plan", "--config", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
    # Another content is another model.
    state = load_file(models / "base/vae/diffusion_pytorch_model.safetensors")
    state.pop("decoder.conv_in.bias")
    save_file(state, models / "base/vae/diffusion_pytorch_model.safetensors")
    assert "conv_in.bias" in refused(document)


def test_revisions_name_a_clean_end_that_is_the_files_own(
    document: dict[str, Any], models: Path
) -> None:
    runner = Runner(run_config(document))
    assert runner.revisions["tune_a_video"].schedule == ""
    setting(SCHEDULER, set_alpha_to_one=True)(models)
    assert (
        find_revisions(runner.config, runner.manifest)["tune_a_video"].schedule
        == "set_alpha_to_one"
    )
    (models / SCHEDULER).write_text("{")
    assert find_revisions(runner.config, runner.manifest)["tune_a_video"].schedule == ""


def test_old_revisions_are_those_of_the_whole_folder(models: Path) -> None:
    before = resolve_revision(str(models / "base"))
    (models / "base" / "vae" / "note.txt").write_text("x")
    assert resolve_revision(str(models / "base")) != before
