"""Weights of judges: where they are, and what is refused. They are read from safetensors alone."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError

from eval.errors import EncoderError

if TYPE_CHECKING:
    from torch import nn

DAMAGED = (
    *(OSError, ValueError, RuntimeError, LookupError, TypeError, AttributeError),
    SafetensorError,
)
"""What libraries raise of files that are no model of the kind."""
_TOLD = 400
"""Characters of a library's error: it may name every tensor."""
_FILES = ("*.json", "*.txt", "*.safetensors")


def judge_folder(model: str, revision: str | None) -> Path:
    """Where a model's files are; a hub model's are fetched into the hub's cache first.

    Raises:
        EncoderError: it cannot be fetched, or has no safetensors.
    """
    folder = Path(model)
    if not folder.is_dir():
        import huggingface_hub  # noqa: PLC0415

        try:
            fetched = huggingface_hub.snapshot_download(
                model, revision=revision, allow_patterns=list(_FILES)
            )
        except (OSError, ValueError) as error:
            raise EncoderError(f"cannot fetch {model} at revision {revision}: {error}") from error
        folder = Path(fetched)
    check_folder(folder, model)
    return folder


def check_folder(folder: Path, model: str) -> None:
    """Refuse a model's folder without safetensors.

    Raises:
        EncoderError: names the model.
    """
    if not any(folder.glob("*.safetensors")):
        raise EncoderError(
            f"{model} has no safetensors: pickled weights may run code when read and are refused; "
            "convert them, or give a revision that has some"
        )


def fill(net: nn.Module, model: str, revision: str | None, what: str) -> nn.Module:
    """Give a network all of its weights, from the one safetensors file of a folder or hub model.

    Args:
        net: With any weights.
        model: Folder or hub id.
        revision: Of a hub id.
        what: The network, for messages.

    Returns:
        The network, in evaluation mode.

    Raises:
        EncoderError: they are not there, of another network, or not finite.
    """
    import torch  # noqa: PLC0415 - seconds that only a scorer pays
    from safetensors.torch import load_model  # noqa: PLC0415

    files = sorted(judge_folder(model, revision).glob("*.safetensors"))
    if len(files) > 1:
        raise EncoderError(
            f"{model} has {len(files)} safetensors files, but the weights of {what} are 1: leave "
            f"that one ({', '.join(file.name for file in files[:3])})"
        )
    try:
        lacking, strange = load_model(net, files[0], strict=False)
        if lacking or strange:
            names = ", ".join(sorted([*lacking, *strange])[:2])
            raise ValueError(
                f"{len(lacking)} of its tensors are not there, and {len(strange)} are not its own, "
                f"such as {names}"
            )
        for name, value in net.state_dict().items():
            if not torch.isfinite(value).all():
                raise ValueError(f"tensor {name} holds NaN or infinity")
    except DAMAGED as error:
        raise unusable(model, what, error) from error
    return net.eval()


def unusable(model: str, what: str, error: Exception) -> EncoderError:
    """What is told of files that are no such model."""
    why = textwrap.shorten(str(error), _TOLD, placeholder=" …")
    return EncoderError(f"{model} is no {what} that can be loaded: {why}; check its files")
