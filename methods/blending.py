"""Attention that takes over a source's maps, which go through the UNet beside the edit.

No map is ever held. What replaces an edit's map of weights by its source's is attention with the
source's queries and keys to the edit's values; what mixes the columns of two maps is the same with
the values mixed. So any kernel does it, in no more memory than attention takes.

Shape suffixes as in `tav_model.attention`. The source is the first of B clips, the edit the last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from typing_extensions import override

from tav_model.attention import SpatioTemporalProcessor, TextProcessor
from tav_model.unet import ClipUNet
from tav_model.words import attention_to, halved, spread, text_layers


@dataclass(kw_only=True, slots=True)
class Blending:
    """What the running UNet call takes over, and what it records."""

    max_tokens: int
    """Layers of more tokens a frame take over nothing."""
    depth: int
    """How often the sides of the latents are halved in the layers that record."""
    depths: int
    """In how many sizes the UNet has layers, each half of the former."""
    attention: bool = False
    """Whether self-attention is the source's."""
    masks: Mapping[int, Tensor] = field(default_factory=dict)
    """By tokens of a frame: (F, S, 1, 1), true where it is the edit's own all the same."""
    words: tuple[Tensor, Tensor] | None = None
    """Of attention to the text, an `Alignment`'s (L, L) and (L,); none where it is the edit's own.
    """
    recording: list[Tensor] | None = None
    """Where attention to the text goes of the layers that record: (F, S, L) of one clip each, the
    heads' mean."""

    def mask(self, seen_FS: Tensor, size: Sequence[int], threshold: float) -> None:
        """Keep the edit's own self-attention where some words of the source are seen best.

        Args:
            seen_FS: how much each token of the layers that record attends to them.
            size: height and width of the latents.
            threshold: share of a frame's maximum that must be exceeded.
        """
        coarse, sizes = halved(size, self.depth), [halved(size, n) for n in range(self.depths)]
        masks = [spread(seen_FS, coarse, one, threshold) for one in sizes]
        self.masks = {mask_FS.shape[1]: mask_FS[:, :, None, None] for mask_FS in masks}

    def reset(self) -> None:
        """Take over nothing, and record nothing."""
        self.attention, self.masks, self.words, self.recording = False, {}, None, None


class BlendedSpatioTemporal(SpatioTemporalProcessor):
    """Self-attention of a frame's tokens to other frames', in the edit as in the source."""

    def __init__(self, stock: SpatioTemporalProcessor, blending: Blending) -> None:
        """Take over a processor's settings."""
        super().__init__(stock.mode, stock.backend, stock.clip)
        self.blending = blending

    @override
    def attend(self, q_BFSAD: Tensor, k_BFSAD: Tensor, v_BFSAD: Tensor) -> Tensor:
        blending, (_, frames, tokens, *_) = self.blending, q_BFSAD.shape
        q, k, v = q_BFSAD, k_BFSAD, v_BFSAD
        if not blending.attention or tokens > blending.max_tokens:
            return super().attend(q, k, v)
        if not blending.masks:
            q, k = (torch.cat([x[:-1], x[:1]]) for x in (q, k))
            return super().attend(q, k, v)
        q, k, v = torch.cat([q, q[:1]]), torch.cat([k, k[:1]]), torch.cat([v, v[-1:]])
        out = super().attend(q, k, v).view(len(q), frames, tokens, *q.shape[3:])
        edit = torch.where(blending.masks[tokens], out[-2], out[-1])
        return torch.cat([out[:-2], edit[None]])


class BlendedText(TextProcessor):
    """Attention to the text, with the source's words where the edit has them too."""

    def __init__(self, stock: TextProcessor, blending: Blending, *, records: bool) -> None:
        """Take over a processor's settings, and say whether it records where it goes."""
        super().__init__(stock.backend, stock.clip)
        self.blending = blending
        self.records = records

    @override
    def attend(self, q_BTAD: Tensor, k_BLAD: Tensor, v_BLAD: Tensor) -> Tensor:
        blending, tokens = self.blending, q_BTAD.shape[1] // self.clip.frames
        q, k, v = q_BTAD, k_BLAD, v_BLAD
        if self.records and blending.recording is not None:
            blending.recording.append(attention_to(q[0], k[0]).view(self.clip.frames, tokens, -1))
        if blending.words is None or tokens > blending.max_tokens:
            return super().attend(q, k, v)
        source, own = (weights.to(v.dtype) for weights in blending.words)
        taken = torch.einsum("mn,nad->mad", source, v[-1])
        q, k = torch.cat([q, q[:1]]), torch.cat([k, k[:1]])
        v = torch.cat([v[:-1], (own[:, None, None] * v[-1])[None], taken[None]])
        out = super().attend(q, k, v)
        edit: Tensor = out[-2] + out[-1]
        return torch.cat([out[:-2], edit[None]])


def install(unet: ClipUNet, max_tokens: int) -> Blending:
    """Give a UNet's attentions, but those along time, these processors.

    Those of `tav_model.words.text_layers` record, as in the official code.

    Args:
        unet: what `tav_model.unet.build_unet` made.
        max_tokens: see `Blending`.

    Returns:
        What they share.

    Raises:
        ValueError: there is no such layer.
    """
    depth, recording = text_layers(unet)
    blending = Blending(max_tokens=max_tokens, depth=depth, depths=len(unet.up_blocks))
    for name, processor in unet.attn_processors.items():
        layer = unet.get_submodule(name.removesuffix(".processor"))
        if isinstance(processor, SpatioTemporalProcessor):
            layer.set_processor(BlendedSpatioTemporal(processor, blending))
        elif isinstance(processor, TextProcessor):
            layer.set_processor(BlendedText(processor, blending, records=name in recording))
    return blending
