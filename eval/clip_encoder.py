"""CLIP embeddings of frames and prompts through open_clip.

Weights are read from safetensors only. torch, torchvision and open_clip (about 15 s on two cores)
load with the first encoder, not with this module.
"""

from __future__ import annotations

import json
import reprlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eval.errors import EncoderError, EvalError

if TYPE_CHECKING:
    import torch

CONFIG_NAME = "open_clip_config.json"
WEIGHTS_NAME = "open_clip_model.safetensors"
HUB_PREFIX = "hf-hub:"
FOLDER_PREFIX = "local-dir:"
_TOKENIZER_FILES = ("*token*.json", "vocab.*", "merges.txt", "*.model")


class ClipEncoder:
    """An open_clip model in evaluation mode, fp32, with its own preprocessing and tokenizer.

    Args:
        model: A folder (also ``local-dir:folder``) with ``open_clip_config.json`` and
            ``open_clip_model.safetensors``, or ``hf-hub:org/name``.
        device: Torch device; it must be there.
        batch_size: Frames embedded at once.
        revision: Commit of a hub model; none takes the hub's current one.

    Raises:
        EncoderError: the model or the device is not there, or the model's files are not usable.
    """

    def __init__(
        self, model: str, *, device: str = "cpu", batch_size: int = 32, revision: str | None = None
    ) -> None:
        import open_clip  # noqa: PLC0415 - 15 s that only a scorer pays
        from safetensors import SafetensorError  # noqa: PLC0415

        self.device = checked_device(device)
        self.folder = model_folder(model, revision=revision)
        self.batch_size = batch_size
        name = f"{FOLDER_PREFIX}{self.folder}"
        # What open_clip raises on damaged folders (StopIteration: weights without a tensor).
        damaged = (OSError, ValueError, RuntimeError, LookupError, TypeError, StopIteration)
        try:
            self._model, self._preprocess = open_clip.create_model_from_pretrained(
                name, device=self.device, precision="fp32"
            )
            self._tokenizer = open_clip.get_tokenizer(name)
        except (*damaged, SafetensorError) as error:
            raise EncoderError(
                f"{self.folder} is no open_clip model that can be loaded: {error}; check that "
                f"{CONFIG_NAME} and {WEIGHTS_NAME} belong together"
            ) from error
        self._model.eval().requires_grad_(requires_grad=False)
        self.context_length = int(self._tokenizer.context_length)

    def encode_frames(
        self,
        frames_FHWC: npt.NDArray[np.uint8],
        batch_size: int | None = None,
    ) -> npt.NDArray[np.float32]:
        """Embed frames with the model's own evaluation transform.

        Args:
            frames_FHWC: Shape (F, H, W, 3), uint8 RGB, F ≥ 1.
            batch_size: Frames embedded at once; none takes the encoder's.

        Returns:
            Shape (F, D), float32, each row of length 1.
        """
        import torch  # noqa: PLC0415
        from PIL import Image  # noqa: PLC0415

        size = batch_size or self.batch_size
        parts: list[torch.Tensor] = []
        for first in range(0, len(frames_FHWC), size):
            chunk = frames_FHWC[first : first + size]
            pixels_BCHW = torch.stack([self._preprocess(Image.fromarray(frame)) for frame in chunk])
            with torch.inference_mode():
                parts.append(self._model.encode_image(pixels_BCHW.to(self.device), normalize=True))
        return _to_numpy(torch.cat(parts))

    def encode_text(self, prompt: str) -> npt.NDArray[np.float32]:
        """Embed a prompt.

        Returns:
            Shape (D,), float32, of length 1.

        Raises:
            EvalError: the prompt is empty, or longer than the model reads (open_clip would cut it
                off without a word).
        """
        import torch  # noqa: PLC0415

        tokens_1L = self._tokens(prompt)
        with torch.inference_mode():
            text_1D = self._model.encode_text(tokens_1L.to(self.device), normalize=True)
        text_D: npt.NDArray[np.float32] = _to_numpy(text_1D)[0]
        return text_D

    def _tokens(self, prompt: str) -> torch.Tensor:
        if not prompt.strip():
            raise EvalError(
                "the prompt is empty, so nothing can be aligned with it: write a prompt"
            )
        length = self.context_length
        # A token holds a byte or more; marks, and clean-up that lengthens a text, need room.
        roomy = length + 2 * len(prompt.encode("utf-8", errors="replace")) + 8
        whole = self._tokenizer([prompt], context_length=roomy)
        padding = self._tokenizer([""], context_length=roomy)[0, -1]
        tokens: torch.Tensor = self._tokenizer([prompt])
        if bool((whole[:, :length] != tokens).any()) or bool((whole[:, length:] != padding).any()):
            count = max(int((whole != padding).sum()), length + 1)
            raise EvalError(
                f"prompt {reprlib.repr(prompt)} takes {count} tokens with its start and end "
                f"marks, but the CLIP model reads {length}: shorten the prompt"
            )
        return tokens


def checked_device(device: str) -> torch.device:
    """The torch device, when it is there.

    Raises:
        EncoderError: no such device, or no CUDA here.
    """
    import torch  # noqa: PLC0415

    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise EncoderError(f"score.device is {device!r}: use cpu, cuda or cuda:N") from error
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise EncoderError(
            f"score.device is {device!r}, but torch sees {torch.cuda.device_count()} CUDA "
            "device(s): use cpu, or a machine and a torch build with CUDA"
        )
    return found


def model_folder(model: str, *, revision: str | None = None) -> Path:
    """The local folder of a model; a hub model's files are fetched into the hub's cache first.

    Raises:
        EncoderError: the folder or hub model is absent, lacks a file, or has pickled weights only.
    """
    if not model.startswith(HUB_PREFIX):
        folder = Path(model.removeprefix(FOLDER_PREFIX))
        if not folder.is_dir():
            raise EncoderError(
                f"score.model is {model!r}, but there is no such folder: give a folder with "
                f"{CONFIG_NAME} and {WEIGHTS_NAME}, or hf-hub:org/name"
            )
        return _checked_folder(folder)
    import huggingface_hub  # noqa: PLC0415

    try:
        fetched = huggingface_hub.snapshot_download(
            model.removeprefix(HUB_PREFIX),
            revision=revision,
            allow_patterns=[CONFIG_NAME, WEIGHTS_NAME, *_TOKENIZER_FILES],
        )
    except (OSError, ValueError) as error:
        raise EncoderError(f"cannot fetch {model} at revision {revision}: {error}") from error
    return _checked_folder(Path(fetched))


def _checked_folder(folder: Path) -> Path:
    config = folder / CONFIG_NAME
    if not config.is_file():
        raise EncoderError(f"{folder} has no {CONFIG_NAME}: it is no open_clip model folder")
    _check_config(config)
    if not (folder / WEIGHTS_NAME).is_file():
        others = sorted(
            path.name for path in folder.glob("*") if path.suffix in {".bin", ".pt", ".pth"}
        )
        pickled = f"{', '.join(others)} may run code when read and are refused; " if others else ""
        raise EncoderError(
            f"{folder} has no {WEIGHTS_NAME}: {pickled}convert the weights with safetensors"
        )
    _check_whole(folder / WEIGHTS_NAME)
    return folder


def _check_config(config: Path) -> None:
    """Refuse what open_clip cannot read, and what would make it read files that are elsewhere."""
    try:
        text = config.read_text(encoding="utf-8")
        towers = [json.loads(text)["model_cfg"][name] for name in ("text_cfg", "vision_cfg")]
        elsewhere = {
            "hf_model_name": towers[0].get("hf_model_name"),
            "bpe_path": (towers[0].get("tokenizer_kwargs") or {}).get("bpe_path"),
            "timm_model_name": _from_a_hub(towers[1].get("timm_model_name")),
        }
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise EncoderError(
            f"{config} cannot be read ({type(error).__name__}: {error}), but JSON with model_cfg, "
            "text_cfg and vision_cfg is needed: copy or download the model again"
        ) from error
    if "trust_remote_code" in text:
        raise EncoderError(f"{config} asks for trust_remote_code, which runs its code: refused")
    for name, value in elsewhere.items():
        if value:
            raise EncoderError(
                f"{config} has {name}={value!r}, which lies outside of the model, so its revision "
                "would not hold it: use a CLIP model that is whole, such as "
                "hf-hub:laion/CLIP-ViT-L-14-laion2B-s32B-b82K"
            )


def _from_a_hub(name: str | None) -> str | None:
    """A timm model's name where it has an address; plain names are timm's own architectures."""
    return name if name and ":" in name else None


def _check_whole(weights: Path) -> None:
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415

    try:
        with safe_open(weights, framework="np"):
            pass
    except (OSError, SafetensorError) as error:
        size = weights.stat().st_size
        raise EncoderError(
            f"{weights.parent} is no open_clip model that can be loaded: {weights.name} is no "
            f"whole safetensors file of {size} bytes ({error}); copy or download the model again"
        ) from error


def _to_numpy(embeddings: torch.Tensor) -> npt.NDArray[Any]:
    return embeddings.float().cpu().numpy()
