"""Bases of every kind in one run: each tunes, samples and scores, and is named by its content."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from benchmarks.chaos.plain import PlainRunner
from components.config import run_config
from components.doctor.models import resolved
from components.errors import UserError
from components.records.revisions import (
    base_revision,
    hub_revision,
    pinned,
    resolve_revision,
)
from components.run.estimate import plan_run
from components.run.record import load_run
from components.storage.tables import read_table
from tav_model.config import LoraConfig, ModelConfig
from tests.ldm_checkpoint import vae_names, write_checkpoint
from tests.lora_files import full_lora
from tests.random_models import build_base_model
from tests.runs import counts, tiny_document, write_manifest

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def places(tiny_models: Path, tmp_path: Path) -> dict[str, Path]:
    """One of each kind, made of the tiny base."""
    base = Path(shutil.copytree(tiny_models / "base", tmp_path / "base"))
    dreambooth = build_base_model(tmp_path / "dreambooth", seed=30)
    (dreambooth / "safety_checker").mkdir()  # what trainers leave in such folders, and runs ignore
    (dreambooth / "safety_checker" / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    (dreambooth / "optimizer.bin").write_bytes(b"\x80\x04.")
    vae = load_file(dreambooth / "vae" / "diffusion_pytorch_model.safetensors")
    save_file({n: t.contiguous() for n, t in vae_names(vae).items()}, tmp_path / "vae.safetensors")
    return {
        "base": base,
        "dreambooth": dreambooth,
        "file": write_checkpoint(base, tmp_path / "all.safetensors"),
        "lora": full_lora(base, tmp_path / "lora.safetensors"),
        "vae": tmp_path / "vae.safetensors",
    }


@pytest.fixture
def document(
    tmp_path: Path, tiny_models: Path, tiny_clips: Path, places: dict[str, Path]
) -> dict[str, Any]:
    document = tiny_document(tmp_path, tiny_models)
    document["model"] = {"base": str(places["base"])}
    edits = [{"id": "cartoon", "category": "style", "prompt": "{caption}, cartoon style"}]
    videos = [{"id": "fish", "uri": str(tiny_clips / "fish.mp4"), "prompt": "a fish"}]
    write_manifest(document, [videos[0] | {"edits": edits}])
    lora = str(places["lora"])
    one_file = {"base": str(places["file"]), "config": str(places["base"])}
    models: dict[str, dict[str, Any]] = {
        "folder": {},
        "none": {"loras": [{"path": lora, "weight": 0}]},
        "dreambooth": {"base": str(places["dreambooth"])},
        "file": one_file,
        "lora": {"loras": [{"path": lora, "weight": 0.8}]},
        "vae": {"vae": str(places["vae"])},
        "all": one_file | {"loras": [{"path": lora}], "vae": str(places["vae"])},
    }
    document["variants"] = {name: {"model": model} for name, model in models.items()}
    return document


def run(document: dict[str, Any]) -> tuple[dict[str, int], PlainRunner]:
    runner = PlainRunner(run_config(document, "test"))
    return counts(runner.run()), runner


def test_each_kind_tunes_and_samples_and_is_named_by_content(
    document: dict[str, Any], places: dict[str, Path], tmp_path: Path
) -> None:
    done, runner = run(document)
    # A LoRA of weight 0 is none: that variant shares all with the folder.
    assert done == {"ingest": 1, "tune": 6, "sample": 6, "score": 6}
    assert not read_table(runner.store, "failures")
    found = {name: view.revisions.base for name, view in runner.state().views.items()}
    assert {row["base_revision"] for row in read_table(runner.store, "edits")} == {*found.values()}
    assert found["none"] == found["folder"] == resolve_revision(str(places["base"]))
    assert len(set(found.values())) == 6
    assert [part.partition(":")[0] for part in found["all"].split("+")] == [
        *("sha256", "config", "vae", "lora")
    ]
    assert found["lora"].startswith(f"{found['folder']}+lora:sha256:")
    assert found["lora"].endswith("@0.8")
    assert run(document)[0] == {}
    assert load_run(document["run"]).views["all"].edits.keys() == {"fish/cartoon"}

    # Moved, all is as it was; with another LoRA what stands on it is made anew.
    moved = tmp_path / "elsewhere.safetensors"
    places["lora"].rename(moved)
    for name in ("none", "lora", "all"):
        document["variants"][name]["model"]["loras"][0]["path"] = str(moved)
    assert run(document)[0] == {}
    full_lora(places["base"], moved, seed=9)
    assert run(document)[0] == {"tune": 2, "sample": 2, "score": 2}


def test_a_plan_counts_and_checks_each_kind(
    document: dict[str, Any], places: dict[str, Path]
) -> None:
    plan = plan_run(PlainRunner(run_config(document, "test")).state())
    assert not plan.notes
    assert not plan.problems
    assert len(plan.variants) == 7
    state = load_file(places["lora"])
    name = next(one for one in state if one.endswith("attn1_to_k.lora_down.weight"))
    state[name] = torch.zeros(3, 99)
    save_file(state, places["lora"])
    with pytest.raises(UserError, match=r"of shape \(3, 99\), but .*attn1\.to_k\.weight is"):
        plan_run(PlainRunner(run_config(document, "test")).state())


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"base": "x.ckpt"}, "is a pickle"),
        ({"base": "x.safetensors"}, "is not there"),
        ({"loras": [{"path": "x.pt"}]}, "is a pickle"),
        ({"loras": [{"path": "x.safetensors"}]}, "is not there"),
        ({"vae": "x.bin"}, "is a pickle"),
        ({"vae": "no folder"}, "no folder here and no hub id"),
        (
            {"vae": "lora.safetensors"},
            "the vae in .*lora.safetensors does not go with the config in .*as model.vae",
        ),
        ({"config": "sd1"}, r"Remove model\.config"),
    ],
)
def test_what_cannot_be_used_is_said_before_any_work(
    document: dict[str, Any],
    tmp_path: Path,
    model: dict[str, Any],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.ckpt").write_bytes(b"\x80\x04.")
    document["variants"] = {"one": {"model": model}}
    with pytest.raises(UserError, match=words):
        plan_run(PlainRunner(run_config(document, "test")).state())


def test_doctor_names_what_is_put_on_a_base(places: dict[str, Path]) -> None:
    lora = LoraConfig(path=str(places["lora"]), weight=0.8)
    model = ModelConfig(
        base=str(places["file"]), config=str(places["base"]), vae=str(places["vae"]), loras=(lora,)
    )
    told, exact = resolved(model, "model.base")
    assert told.level == "ok"
    assert exact == base_revision(model)
    for words in ("a file, digest", f"VAE {places['vae']}", f"LoRA {places['lora']} at 0.8"):
        assert words in told.found
    places["lora"].unlink()
    told, exact = resolved(model, "model.base")
    assert (told.level, exact) == ("fail", None)
    assert "lora.safetensors' is not there" in told.found


def test_a_hubs_commits_are_in_the_revision(places: dict[str, Path]) -> None:
    lora = LoraConfig(path=str(places["lora"]), weight=0.5)
    model = ModelConfig(
        base="owner/name",
        revision=COMMIT,
        vae="owner/vae",
        vae_revision=COMMIT[::-1],
        loras=(lora,),
    )
    exact = base_revision(model)
    assert exact.startswith(f"{COMMIT}+vae:{COMMIT[::-1]}+lora:sha256:")
    assert hub_revision(exact) == COMMIT
    branch = ModelConfig(base="owner/name", revision="main", vae="owner/vae", loras=(lora,))
    assert pinned(branch, exact) == model
    alone = ModelConfig(base="owner/name", revision="main")
    assert pinned(alone, COMMIT) == ModelConfig(base="owner/name", revision=COMMIT)


def test_paths_of_models_are_made_whole(
    document: dict[str, Any], places: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(places["base"].parent)
    document["variants"] = {
        "one": {
            "model": {
                "base": "all.safetensors",
                "config": "base",
                "vae": "vae.safetensors",
                "loras": [{"path": "lora.safetensors"}],
            }
        },
        "hub": {"model": {"base": "owner/name", "vae": "owner/vae"}},
    }
    config = run_config(document, "test")
    whole = config.variants["one"]["model"]
    assert whole["base"] == str(places["file"])
    assert whole["config"] == str(places["base"])
    assert whole["vae"] == str(places["vae"])
    assert whole["loras"][0]["path"] == str(places["lora"])
    assert config.variants["hub"]["model"]["vae"] == "owner/vae"


def test_an_unknown_key_of_a_lora_is_told(document: dict[str, Any]) -> None:
    document["model"]["loras"] = [{"path": "x.safetensors", "wieght": 1}]
    with pytest.raises(
        UserError, match=r"model\.loras\.0\.wieght: unknown key; did you mean 'weight'"
    ):
        run_config(document, "test")
