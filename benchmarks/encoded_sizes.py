"""Bytes of an adapter in each encoding, counted from its tensors' shapes."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import torch

from tav_model.config import AdapterConfig, Encoding
from tav_model.encoding import encode

_BLOCKS = {320: 5, 640: 5, 1280: 6}
"""Transformer blocks of Stable Diffusion 1.4's UNet by their channels."""
SD14_MATRICES: Mapping[str, tuple[int, ...]] = {
    f"{channels}.{block}.{name}": (channels, channels) if name < 6 else (channels,)  # noqa: PLR2004
    for channels, blocks in _BLOCKS.items()
    for block in range(blocks)
    for name in range(7)  # to_q twice, q, k, v and out along time, and the last one's bias
}
"""Shapes of what `tune.parameters: paper` tunes of it."""


def encoded_bytes(shapes: Mapping[str, tuple[int, ...]], encoding: Encoding, rank: int) -> int:
    """What the tensors of an adapter's file take.

    Args:
        shapes: of the tuned tensors, by name.
        encoding: as in ``adapter.encoding``.
        rank: of ``low_rank`` alone.
    """
    config = AdapterConfig(encoding=encoding, rank=rank if encoding == "low_rank" else 64)
    sizes = {}
    for shape in set(shapes.values()):
        zero = {"w": torch.zeros(shape)}
        stored = encode(zero, zero, config)
        sizes[shape] = sum(tensor.numel() * tensor.element_size() for tensor in stored.values())
    return sum(sizes[shape] for shape in shapes.values())


def rank_of_same_share(shapes: Mapping[str, tuple[int, ...]], rank: int) -> int:
    """The rank at which these tensors keep the share of their bytes that SD 1.4's keep at ``rank``.

    A fixed rank would flatter a small model: of 64 columns rank 64 leaves nothing out.
    """
    matrices = {name: shape for name, shape in shapes.items() if len(shape) > 1}
    sides = sum(shape[0] + prod(shape[1:]) for shape in matrices.values())
    numbers = sum(map(prod, matrices.values()))
    large = [shape for shape in SD14_MATRICES.values() if len(shape) > 1]
    share = rank * sum(map(sum, large)) / sum(map(prod, large))
    return max(1, round(share * numbers / sides))
