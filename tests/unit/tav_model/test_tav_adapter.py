import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tav_model.adapter import adapter_of, apply_adapter, load_adapter, reset_adapter, save_adapter
from tav_model.errors import AdapterMismatchError, CheckpointError
from tav_model.load import BaseModel


@pytest.fixture
def saved(base: BaseModel, tmp_path: Path) -> Path:
    adapter = {n: torch.randn(t.shape) for n, t in adapter_of(base).items()}
    apply_adapter(base, adapter)
    path = tmp_path / "adapter.safetensors"
    save_adapter(path, adapter, {"base_identity": base.identity, "video": "fish"})
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    return path


def test_bit_exact(base: BaseModel, saved: Path) -> None:
    before = adapter_of(base)
    reset_adapter(base)
    assert all(torch.equal(t, base.initial[n]) for n, t in adapter_of(base).items())
    assert load_adapter(base, saved)["video"] == "fish"
    assert all(torch.equal(t, before[n]) for n, t in adapter_of(base).items())


def test_equal_adapters_are_equal_files(base: BaseModel, tmp_path: Path) -> None:
    adapter = adapter_of(base)
    metadata = {str(n): f"value {n}" for n in range(20)}
    metadata |= {"base_identity": base.identity, "prompt": 'a "fish" \n\t\x01\x7f \\ ü 魚 🐟 /'}
    for n, pairs in enumerate((metadata.items(), reversed(metadata.items()))):
        save_adapter(tmp_path / f"{n}.safetensors", adapter, dict(pairs))
    files = [path.read_bytes() for path in sorted(tmp_path.iterdir())]
    assert files[0] == files[1]
    read = load_adapter(base, tmp_path / "0.safetensors")
    assert read == metadata | {"format": "tav-adapter-1"}
    assert all(torch.equal(t, adapter[n]) for n, t in adapter_of(base).items())


def test_other_base_is_refused(base: BaseModel, saved: Path) -> None:
    with pytest.raises(AdapterMismatchError, match="sha256:other"):
        load_adapter(replace(base, identity="sha256:other"), saved)


def test_other_attention_mode_is_refused(base: BaseModel, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    metadata = {"base_identity": base.identity, "attention_mode": "full"}
    save_adapter(path, adapter_of(base), metadata)
    with pytest.raises(AdapterMismatchError, match="attention_mode=full"):
        load_adapter(base, path)


def test_other_tensors_are_refused_and_nothing_changes(base: BaseModel) -> None:
    adapter = {n: t + 1 for n, t in adapter_of(base).items()}
    name = next(iter(adapter))
    with pytest.raises(AdapterMismatchError, match="in 1 tensors"):
        apply_adapter(base, {**adapter, name: adapter[name][:1]})
    with pytest.raises(AdapterMismatchError, match="None in the model"):
        apply_adapter(base, {**adapter, "a.b": torch.zeros(2)})
    assert all(torch.equal(t, base.initial[n]) for n, t in adapter_of(base).items())


def test_damaged_files(base: BaseModel, saved: Path, tmp_path: Path) -> None:
    short = tmp_path / "short"
    shutil.copy(saved, short)
    short.write_bytes(short.read_bytes()[:-9])
    other = tmp_path / "other"
    save_file({"x": torch.zeros(1)}, other)
    for path, told in (
        (short, "cannot read"),
        (tmp_path / "none", "cannot read"),
        (other, "format"),
    ):
        with pytest.raises(CheckpointError, match=told):
            load_adapter(base, path)


def test_metadata_needs_the_base(base: BaseModel, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs base_identity"):
        save_adapter(tmp_path / "x", adapter_of(base), {})
