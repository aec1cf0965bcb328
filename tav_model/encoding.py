"""Adapters in fewer bytes: what tuning changed of each tensor, in a form of the user's choice.

Every form but fp32 keeps the difference from the weights before tuning: the base's own, or the
seeded initial ones of the temporal attentions. Whoever decodes has those, by loading the base. Of a
tensor (m, …) the form sees a matrix (m, n). Tensors of one dimension (biases, norms) are a
thousandth of all numbers and stay as they are, in fp32.

    fp16      the difference in fp16
    low_rank  the product of two factors in int8 (Eckart and Young; as LoRA's, arXiv 2106.09685)
    sign      one bit a number and a scale a row (BitDelta, arXiv 2402.10193)
    int4      four bits a number and a scale for every 64 of them

A tensor `name` is stored under `name` as it is, or in parts under `name:part`.
"""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from tav_model.config import AdapterConfig
from tav_model.errors import CheckpointError

GROUP = 64
"""Numbers that share a scale in int4."""
_INT4 = 7
_INT8 = 127
ANCHOR = ":anchor"
"""Some of the weights before tuning, by which a reader knows that it has the same."""
_ANCHORS = 8
"""Numbers of each tensor in it."""


def encode(
    adapter: Mapping[str, Tensor], initial: Mapping[str, Tensor], config: AdapterConfig
) -> dict[str, Tensor]:
    """Encode an adapter.

    Args:
        adapter: fp32 CPU tensors by state-dict name.
        initial: the same tensors before tuning.
        config: the form.

    Returns:
        What the file holds, by name or `name:part`.

    Raises:
        ValueError: a difference is not finite in this form.
    """
    if config.encoding == "fp32":
        return dict(adapter)
    found = {ANCHOR: _anchor(initial)}
    for name, tuned in adapter.items():
        if tuned.ndim < 2:  # noqa: PLR2004
            found[name] = tuned
            continue
        parts = _parts((tuned - initial[name]).flatten(1), config)
        for part, tensor in parts.items():
            if tensor.is_floating_point() and not tensor.isfinite().all():
                msg = (
                    f"adapter.encoding={config.encoding!r} cannot hold the change of {name}, whose "
                    f"largest is {float((tuned - initial[name]).abs().max()):.3g}: use fp32"
                )
                raise ValueError(msg)
            found[f"{name}:{part}"] = tensor.contiguous()
    return found


def decode(
    stored: Mapping[str, Tensor], initial: Mapping[str, Tensor], where: str
) -> dict[str, Tensor]:
    """Decode what `encode` made; the parts' names and dtypes say how.

    Args:
        stored: what the file holds.
        initial: fp32 CPU tensors before tuning, by state-dict name.
        where: names the file in messages.

    Returns:
        The adapter's fp32 tensors.

    Raises:
        CheckpointError: the parts are none that `encode` makes for these tensors, or the weights
            before tuning were others.
    """
    _check_anchor(stored, initial, where)
    parts: dict[str, dict[str, Tensor]] = {}
    found = {}
    for key, tensor in stored.items():
        name, colon, part = key.partition(":")
        if key == ANCHOR:
            continue
        if not colon:
            found[name] = tensor
        else:
            parts.setdefault(name, {})[part] = tensor
    for name, of_name in parts.items():
        before = initial.get(name)
        read = _READERS.get(frozenset(of_name))
        if before is None or before.ndim < 2 or read is None or name in found:  # noqa: PLR2004
            msg = (
                f"{where} holds {name} as {sorted(of_name)}, which no encoding of this base's "
                "tensors does. Tune the video again."
            )
            raise CheckpointError(msg)
        m, n = before.flatten(1).shape
        if not _fits(of_name, m, n):
            shapes = {part: (tuple(t.shape), str(t.dtype)) for part, t in sorted(of_name.items())}
            msg = f"{where} holds {name} as {shapes}, which is no ({m}, {n}). Tune the video again."
            raise CheckpointError(msg)
        found[name] = before + read(of_name, m, n).reshape(before.shape)
    return found


def digest(adapter: Mapping[str, Tensor]) -> str:
    """SHA-256 of an adapter's values: names, shapes and fp32 numbers, whatever the encoding."""
    sha256 = hashlib.sha256()
    for name, tensor in sorted(adapter.items()):
        sha256.update(f"{name} {tuple(tensor.shape)}\n".encode())
        sha256.update(tensor.to(torch.float32).contiguous().numpy().tobytes())
    return sha256.hexdigest()


def _anchor(initial: Mapping[str, Tensor]) -> Tensor:
    return torch.stack([_spread(initial[name]) for name in sorted(initial)])


def _spread(tensor: Tensor) -> Tensor:
    flat = tensor.flatten()
    return flat[torch.linspace(0, flat.numel() - 1, _ANCHORS, device=flat.device).long()]


def _check_anchor(stored: Mapping[str, Tensor], initial: Mapping[str, Tensor], where: str) -> None:
    there, here = stored.get(ANCHOR), _anchor(initial)
    # Not bit by bit: another CPU may merge a LoRA with another rounding.
    fits = there is not None and (there.shape, there.dtype) == (here.shape, here.dtype)
    if there is None or not fits or not torch.allclose(there, here, 1e-3, 1e-6):
        msg = (
            f"{where} holds changes of other weights than this base has before tuning: "
            "model.init_seed, tune.parameters or the base differs. Load it as it was tuned, or "
            "tune again."
        )
        raise CheckpointError(msg)


def _parts(change: Tensor, config: AdapterConfig) -> dict[str, Tensor]:
    """Encode one (m, n) change."""
    m, n = change.shape
    if config.encoding == "sign":
        # Of all scales that go with the signs, the mean is nearest to the change, row by row.
        scale = change.abs().mean(1)
        return {"sign": _packed_bits(change >= 0), "scale": scale}
    if config.encoding == "int4":
        return _int4(change)
    if config.encoding == "low_rank" and config.rank * (m + n) < 2 * m * n:
        return _low_rank(change, min(config.rank, m, n))
    return {"change": change.half()}


def _low_rank(change: Tensor, rank: int) -> dict[str, Tensor]:
    """The best factors of a rank, (m, r) and (r, n): int8 adds 1 % where truncation costs tens."""
    tall = change.double() if len(change) <= change.shape[1] else change.double().T
    _, vectors = torch.linalg.eigh(tall @ tall.T)  # of the smaller side: exact, and fast
    left = vectors[:, -rank:].flip(1)
    right = left.T @ tall
    up, down = (left, right) if len(change) <= change.shape[1] else (right.T, left.T)
    found = {}
    for name, factor, dim in (("up", up, 0), ("down", down, 1)):
        scale = factor.abs().amax(dim).clamp_min(1e-30) / _INT8
        found[name] = (factor / scale.unsqueeze(dim)).round().to(torch.int8)
        found[f"{name}_scale"] = scale.float()
    return found


def _int4(change: Tensor) -> dict[str, Tensor]:
    flat = change.flatten()
    groups = torch.nn.functional.pad(flat, (0, -len(flat) % GROUP)).reshape(-1, GROUP)
    scale = (groups.abs().amax(1) / _INT4).bfloat16()
    divisor = scale.float().clamp_min(1e-30)[:, None]
    levels = (groups / divisor).round().clamp(-_INT4, _INT4).flatten()[: len(flat)]
    nibbles = torch.nn.functional.pad((levels + 8).to(torch.uint8), (0, len(flat) % 2))
    return {"int4": nibbles[::2] | (nibbles[1::2] << 4), "scale": scale}


def _packed_bits(bits: Tensor) -> Tensor:
    """Eight to a byte, the first in the lowest bit."""
    flat = bits.flatten().to(torch.uint8)
    eights = torch.nn.functional.pad(flat, (0, -len(flat) % 8)).reshape(-1, 8)
    return (eights << torch.arange(8, dtype=torch.uint8)).sum(1, dtype=torch.uint8)


def _from_change(parts: Mapping[str, Tensor], m: int, n: int) -> Tensor:  # noqa: ARG001
    return parts["change"].float()


def _from_low_rank(parts: Mapping[str, Tensor], m: int, n: int) -> Tensor:  # noqa: ARG001
    up = parts["up"].double() * parts["up_scale"].double()
    down = parts["down"].double() * parts["down_scale"].double()[:, None]
    return (up @ down).float()


def _from_sign(parts: Mapping[str, Tensor], m: int, n: int) -> Tensor:
    bits = (parts["sign"][:, None] >> torch.arange(8, dtype=torch.uint8)) & 1
    signs = bits.flatten()[: m * n].reshape(m, n).float() * 2 - 1
    return signs * parts["scale"][:, None]


def _from_int4(parts: Mapping[str, Tensor], m: int, n: int) -> Tensor:
    nibbles = torch.stack([parts["int4"] & 15, parts["int4"] >> 4], 1).flatten()[: m * n]
    levels = torch.nn.functional.pad(nibbles.float() - 8, (0, -m * n % GROUP))
    scaled = levels.reshape(-1, GROUP) * parts["scale"].float()[:, None]
    return scaled.flatten()[: m * n].reshape(m, n)


_READERS: Mapping[frozenset[str], Callable[[Mapping[str, Tensor], int, int], Tensor]] = {
    frozenset({"change"}): _from_change,
    frozenset({"up", "up_scale", "down", "down_scale"}): _from_low_rank,
    frozenset({"sign", "scale"}): _from_sign,
    frozenset({"int4", "scale"}): _from_int4,
}


def _fits(parts: Mapping[str, Tensor], m: int, n: int) -> bool:
    """Whether the parts have the dtypes and shapes of an (m, n) matrix's."""
    rank = parts["up_scale"].numel() if "up_scale" in parts else 0
    rows = -(-m * n // GROUP) if "int4" in parts else m
    scale = torch.bfloat16 if "int4" in parts else torch.float32
    wanted: dict[str, tuple[Sequence[int], torch.dtype]] = {
        "change": ((m, n), torch.float16),
        "up": ((m, rank), torch.int8),
        "up_scale": ((rank,), torch.float32),
        "down": ((rank, n), torch.int8),
        "down_scale": ((rank,), torch.float32),
        "sign": ((math.ceil(m * n / 8),), torch.uint8),
        "int4": ((math.ceil(m * n / 2),), torch.uint8),
        "scale": ((rows,), scale),
    }
    return rank <= min(m, n) and all(
        (tuple(t.shape), t.dtype) == wanted[part] and bool(t.isfinite().all())
        for part, t in parts.items()
    )
