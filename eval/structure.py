"""Structure kept: how alike the self-similarities of two images' keys are (Tumanyan et al. 2022).

The keys are given: whoever calls says of which model and layer, and how images were prepared.
Shape legend: F frames, P tokens (the class token may be among them), D width.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from eval.errors import EvalError
from eval.metrics import unit_length

Keys = npt.NDArray[np.floating[Any]]


def structure_distance(source_FPD: Keys, edit_FPD: Keys) -> float:
    """Mean squared difference of the cosines between all tokens, the mean over frames.

    PnPInversion (07f97f4) and FiVE show it × 1000. Both feed images of 0 to 255 into ImageNet's
    normalisation, which is meant for 0 to 1: their figures compare with keys made so alone.

    Args:
        source_FPD: Keys of the source's frames, all heads joined, shape (F, P, D).
        edit_FPD: Keys of the edit's frames, of the same F and P.

    Returns:
        0 (equal structure) to 4.

    Raises:
        EvalError: other shapes, or a key that is zero or not finite.
    """
    if len(source_FPD) != len(edit_FPD) or source_FPD.shape[1] != edit_FPD.shape[1]:
        raise EvalError(
            f"keys of the source have shape {source_FPD.shape}, those of the edit "
            f"{edit_FPD.shape}: frames and tokens must be as many"
        )
    if not len(source_FPD):
        raise EvalError("the clip has no frame of which to compare the structure")
    apart = [
        np.square(_similar(source) - _similar(edit)).mean()
        for source, edit in zip(source_FPD, edit_FPD, strict=True)
    ]
    return float(np.mean(apart))


def _similar(keys_PD: Keys) -> npt.NDArray[np.float64]:
    unit_PD = unit_length(keys_PD, "key", ndim=2)
    return np.asarray(unit_PD @ unit_PD.T)
