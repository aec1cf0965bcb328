"""CLIP and DINOv2 through transformers, as the scripts of published benchmarks call them.

What protocols on ``score.model`` take is open_clip's (``clip_encoder``). Images are prepared by the
slow processors, PIL's, as when those scripts were written. Shape legend: F frames, D width.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from eval.clip_encoder import checked_device
from eval.errors import EvalError
from eval.weights import DAMAGED, judge_folder, unusable

if TYPE_CHECKING:
    import torch

Frames = npt.NDArray[np.uint8]
Embedding = npt.NDArray[np.float32]

_SHORT, _LONGEST = 224, 480
"""Sides of what ``ViTKeys`` sees, in pixels."""
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's, of levels within [0, 1]."""


class Seen(NamedTuple):
    """What CLIP makes of frames."""

    projected_FD: Embedding
    """Beside texts."""
    pooled_FD: Embedding
    """Before the projection, another space: V2VBench's."""


class ClipModel:
    """A transformers ``CLIPModel`` with its processor, in fp32 and evaluation mode.

    Args:
        model: A folder that model and processor were saved to, or a hub id.
        revision: Of a hub id; none takes the hub's current one.
        device: Torch device; it must be there.
        batch_size: Frames embedded at once.

    Raises:
        EncoderError: the model or the device is not there, or the files are not usable.
    """

    def __init__(self, model: str, *, revision: str | None, device: str, batch_size: int) -> None:
        from transformers import AutoTokenizer, CLIPImageProcessorPil  # noqa: PLC0415 - seconds
        from transformers import CLIPModel as Loaded  # noqa: PLC0415

        self._device = checked_device(device)
        self._batch_size = batch_size
        folder = judge_folder(model, revision)
        try:
            self._model = _whole(Loaded, folder)
            self._processor = CLIPImageProcessorPil.from_pretrained(folder)
            self._tokenizer = AutoTokenizer.from_pretrained(folder)
        except DAMAGED as error:
            raise unusable(model, "CLIPModel with its processor", error) from error
        self._model.to(self._device)
        self.scale = float(self._model.logit_scale.detach().exp())
        """What its logits are cosines times."""

    def see(self, frames_FHWC: Frames) -> Seen:
        """Embed frames, (F, H, W, 3) uint8 RGB."""
        import torch  # noqa: PLC0415

        projected, pooled = [], []
        with torch.inference_mode():
            for chunk in _chunks(frames_FHWC, self._batch_size):
                pixels = self._processor(images=list(chunk), return_tensors="pt")["pixel_values"]
                seen = self._model.vision_model(pixel_values=pixels.to(self._device))
                pooled.append(seen.pooler_output)
                projected.append(self._model.visual_projection(seen.pooler_output))
        return Seen(_numpy(torch.cat(projected)), _numpy(torch.cat(pooled)))

    def read(self, prompt: str, *, cut: bool) -> Embedding:
        """Embed a prompt: to (D,).

        Args:
            prompt: The text.
            cut: Whether one that is too long is cut off, its end token kept, as V2VBench does.

        Raises:
            EvalError: it is empty, or too long and not to be cut.
        """
        import torch  # noqa: PLC0415

        if not prompt.strip():
            raise EvalError("the prompt is empty, so nothing can be aligned with it: write one")
        longest = self._model.config.text_config.max_position_embeddings
        tokens = self._tokenizer([prompt])["input_ids"][0]
        if len(tokens) > longest and not cut:
            raise EvalError(
                f"prompt {reprlib.repr(prompt)} takes {len(tokens)} tokens with its start and end "
                f"marks, but the CLIP model reads {longest}: shorten the prompt"
            )
        words = self._tokenizer([prompt], truncation=True, max_length=longest, return_tensors="pt")
        with torch.inference_mode():
            read = self._model.text_model(**words.to(self._device)).pooler_output
            text_D: Embedding = _numpy(self._model.text_projection(read))[0]
        return text_D


class DinoModel:
    """A transformers ``Dinov2Model`` with its processor; see ``ClipModel`` for the rest."""

    def __init__(self, model: str, *, revision: str | None, device: str, batch_size: int) -> None:
        from transformers import BitImageProcessorPil, Dinov2Model  # noqa: PLC0415

        self._device = checked_device(device)
        self._batch_size = batch_size
        folder = judge_folder(model, revision)
        try:
            self._model = _whole(Dinov2Model, folder)
            self._processor = BitImageProcessorPil.from_pretrained(folder)
        except DAMAGED as error:
            raise unusable(model, "Dinov2Model with its processor", error) from error
        self._model.to(self._device)

    def see(self, frames_FHWC: Frames) -> Embedding:
        """The class token after the last norm of each frame, (F, D)."""
        import torch  # noqa: PLC0415

        found = []
        with torch.inference_mode():
            for chunk in _chunks(frames_FHWC, self._batch_size):
                pixels = self._processor(images=list(chunk), return_tensors="pt")["pixel_values"]
                found.append(self._model(pixel_values=pixels.to(self._device)).pooler_output)
        return _numpy(torch.cat(found))


class ViTKeys:
    """The keys of the last layer of a transformers ``ViTModel``; see ``ClipModel`` for the rest.

    Images are prepared as in Splice and PnPInversion (07f97f4), and no processor is asked for: the
    shorter side becomes 224 pixels, the longer one at most 480 (bilinear, antialiased), less
    ImageNet's mean, over its deviation. Position embeddings of another grid than the model's own
    are interpolated (bicubic) to the grid's size; DINO's own code adds 0.1 to it.
    """

    def __init__(self, model: str, *, revision: str | None, device: str, batch_size: int) -> None:
        from transformers import ViTModel  # noqa: PLC0415

        self._device = checked_device(device)
        self._batch_size = batch_size
        folder = judge_folder(model, revision)
        try:
            # DINO has no pooler, whose weights would be missing.
            self._model = _whole(ViTModel, folder, add_pooling_layer=False)
        except DAMAGED as error:
            raise unusable(model, "ViTModel", error) from error
        self._model.to(self._device)

    def see(self, frames_FHWC: Frames, *, unit: bool = True) -> Embedding:
        """All heads' keys of every token of each frame, the class token first: (F, P, D).

        Args:
            frames_FHWC: (F, H, W, 3) uint8 RGB.
            unit: Whether levels are brought within [0, 1] first, as the normalisation is meant;
                PnPInversion gives it 0 to 255.

        Raises:
            EvalError: frames are so narrow that they have no patch.
        """
        import torch  # noqa: PLC0415

        found: list[torch.Tensor] = []
        last = self._model.layers[-1].attention.k_proj
        hook = last.register_forward_hook(lambda _module, _inputs, keys: found.append(keys.cpu()))
        try:
            with torch.inference_mode():
                for chunk in _chunks(frames_FHWC, self._batch_size):
                    self._model(
                        pixel_values=self._pixels(chunk, unit=unit), interpolate_pos_encoding=True
                    )
        finally:
            hook.remove()
        return _numpy(torch.cat(found))

    def _pixels(self, frames_FHWC: Frames, *, unit: bool) -> torch.Tensor:
        import torch  # noqa: PLC0415
        from torchvision.transforms.functional import normalize, resize  # noqa: PLC0415

        pixels = torch.tensor(frames_FHWC).permute(0, 3, 1, 2).float()
        sized = resize(
            pixels / 255 if unit else pixels, [_SHORT], max_size=_LONGEST, antialias=True
        )
        if min(sized.shape[2:]) < self._model.config.patch_size:
            height, width = frames_FHWC.shape[1:3]
            raise EvalError(
                f"frames of {width}×{height} pixels are too narrow for a patch of the ViT"
            )
        found: torch.Tensor = normalize(sized, _MEAN, _STD).to(self._device)
        return found


def _whole(kind: Any, folder: Path, **options: Any) -> Any:
    """Load a model, and refuse one whose weights do not fill it: the rest would be random."""
    model, told = kind.from_pretrained(
        folder, use_safetensors=True, output_loading_info=True, **options
    )
    lacking = sorted(told["missing_keys"]) + sorted(map(str, told["mismatched_keys"]))
    if lacking:
        raise ValueError(f"{len(lacking)} of its tensors are not there, such as {lacking[0]}")
    return model.float().eval()


def _chunks(frames_FHWC: Frames, size: int) -> Iterator[Frames]:
    for first in range(0, len(frames_FHWC), size):
        yield frames_FHWC[first : first + size]


def _numpy(embeddings: torch.Tensor) -> npt.NDArray[Any]:
    return embeddings.float().cpu().numpy()
