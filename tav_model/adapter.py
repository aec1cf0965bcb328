"""What a tuning learns, and its file: safetensors with the tuned tensors only.

For Stable Diffusion 1.4 that is 74.35 M numbers in 112 tensors, against 1 B in a whole pipeline.
A file says itself how it is encoded (`tav_model.encoding`); without a word it is fp32.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from tav_model.config import AdapterConfig
from tav_model.encoding import decode, digest, encode
from tav_model.errors import AdapterMismatchError, CheckpointError
from tav_model.files import writing
from tav_model.load import BaseModel
from tav_model.unet import tuned_parameters

_FORMAT = "tav-adapter-1"
_ENCODED = "tav-adapter-2"


def adapter_of(base: BaseModel) -> dict[str, Tensor]:
    """Copy the tuned parameters to the CPU.

    Returns:
        fp32 tensors by state-dict name.
    """
    tuned = tuned_parameters(base.unet)
    return {name: p.detach().to("cpu", copy=True).contiguous() for name, p in tuned.items()}


def reset_adapter(base: BaseModel) -> None:
    """Put the tuned parameters back to their values before any tuning (for a warm worker)."""
    apply_adapter(base, base.initial)


@torch.no_grad()
def apply_adapter(base: BaseModel, adapter: Mapping[str, Tensor]) -> None:
    """Put an adapter's values into the model.

    Args:
        base: the model; its tuned parameters are overwritten.
        adapter: tensors by state-dict name.

    Raises:
        AdapterMismatchError: names or shapes are not exactly the model's; nothing was changed.
    """
    tuned = tuned_parameters(base.unet)
    wrong = sorted(set(tuned) ^ set(adapter))
    wrong = wrong or [n for n, p in tuned.items() if p.shape != adapter[n].shape]
    if wrong:
        name = wrong[0]
        shapes = [tuple(d[name].shape) if name in d else None for d in (adapter, tuned)]
        msg = (
            f"the adapter does not fit this base model in {len(wrong)} tensors, first {name}: "
            f"{shapes[0]} in the adapter, {shapes[1]} in the model. Load the base it was tuned on."
        )
        raise AdapterMismatchError(msg)
    for name, parameter in tuned.items():
        parameter.copy_(adapter[name])


def save_adapter(path: Path, adapter: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write an adapter file; it appears under its name only when it is whole.

    Args:
        path: file to write.
        adapter: tensors by state-dict name.
        metadata: anything worth keeping, and `base_identity`, which `TuneResult.metadata` holds.

    Raises:
        ValueError: metadata lacks `base_identity`, or has `format`.
    """
    _check_metadata(metadata)
    _write(path, adapter, {**metadata, "format": _FORMAT})


def _check_metadata(metadata: Mapping[str, str]) -> None:
    if "base_identity" not in metadata or "format" in metadata:
        msg = (
            f"adapter metadata has keys {sorted(metadata)}: it needs base_identity (start from "
            "TuneResult.metadata) and must not have format."
        )
        raise ValueError(msg)


def save_encoded(
    path: Path,
    base: BaseModel,
    adapter: Mapping[str, Tensor],
    metadata: Mapping[str, str],
    config: AdapterConfig,
) -> None:
    """Write an adapter in an encoding, and give the model the values that a reader will decode.

    Args:
        path: file to write.
        base: the model that was tuned; its tuned parameters are overwritten.
        adapter: fp32 tensors by state-dict name.
        metadata: as in `save_adapter`. A file that is not fp32 also says `encoding`, `init_seed`
            and `decoded_sha256` (see `tav_model.encoding.digest`).
        config: the encoding.

    Raises:
        ValueError: see `save_adapter`; or a change of a tensor is beyond the encoding.
    """
    if config.encoding == "fp32":
        save_adapter(path, adapter, metadata)
        apply_adapter(base, adapter)
        return
    stored = encode(adapter, base.initial, config)
    decoded = decode(stored, base.initial, path.name)
    said = {
        "format": _ENCODED,
        "encoding": config.encoding,
        "init_seed": str(base.config.init_seed),
        "decoded_sha256": digest(decoded),
    }
    _check_metadata(metadata)
    _write(path, stored, {**metadata, **said})
    apply_adapter(base, decoded)


def _write(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    with writing(path) as temporary:
        named = {n: t.contiguous() for n, t in tensors.items()}
        save_file(named, temporary, metadata=dict(metadata))
        _sort_metadata(temporary)


def _sort_metadata(path: Path) -> None:
    """Give equal adapters equal bytes: safetensors writes metadata in another order each time."""
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode().ljust(size)
        if len(text) != size:
            raise AssertionError(f"header of {len(text)} bytes where safetensors needs {size}")
        file.seek(8)
        file.write(text)


def load_adapter(base: BaseModel, path: Path) -> dict[str, str]:
    """Read an adapter file into the model: of fp32 bit for bit, else what its encoding kept.

    Args:
        base: the model; its tuned parameters are overwritten.
        path: file that `save_adapter` or `save_encoded` wrote.

    Returns:
        The file's metadata.

    Raises:
        CheckpointError: the file is missing, truncated or no adapter; or it holds changes of other
            weights than the base's.
        AdapterMismatchError: it belongs to another base model, or holds other parameters than those
            that the model was loaded to tune; nothing was changed.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata: dict[str, str] = file.metadata() or {}
            adapter = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as err:
        msg = f"cannot read adapter {path.name}: {err}. Tune the video again."
        raise CheckpointError(msg) from err
    if metadata.get("format") not in (_FORMAT, _ENCODED):
        msg = (
            f"{path.name} has format {metadata.get('format')!r}, not {_FORMAT!r} or {_ENCODED!r}: "
            "it is no adapter of this release."
        )
        raise CheckpointError(msg)
    if metadata.get("base_identity") != base.identity:
        msg = (
            f"adapter {path.name} was tuned on base {metadata.get('base_identity')}, this base is "
            f"{base.identity}. Load the base it was tuned on, or tune again."
        )
        raise AdapterMismatchError(msg)
    tuned = metadata.get("parameters", "paper")
    if tuned != base.unet.tuned:
        msg = (
            f"adapter {path.name} was tuned with tune.parameters={tuned}, the model was loaded for "
            f"{base.unet.tuned}. Set tune.parameters to the former, or tune again."
        )
        raise AdapterMismatchError(msg)
    mode = metadata.get("attention_mode", base.config.attention_mode)
    if mode != base.config.attention_mode:
        msg = (
            f"adapter {path.name} was tuned with attention_mode={mode}, the model has "
            f"{base.config.attention_mode}. Load the base with the former."
        )
        raise AdapterMismatchError(msg)
    if metadata["format"] == _ENCODED:
        adapter = decode(adapter, base.initial, path.name)
    apply_adapter(base, adapter)
    return metadata
