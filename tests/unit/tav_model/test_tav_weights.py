"""The files that are chosen are those that are read, and those that a digest is of."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tav_model.errors import BaseModelError
from tav_model.identity import STEMS, base_identity
from tav_model.load import load_unet
from tav_model.load_parts import load_text_encoder, load_vae
from tav_model.weights import check_whole, read_state, weight_files

STEM = "diffusion_pytorch_model"


def shard(folder: Path, stem: str, state: dict[str, Tensor], infix: str = "") -> dict[str, str]:
    """Write a state as two shards; returns the index's map."""
    names = sorted(state)
    halves = {f"{stem}{infix}-0000{i}-of-00002.safetensors": names[i - 1 :: 2] for i in (1, 2)}
    for file, half in halves.items():
        save_file({name: state[name] for name in half}, folder / file, metadata={"format": "pt"})
    return {name: file for file, half in halves.items() for name in half}


def write_index(path: Path, places: Any) -> None:
    path.write_text(json.dumps({"metadata": {}, "weight_map": places}), encoding="utf-8")


@pytest.fixture
def folder(base_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(base_folder, tmp_path / "base"))


@pytest.mark.parametrize("part", STEMS)
@pytest.mark.parametrize("index", ["{}.safetensors.index.json"])
def test_a_single_file_beside_an_index_is_refused(folder: Path, part: str, index: str) -> None:
    place, stem = folder / part, STEMS[part]
    stale = {
        name: torch.zeros_like(t) for name, t in load_file(place / f"{stem}.safetensors").items()
    }
    places = shard(place, stem, stale)
    weight_files(place, stem)  # shards that no index names are read by nobody
    write_index(place / index.format(stem), places)
    for use in (weight_files, base_identity):
        with pytest.raises(BaseModelError, match=rf"both {stem}\.safetensors and .*index\.json"):
            use(*((place, stem) if use is weight_files else (folder,)))


@pytest.mark.parametrize("part", STEMS)
@pytest.mark.parametrize("kind", ["shards", "fp16", "fp16 shards", "fp16 shards of old", "both"])
def test_what_is_digested_is_what_is_loaded(folder: Path, part: str, kind: str) -> None:
    place, stem = folder / part, STEMS[part]
    single = place / f"{stem}.safetensors"
    state = load_file(single)
    first = next(name for name, tensor in state.items() if tensor.ndim > 1)
    known = base_identity(folder)
    if kind == "both":  # full precision counts
        save_file({n: t.half() for n, t in state.items()}, place / f"{stem}.fp16.safetensors")
        assert base_identity(folder) == known
    elif kind == "fp16":
        single.rename(place / f"{stem}.fp16.safetensors")
    else:
        single.unlink()
        index = {
            "shards": f"{stem}.safetensors.index.json",
            "fp16 shards": f"{stem}.safetensors.index.fp16.json",
            "fp16 shards of old": f"{stem}.fp16.safetensors.index.json",
        }[kind]
        write_index(place / index, shard(place, stem, state, ".fp16" if "fp16" in kind else ""))
    before = load(folder, part)
    found = weight_files(place, stem)
    digest = base_identity(folder)
    for path in place.glob("*.safetensors"):
        changed = load_file(path)
        if first in changed:
            changed[first] = changed[first] + 1
            save_file(changed, path, metadata={"format": "pt"})
            loads = not all(
                torch.equal(a, b) for a, b in zip(before, load(folder, part), strict=True)
            )
            assert loads == (path in found.files), path
            assert (base_identity(folder) != digest) == loads, path
            before, digest = load(folder, part), base_identity(folder)


def load(folder: Path, part: str) -> list[Tensor]:
    loaders: dict[str, Callable[[], torch.nn.Module]] = {
        "unet": lambda: load_unet(folder),
        "vae": lambda: load_vae(folder, torch.float32),
        "text_encoder": lambda: load_text_encoder(folder, torch.float32),
    }
    return [tensor.clone() for tensor in loaders[part]().state_dict().values()]


def test_a_tensor_in_two_shards_is_taken_from_the_one_that_the_index_names(tmp_path: Path) -> None:
    places = shard(tmp_path, STEM, {"a": torch.ones(2), "b": torch.ones(2)})
    other = tmp_path / places["b"]
    save_file({"a": torch.zeros(2), "b": torch.ones(2)}, other)
    write_index(tmp_path / f"{STEM}.safetensors.index.json", places)
    assert read_state(weight_files(tmp_path))["a"].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("places", "message"),
    [
        (
            {"a": "../other.safetensors"},
            "'../other.safetensors', which is no safetensors file beside",
        ),
        ({"a": "/etc/passwd"}, "'/etc/passwd'"),
        ({"a": ".hidden.safetensors"}, "no safetensors file beside it"),
        ({"a": "weights.bin"}, "'weights.bin'"),
        ({"a": "gone.safetensors"}, "names gone.safetensors, which is not there"),
        ({"a": "there.safetensors", "b": "there.safetensors"}, "lacks b, which its index"),
        ({}, "names no file"),
        (["a"], "is no index of weights"),
    ],
)
def test_an_index_that_names_what_is_not_beside_it_is_refused(
    tmp_path: Path, places: Any, message: str
) -> None:
    save_file({"a": torch.ones(1)}, tmp_path / "there.safetensors")
    write_index(tmp_path / f"{STEM}.safetensors.index.json", places)
    with pytest.raises(BaseModelError, match=message):
        check_whole(weight_files(tmp_path))


def test_what_is_no_index_at_all_is_refused(tmp_path: Path) -> None:
    (tmp_path / f"{STEM}.safetensors.index.json").write_text("[", encoding="utf-8")
    with pytest.raises(BaseModelError, match="is no index of weights"):
        weight_files(tmp_path)


def test_other_names_kinds_and_damage_are_told(tmp_path: Path) -> None:
    with pytest.raises(BaseModelError, match=r"no diffusion_pytorch_model\.safetensors .* again"):
        weight_files(tmp_path)
    save_file({"a": torch.ones(1)}, tmp_path / f"{STEM}.bf16.safetensors")
    with pytest.raises(BaseModelError, match=rf"It holds {STEM}\.bf16\.safetensors"):
        weight_files(tmp_path)
    path = tmp_path / f"{STEM}.safetensors"
    save_file({"a": torch.ones(64).to(torch.float8_e4m3fn)}, path)
    with pytest.raises(BaseModelError, match="a as F8_E4M3, but weights must be F16, BF16"):
        check_whole(weight_files(tmp_path))
    save_file({"a": torch.ones(64)}, path)
    check_whole(weight_files(tmp_path))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BaseModelError, match=r"no whole safetensors file of \d+ bytes"):
        check_whole(weight_files(tmp_path))
