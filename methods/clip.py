"""CLIP as a guide of training: text, augmented views of pictures, and what they are made of.

Must agree with omerbt/Text2LIVE in how pictures are augmented.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import transforms

from methods.clip_config import CONFIG_NAME, STEM
from tav_model.errors import BaseModelError, PromptError

_LEAST_CROP = 0.6
"""Least side of a view, as a share of the picture's."""


class Clip:
    """A CLIP model in fp32 on a device, through whose pictures gradients flow."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        """Load it.

        Raises:
            BaseModelError: files are missing, damaged or pickled, or do not belong together.
        """
        import open_clip

        from tav_model.weights import check_whole, weight_files

        check_whole(weight_files(folder, STEM, (None,)))
        name = f"local-dir:{folder}"
        damaged = (OSError, ValueError, RuntimeError, LookupError, TypeError, StopIteration)
        try:
            model, preprocess = open_clip.create_model_from_pretrained(
                name, device=device, precision="fp32"
            )
            self._tokenizer: Any = open_clip.get_tokenizer(name)
        except damaged as error:
            raise BaseModelError(
                f"{folder} is no open_clip model that can be loaded ({error}): check that "
                f"{CONFIG_NAME} and {STEM}.safetensors belong together"
            ) from error
        self._model: Any = model.eval().requires_grad_(requires_grad=False)
        self._size = tuple(int(side) for side in model.visual.image_size)
        normalize = preprocess.transforms[-1]
        self._normalize = transforms.Normalize(normalize.mean, normalize.std)
        self._views = _augmentations()
        self.device = device

    def check(self, text: str) -> None:
        """Refuse a text that the model cannot read whole; open_clip would cut it off.

        Raises:
            PromptError: it is empty or too long.
        """
        if not text.strip():
            raise PromptError(f"the prompt {text!r} is empty. Give a description of the video.")
        limit = int(self._tokenizer.context_length)
        # A token holds a byte or more; marks, and clean-up that lengthens a text, need room.
        room = limit + 2 * len(text.encode(errors="replace")) + 8
        whole, padding = (self._tokenizer([t], context_length=room)[0] for t in (text, ""))
        read = self._tokenizer([text])[0]
        # What pads may be what ends a text, so tokens alone do not say how long it is.
        if bool((whole[:limit] != read).any()) or bool((whole[limit:] != padding[-1]).any()):
            count = max(int((whole != padding[-1]).sum()), limit + 1)
            raise PromptError(
                f"the prompt has {count} tokens, CLIP reads {limit} (start and end marks "
                f"included). Shorten {text!r}, or set text2live.templates to shorter ones."
            )

    @torch.no_grad()
    def texts(self, prompt: str, templates: Sequence[str]) -> Tensor:
        """Embed a prompt in each of these sentences: (T, D).

        Raises:
            PromptError: one is too long.
        """
        texts = [template.replace("{}", prompt) for template in templates]
        for text in texts:
            self.check(text)
        embedded: Tensor = self._model.encode_text(self._tokenizer(texts).to(self.device))
        return embedded

    def views(self, pictures: Sequence[Tensor], count: int) -> Tensor:
        """Embed random views of pictures (3, H, W), the first of each whole: (P, V, D).

        Draws come from torch's generator.
        """
        views = [self._view(picture, whole=not i) for picture in pictures for i in range(count)]
        embedded: Tensor = self._model.encode_image(self._normalize(torch.stack(views)))
        return embedded.view(len(pictures), count, -1)

    def _view(self, picture_3HW: Tensor, *, whole: bool) -> Tensor:
        if not whole:
            share = float(torch.empty(1).uniform_(_LEAST_CROP, 1))
            sides = [max(1, int(side * share)) for side in picture_3HW.shape[-2:]]
            picture_3HW = transforms.RandomCrop(sides)(picture_3HW)
        return self._views(self._resized(picture_3HW))

    def self_similarity(self, pictures: Sequence[Tensor]) -> Tensor:
        """Cosines between the tokens that go into the last layer: (P, L, L)."""
        caught: list[Tensor] = []
        transformer: Any = self._model.visual.transformer
        hook = transformer.resblocks[-1].register_forward_pre_hook(
            lambda _, given: caught.append(given[0])
        )
        resized = torch.stack([self._resized(picture) for picture in pictures])
        try:
            self._model.encode_image(self._normalize(resized))
        finally:
            hook.remove()
        tokens = caught[0] if transformer.batch_first else caught[0].transpose(0, 1)
        tokens = nn.functional.normalize(tokens, dim=-1)
        return tokens @ tokens.transpose(1, 2)

    def _resized(self, picture_3HW: Tensor) -> Tensor:
        resized: Tensor = transforms.functional.resize(
            picture_3HW, list(self._size), antialias=True
        )
        return resized.clamp(0, 1)


def _augmentations() -> Callable[[Tensor], Tensor]:
    bilinear = transforms.InterpolationMode.BILINEAR
    affine = transforms.RandomAffine(degrees=15, translate=(0.1, 0.1), interpolation=bilinear)
    jitter = transforms.ColorJitter(brightness=0.1, contrast=0.1, saturation=0.1, hue=0.1)
    augmentations: Callable[[Tensor], Tensor] = transforms.Compose(
        [
            transforms.RandomHorizontalFlip(p=0.5),
            transforms.RandomApply([affine], p=0.8),
            transforms.RandomPerspective(distortion_scale=0.4, p=0.5, interpolation=bilinear),
            transforms.RandomApply([jitter], p=0.7),
            transforms.RandomGrayscale(p=0.15),
        ]
    )
    return augmentations
