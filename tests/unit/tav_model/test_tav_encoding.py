"""Adapters in fewer bytes: what each form keeps, how large it is, and what is refused."""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmarks.encoded_sizes import SD14_MATRICES, encoded_bytes, rank_of_same_share
from tav_model.adapter import adapter_of, apply_adapter, load_adapter, reset_adapter, save_encoded
from tav_model.config import AdapterConfig, Encoding, ModelConfig
from tav_model.encoding import decode, digest, encode
from tav_model.errors import AdapterMismatchError, CheckpointError
from tav_model.load import BaseModel, load_base
from tav_model.unet import build_unet, tuned_parameters

FORMS: tuple[Encoding, ...] = ("fp16", "low_rank", "sign", "int4")
SD14 = {
    "block_out_channels": (320, 640, 1280, 1280),
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
}
"""What the UNet of Stable Diffusion 1.4 has beside diffusers' defaults."""


def config_of(form: Encoding, rank: int = 64) -> AdapterConfig:
    return AdapterConfig(encoding=form, **({"rank": rank} if form == "low_rank" else {}))


def one(change: Tensor, form: Encoding, rank: int = 64) -> tuple[dict[str, Tensor], Tensor]:
    """A single tensor, stored and decoded."""
    initial = {"w": torch.randn(change.shape, generator=torch.Generator().manual_seed(1))}
    stored = encode({"w": initial["w"] + change}, initial, config_of(form, rank))
    return stored, decode(stored, initial, "it")["w"] - initial["w"]


def error(change: Tensor, read: Tensor) -> float:
    return float((read - change).norm() / change.norm())


@pytest.fixture
def change() -> Tensor:
    return 0.01 * torch.randn((48, 70), generator=torch.Generator().manual_seed(0))


def test_how_near_each_form_comes(change: Tensor) -> None:
    assert error(change, one(change, "fp16")[1]) < 3e-4
    assert error(change, one(change, "int4")[1]) < 0.12
    # Of normal numbers sign and mean magnitude miss 1 - 2 / pi of the energy.
    missed = (1 - 2 / torch.pi) ** 0.5
    assert error(change, one(change, "sign")[1]) == pytest.approx(missed, abs=0.02)


def test_signs_have_the_scale_of_their_row() -> None:
    change = torch.tensor([[0.5, -0.5, 0.5], [2.0, 2.0, -2.0]])
    assert one(change, "sign")[1].numpy() == pytest.approx(change.numpy(), abs=1e-6)


@pytest.mark.parametrize("shape", [(40, 90), (90, 40)])
def test_a_rank_that_is_enough_loses_rounding_alone(shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(2)
    up, down = (torch.randn(s, generator=generator) for s in ((shape[0], 3), (3, shape[1])))
    change = 0.01 * up @ down
    stored, read = one(change, "low_rank", 3)
    assert stored["w:up"].shape == (shape[0], 3)
    assert error(change, read) < 0.01


def test_low_rank_is_the_best_of_its_rank(change: Tensor) -> None:
    singular = torch.linalg.svdvals(change)
    best = float(singular[8:].norm() / singular.norm())
    assert error(change, one(change, "low_rank", 8)[1]) == pytest.approx(best, rel=0.01)


def test_a_matrix_too_small_for_factors_is_kept_in_fp16() -> None:
    stored, _ = one(torch.randn(4, 4), "low_rank", 4)
    assert stored["w:change"].dtype == torch.float16


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", [(3, 5), (6, 4, 3, 3), (1, 1)])
def test_any_shape_comes_back_in_its_shape(form: Encoding, shape: tuple[int, ...]) -> None:
    assert one(torch.full(shape, 0.25), form)[1].numpy() == pytest.approx(0.25, rel=0.01)


@pytest.mark.parametrize("form", FORMS)
def test_what_did_not_change_is_the_base_to_the_bit(form: Encoding) -> None:
    assert not one(torch.zeros(8, 8), form)[1].any()


def test_tensors_of_one_dimension_are_exact() -> None:
    initial, tuned = torch.randn(7), torch.randn(7)
    read = decode(encode({"b": tuned}, {"b": initial}, config_of("sign")), {"b": initial}, "it")
    assert torch.equal(read["b"], tuned)


def test_a_change_beyond_fp16_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot hold the change of w, whose largest is 1e"):
        one(torch.full((4, 4), 1e6), "fp16")


@pytest.fixture(scope="module")
def sd14_shapes() -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        from diffusers import UNet2DConditionModel

        stock = UNet2DConditionModel(**SD14)
        unet = build_unet(
            dict(stock.config), attention_mode="sparse_causal", attention_backend="native"
        )
    return {name: tuple(p.shape) for name, p in tuned_parameters(unet).items()}


@pytest.mark.parametrize(
    ("form", "megabytes"), [("fp16", 148.8), ("low_rank", 9.69), ("sign", 9.64), ("int4", 39.6)]
)
def test_bytes_at_the_sizes_of_stable_diffusion(
    sd14_shapes: Mapping[str, tuple[int, ...]], form: Encoding, megabytes: float
) -> None:
    assert Counter(sd14_shapes.values()) == Counter(SD14_MATRICES.values())
    total = encoded_bytes(sd14_shapes, form, 64)
    assert total == pytest.approx(megabytes * 1e6, rel=0.01)
    assert total <= 10e6 or form in ("fp16", "int4")


def test_a_small_model_is_given_the_same_share() -> None:
    assert rank_of_same_share(SD14_MATRICES, 64) == 64
    half = {name: tuple(side // 2 for side in shape) for name, shape in SD14_MATRICES.items()}
    assert rank_of_same_share(half, 64) == 32


def changed(base: BaseModel) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(5)
    return {
        name: tensor + 0.01 * torch.randn(tensor.shape, generator=generator)
        for name, tensor in base.initial.items()
    }


def save(base: BaseModel, path: Path, form: Encoding) -> None:
    metadata = {"base_identity": base.identity, "video": "fish"}
    save_encoded(path, base, changed(base), metadata, config_of(form, 2))


@pytest.mark.parametrize("form", FORMS)
def test_the_model_holds_what_a_reader_will_decode(
    base: BaseModel, tmp_path: Path, form: Encoding
) -> None:
    path = tmp_path / "a.safetensors"
    save(base, path, form)
    left = adapter_of(base)
    reset_adapter(base)
    metadata = load_adapter(base, path)
    assert all(torch.equal(t, left[n]) for n, t in adapter_of(base).items())
    assert not all(torch.equal(t, base.initial[n]) for n, t in left.items())
    assert (metadata["encoding"], metadata["video"]) == (form, "fish")
    assert metadata["decoded_sha256"] == digest(left)


@pytest.mark.parametrize("form", FORMS)
def test_equal_adapters_are_equal_files(base: BaseModel, tmp_path: Path, form: Encoding) -> None:
    for name in "ab":
        save(base, tmp_path / name, form)
    first, second = (hashlib.sha256((tmp_path / n).read_bytes()).digest() for n in "ab")
    assert first == second


def test_fp32_is_the_file_that_it_always_was(base: BaseModel, tmp_path: Path) -> None:
    save(base, tmp_path / "a", "fp32")
    with safe_open(tmp_path / "a", "pt") as file:
        assert file.metadata() == {
            "base_identity": base.identity,
            "video": "fish",
            "format": "tav-adapter-1",
        }
    assert all(torch.equal(t, changed(base)[n]) for n, t in load_file(tmp_path / "a").items())


def test_a_file_of_other_initial_weights_is_refused(
    base: BaseModel, base_folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "a.safetensors"
    save(base, path, "sign")
    other = load_base(ModelConfig(base=str(base_folder), init_seed=1))
    before = adapter_of(other)
    with pytest.raises(CheckpointError, match=r"model\.init_seed"):
        load_adapter(other, path)
    assert all(torch.equal(t, before[n]) for n, t in adapter_of(other).items())


def lost(stored: dict[str, Tensor], name: str) -> None:
    del stored[f"{name}:scale"]


def short(stored: dict[str, Tensor], name: str) -> None:
    stored[f"{name}:sign"] = stored[f"{name}:sign"][:-1].clone()


def typed(stored: dict[str, Tensor], name: str) -> None:
    stored[f"{name}:scale"] = stored[f"{name}:scale"].half()


def infinite(stored: dict[str, Tensor], name: str) -> None:
    stored[f"{name}:scale"][0] = torch.inf


def unknown(stored: dict[str, Tensor], name: str) -> None:
    stored["no.such.tensor:sign"] = stored.pop(f"{name}:sign")
    stored["no.such.tensor:scale"] = stored.pop(f"{name}:scale")


def scalar(stored: dict[str, Tensor], name: str) -> None:
    for part in ("sign", "scale"):
        del stored[f"{name}:{part}"]
    for part in ("up", "up_scale", "down", "down_scale"):
        stored[f"{name}:{part}"] = torch.tensor(1.0)


def unanchored(stored: dict[str, Tensor], name: str) -> None:
    del stored[":anchor"]


@pytest.mark.parametrize("damage", [lost, short, typed, infinite, unknown, scalar, unanchored])
def test_damaged_parts_are_refused_and_nothing_changes(
    base: BaseModel, tmp_path: Path, damage: Callable[[dict[str, Tensor], str], None]
) -> None:
    path = tmp_path / "a.safetensors"
    save(base, path, "sign")
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    stored = load_file(path)
    name = next(key for key in stored if key.endswith(":sign")).removesuffix(":sign")
    damage(stored, name)
    save_file(stored, path, metadata=metadata)
    reset_adapter(base)
    with pytest.raises(CheckpointError):
        load_adapter(base, path)
    assert all(torch.equal(t, base.initial[n]) for n, t in adapter_of(base).items())


def test_a_missing_tensor_is_refused(base: BaseModel, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save(base, path, "sign")
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    stored = load_file(path)
    name = next(key for key in stored if key.endswith(":sign")).removesuffix(":sign")
    del stored[f"{name}:sign"], stored[f"{name}:scale"]
    save_file(stored, path, metadata=metadata)
    with pytest.raises(AdapterMismatchError):
        load_adapter(base, path)


@pytest.mark.parametrize("form", FORMS)
def test_all_parameters_can_be_encoded(base_folder: Path, tmp_path: Path, form: Encoding) -> None:
    base = load_base(ModelConfig(base=str(base_folder)), "all")
    stored = encode(changed(base), base.initial, config_of(form, 4))
    read = decode(stored, base.initial, "it")
    apply_adapter(base, read)  # names and shapes are all there


@pytest.mark.parametrize(
    "wrong",
    [{"encoding": "int8"}, {"rank": 0, "encoding": "low_rank"}, {"rank": 4, "encoding": "sign"}],
)
def test_settings_out_of_range(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="out of range"):
        replace(AdapterConfig(), **wrong)  # type: ignore[arg-type]
