"""Inverted latents in Parquet: half-precision tensors beside their shape.

The column is a list with its shape beside it and not a fixed-shape tensor, since a manifest may ask
for another number of frames per video and all parts of a table share one schema.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from components.errors import TransientError
from components.store import Store
from components.tables import Row, read_part

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_COLUMNS = ("adapter_key", "inversion", "latents", "latents_shape")


def latents_columns(latents_CFHW: NDArray[np.floating[Any]]) -> Row:
    """The columns that hold one clip's inverted latents, rounded to float16.

    Args:
        latents_CFHW: Inverted latents (channels, frames, height, width) of the VAE's latent space.
    """
    half = latents_CFHW.astype("float16")
    return {"latents": half.ravel(), "latents_shape": list(half.shape)}


def read_latents(store: Store, part: str, adapter_key: str, inversion: str) -> NDArray[np.float16]:
    """Read one clip's inverted latents, float16 (C, F, H, W), from the part that holds them.

    Raises:
        TransientError: the part is gone or holds no such row.
    """
    import numpy as np

    try:
        rows: Sequence[Row] = read_part(store, "latents", part, _COLUMNS)
    except FileNotFoundError as error:
        raise TransientError(f"{store.root}/{part} is gone: run again to invert anew") from error
    for row in rows:
        if (row["adapter_key"], row["inversion"]) == (adapter_key, inversion):
            return np.asarray(row["latents"], dtype=np.float16).reshape(row["latents_shape"])
    raise TransientError(f"{part} holds no latents of {adapter_key} {inversion}: run again")
