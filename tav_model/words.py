"""Where a clip's frames attend to words of a prompt, as Prompt-to-Prompt's LocalBlend looks at it.

Attention to the text, the heads' mean, of the coarsest layers that have any, but the middle: of
Stable Diffusion those of a quarter of the latents' sides. Must agree with google/prompt-to-prompt
(arXiv 2208.01626, section 4) in the layers and in how a mask is made of what they attend to.

Shape suffixes: B clips, F frames, T = F*S tokens of a clip, S tokens of one frame, L text tokens,
A heads, D channels of one head, H W latent pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from tav_model.attention import TextProcessor
from tav_model.unet import ClipUNet

_AROUND = 3
"""Side of the square of coarse tokens whose greatest value counts, so that masks are a little wider
than what is attended from."""


class WordMaps:
    """How much each token of a frame has attended to some words of each clip's prompt so far."""

    def __init__(self, words: Sequence[Sequence[int]], frames: int, depth: int) -> None:
        """Look at nothing yet.

        Args:
            words: for each of B prompts the places of the tokens that count.
            frames: of the whole clip.
            depth: how often the sides of the latents are halved in the layers that are looked at.
        """
        self._words = [list(places) for places in words]
        self._frames = frames
        self._depth = depth
        self._seen_BFS: Tensor | None = None

    def add(self, q_BTAD: Tensor, k_BLAD: Tensor, frames: Tensor | None, num_frames: int) -> None:
        """Look at one layer of one call.

        Args:
            q_BTAD: queries; with guidance both halves, of which the latter counts.
            k_BLAD: keys of the texts.
            frames: (F,) which of the clip's frames these are; none is all.
            num_frames: how many there are.

        Raises:
            ValueError: these are other prompts than were told.
        """
        count = len(self._words)
        first = len(q_BTAD) - count
        if first not in (0, count):
            raise ValueError(
                f"{len(q_BTAD)} clips go through the UNet, but words of {count} prompts are looked "
                f"at: sample these {count} at once (sample.prompts_per_batch)"
            )
        for row, places in enumerate(self._words):  # one clip at a time, to hold its weights alone
            weights_TL = attention_to(q_BTAD[first + row], k_BLAD[first + row])
            found_FS = weights_TL[:, places].sum(-1).view(num_frames, -1)
            if self._seen_BFS is None:
                shape = (count, self._frames, found_FS.shape[1])
                self._seen_BFS = found_FS.new_zeros(shape)
            self._seen_BFS[row, slice(None) if frames is None else frames] += found_FS

    def inside(self, size: Sequence[int], threshold: float) -> Tensor:
        """Where the words have been attended to from, (B, F, H, W) bool.

        Args:
            size: height and width of the latents.
            threshold: share of each frame's maximum that must be exceeded.
        """
        assert self._seen_BFS is not None, "the UNet was not called"
        coarse = halved(size, self._depth)
        masks = (spread(seen_FS, coarse, size, threshold) for seen_FS in self._seen_BFS)
        return torch.stack([mask_FS.view(-1, *size) for mask_FS in masks])


class _Told(TextProcessor):
    """Attention to the text that is looked at."""

    def __init__(self, stock: TextProcessor, maps: WordMaps) -> None:
        super().__init__(stock.backend, stock.clip)
        self._maps = maps

    @override
    def attend(self, q_BTAD: Tensor, k_BLAD: Tensor, v_BLAD: Tensor) -> Tensor:
        self._maps.add(q_BTAD, k_BLAD, self.clip.seen, self.clip.frames)
        return super().attend(q_BTAD, k_BLAD, v_BLAD)


@contextmanager
def watched(unet: ClipUNet, words: Sequence[Sequence[int]], frames: int) -> Iterator[WordMaps]:
    """Look at every call of a UNet meanwhile; what it gives stays the same to the bit.

    Args:
        unet: what `tav_model.unet.build_unet` made.
        words: see `WordMaps`.
        frames: of the whole clip.

    Raises:
        ValueError: no layer can be looked at.
    """
    depth, names = text_layers(unet)
    maps = WordMaps(words, frames, depth)
    stock = {name: unet.attn_processors[name] for name in names}
    try:
        for name, processor in stock.items():
            _layer(unet, name).set_processor(_Told(processor, maps))
        yield maps
    finally:
        for name, processor in stock.items():
            _layer(unet, name).set_processor(processor)


def _layer(unet: ClipUNet, name: str) -> Any:
    return unet.get_submodule(name.removesuffix(".processor"))


def text_layers(unet: ClipUNet) -> tuple[int, list[str]]:
    """The coarsest layers with attention to the text, but the middle.

    Returns:
        How often the sides of the latents are halved there, and the names of their processors.

    Raises:
        ValueError: there is no such layer.
    """
    depths = {
        name: depth
        for name in unet.attn_processors
        if ".attn2." in name and (depth := _depth(name, len(unet.up_blocks))) is not None
    }
    if not depths:
        raise ValueError(
            "attention to the text is needed in an encoder or decoder block, but this base's UNet "
            f"has none (down_block_types={list(unet.config.down_block_types)}). Use a base of "
            "Stable Diffusion's layout."
        )
    coarsest = max(depths.values())
    return coarsest, [name for name, depth in depths.items() if depth == coarsest]


def attention_to(q_TAD: Tensor, k_LAD: Tensor) -> Tensor:
    """Weights (T, L) fp32 of attention, the heads' mean."""
    scores = torch.einsum("tad,lad->atl", q_TAD.float(), k_LAD.float()) * q_TAD.shape[-1] ** -0.5
    found: Tensor = scores.softmax(-1).mean(0)
    return found


def spread(seen_FS: Tensor, coarse: Sequence[int], size: Sequence[int], threshold: float) -> Tensor:
    """A mask of where some words are seen, (F, H*W) bool.

    Args:
        seen_FS: how much each token of the coarsest layers attends to them.
        coarse: height and width of a frame in these layers.
        size: height and width of the mask.
        threshold: share of a frame's maximum that must be exceeded.
    """
    # As in the official code, down to the order.
    seen_F1HW = seen_FS.view(len(seen_FS), 1, *coarse)
    seen_F1HW = functional.max_pool2d(seen_F1HW, _AROUND, stride=1, padding=_AROUND // 2)
    scaled_FS = functional.interpolate(seen_F1HW, size=tuple(size)).flatten(1)
    return scaled_FS / scaled_FS.amax(1, keepdim=True) > threshold


def _depth(name: str, blocks: int) -> int | None:
    """How often the sides were halved where a layer stands; none in the middle."""
    block, number, *_ = name.split(".")
    depths = {"down_blocks": lambda i: i, "up_blocks": lambda i: blocks - 1 - i}
    return depths[block](int(number)) if block in depths else None


def halved(size: Sequence[int], times: int) -> list[int]:
    """Sides that were halved so often, each time rounded up."""
    return [-(-side // 2**times) for side in size]
