"""Which files hold a part's weights, for the loaders and for every digest alike. Loads no torch.

Of `<stem>.safetensors` and of shards with an index diffusers takes the shards and transformers the
single file, so a folder that has both is refused: nobody can say which one is meant.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tav_model.errors import BaseModelError

_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_DTYPES = ("F16", "BF16", "F32", "F64")
_AGAIN = "Copy or download the model again."


@dataclass(frozen=True, slots=True)
class Weights:
    """The safetensors files of one part of a model."""

    files: tuple[Path, ...]
    variant: str | None
    """`fp16` or None."""
    shards: dict[str, Path]
    """The file of each tensor, by the index; empty where there is none."""


def weight_files(
    folder: Path,
    stem: str = "diffusion_pytorch_model",
    variants: Sequence[str | None] = (None, "fp16"),
) -> Weights:
    """Find the safetensors files of one part of a model, full precision before fp16.

    Args:
        folder: the part's folder, such as `<base>/unet`.
        stem: file name without variant and ending.
        variants: which to take, the first one that is there.

    Returns:
        The files that are read, and no others.

    Raises:
        BaseModelError: there are none, or two sets of one variant, or an index that is no index or
            names what is not beside it.
    """
    for variant in variants:
        names = [name for name in file_names(stem, variant) if (folder / name).is_file()]
        if len(names) > 1:
            msg = (
                f"{folder} holds both {names[0]} and {names[1]}, and libraries differ in which "
                "they load. Remove the one that is not meant."
            )
            raise BaseModelError(msg)
        if names and names[0].endswith(".json"):
            shards = _shards(folder / names[0])
            return Weights(tuple(sorted(set(shards.values()))), variant, shards)
        if names:
            return Weights((folder / names[0],), variant, {})
    msg = f"no {stem}.safetensors in {folder}."
    if others := sorted(path.name for path in folder.glob("*.safetensors")):
        msg += f" It holds {', '.join(others[:3])}. Rename the right one, or {_AGAIN.lower()}"
    elif any(any(folder.glob(pattern)) for pattern in _PICKLES):
        msg += (
            " The .bin files there are pickles, which can run code when loaded, so they are not"
            " read. Load and save the folder once with diffusers, which writes safetensors."
        )
    else:
        msg += f" {_AGAIN}"
    raise BaseModelError(msg)


def file_names(stem: str, variant: str | None) -> tuple[str, ...]:
    """Names that a variant's weights or their index may have: one file, an index, an old index."""
    if variant is None:
        return f"{stem}.safetensors", f"{stem}.safetensors.index.json"
    return (
        f"{stem}.{variant}.safetensors",
        f"{stem}.safetensors.index.{variant}.json",
        f"{stem}.{variant}.safetensors.index.json",
    )


def tensors(weights: Weights) -> Iterator[tuple[str, Path, Any]]:
    """Go through the headers of weight files; of the tensors themselves nothing is read.

    Yields:
        Name, file, and safetensors' view of each tensor, which knows shape and dtype.

    Raises:
        BaseModelError: a file is no whole safetensors file, a tensor is missing from its shard, or
            is stored in a way that is not supported (fp8, quantized).
    """
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415 (only needed here)

    for path in weights.files:
        wanted = {name for name, shard in weights.shards.items() if shard == path}
        if not path.is_file():
            msg = f"the index in {path.parent} names {path.name}, which is not there. {_AGAIN}"
            raise BaseModelError(msg)
        try:
            with safe_open(path, framework="np") as file:
                there = set(file.keys())
                if missing := sorted(wanted - there):
                    msg = f"{path} lacks {missing[0]}, which its index places there. {_AGAIN}"
                    raise BaseModelError(msg)
                for name in sorted(wanted or there):
                    view = file.get_slice(name)
                    _check_dtype(path, name, view.get_dtype())
                    yield name, path, view
        except (OSError, SafetensorError) as err:
            size = path.stat().st_size
            msg = f"{path} is no whole safetensors file of {size} bytes ({err}): {_AGAIN.lower()}"
            raise BaseModelError(msg) from err


def check_whole(weights: Weights) -> None:
    """Look at all headers.

    Raises:
        BaseModelError: see ``tensors``.
    """
    for _ in tensors(weights):
        pass


def read_state(weights: Weights) -> dict[str, Any]:
    """Read the torch tensors of one part, each from the file that its index names.

    Args:
        weights: What ``weight_files`` found.

    Raises:
        BaseModelError: a file is damaged, or lacks a tensor, or holds one that is not supported.
    """
    from safetensors import safe_open  # noqa: PLC0415

    places: dict[Path, list[str]] = {}
    for name, path, _ in tensors(weights):
        places.setdefault(path, []).append(name)
    state: dict[str, Any] = {}
    for path, names in places.items():
        with safe_open(path, framework="pt") as file:
            state |= {name: file.get_tensor(name) for name in names}
    return state


def _check_dtype(path: Path, name: str, dtype: str) -> None:
    # Old text encoders hold the numbers 0 .. 76 beside their weights.
    if dtype not in _DTYPES and not name.endswith(".position_ids"):
        msg = (
            f"{path} holds {name} as {dtype}, but weights must be {', '.join(_DTYPES)}. Take the "
            "model in fp16 or fp32."
        )
        raise BaseModelError(msg)


def _shards(index: Path) -> dict[str, Path]:
    """The file of each tensor. An index may name files beside it and no others."""
    try:
        places = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        names = {str(name) for name in places.values()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as err:
        msg = f"{index} is no index of weights ({type(err).__name__}: {err}). {_AGAIN}"
        raise BaseModelError(msg) from err
    for name in sorted(names):
        if Path(name).name != name or name.startswith(".") or not name.endswith(".safetensors"):
            msg = f"{index} names {name!r}, which is no safetensors file beside it. {_AGAIN}"
            raise BaseModelError(msg)
    if not names:
        raise BaseModelError(f"{index} names no file. {_AGAIN}")
    return {str(tensor): index.parent / str(name) for tensor, name in places.items()}
