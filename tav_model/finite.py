"""What to tell where a result holds NaN or infinity: the remedy depends on the dtype."""

from __future__ import annotations

import torch
from torch import Tensor

from tav_model.errors import NonFiniteError


def check_finite(x: Tensor, what: str, dtype: torch.dtype, otherwise: str) -> None:
    """Raise a NonFiniteError if a tensor holds NaN or infinity.

    Args:
        x: The result.
        what: What gave it.
        dtype: What it was computed in.
        otherwise: The remedy where no other dtype would help.
    """
    if not bool(torch.isfinite(x).all()):
        msg = f"{what} gave NaN or infinity in {dtype}: {remedy(dtype, otherwise)}"
        raise NonFiniteError(msg)


def remedy(dtype: torch.dtype, otherwise: str) -> str:
    """What to do about numbers that overflowed in ``dtype``; bf16 holds all that fp32 holds."""
    if dtype == torch.float16:
        return f"set model.dtype to bf16 or fp32; if that does not help, {otherwise}"
    return otherwise
