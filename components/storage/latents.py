"""Inverted latents in Parquet: half-precision tensors beside their shape.

The column is a list with its shape beside it and not a fixed-shape tensor, since a manifest may ask
for another number of frames per video and all parts of a table share one schema.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from components.errors import TransientError
from components.storage.parts import read_part
from components.storage.store import Store
from components.storage.tables import Row, read_table

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

_COLUMNS = ("video_id", "adapter_key", "inversion", "latents", "latents_shape")


Key = tuple[str, str, str]
"""Video, adapter and inversion."""


def latents_columns(latents_CFHW: NDArray[np.floating[Any]]) -> Row:
    """The columns that hold one clip's inverted latents, rounded to float16.

    Args:
        latents_CFHW: Inverted latents (channels, frames, height, width) of the VAE's latent space.
    """
    half = latents_CFHW.astype("float16")
    return {"latents": half.ravel(), "latents_shape": list(half.shape)}


class LatentsReader:
    """Reads inverted latents and keeps the last part: a merged one holds those of many clips."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._part = ""
        self._rows: pa.Table | None = None
        self._places: dict[Key, int] = {}

    def read(
        self, part: str, video_id: str, adapter_key: str, inversion: str
    ) -> NDArray[np.float16]:
        """Read one clip's inverted latents, float16 (C, F, H, W).

        Args:
            part: The part that held them when the tables were read.
            video_id: The clip's; clips of a group share their adapter.
            adapter_key: The adapter's key.
            inversion: The inversion's name.

        Raises:
            TransientError: the part holds no such row, or it is gone and so is the row.
        """
        key = (video_id, adapter_key, inversion)
        try:
            found = self._find(part, key)
        except FileNotFoundError as error:
            part = self._moved(part, key, error)
            found = self._find(part, key)
        if found is None:
            raise TransientError(f"{part} holds no latents of {adapter_key} {inversion}: run again")
        return found

    def _find(self, part: str, key: Key) -> NDArray[np.float16] | None:
        """The latents of the last row of a key, unless it withdraws them."""
        rows = self._read(part)
        place = self._places.get(key)
        if place is None or (shape := rows["latents_shape"][place].as_py()) is None:
            return None
        latents: NDArray[np.float16] = rows["latents"][place].values.to_numpy(zero_copy_only=False)
        return latents.reshape(shape)

    def _read(self, part: str) -> pa.Table:
        if self._rows is None or self._part != part:
            self._rows = None  # two parts at once would double the memory
            self._rows = read_part(self._store, "latents", part, _COLUMNS).rows
            keys = (self._rows[name].to_pylist() for name in _COLUMNS[:3])
            self._places = {key: place for place, key in enumerate(zip(*keys, strict=True))}
            self._part = part
        return self._rows

    def _moved(self, part: str, key: Key, error: FileNotFoundError) -> str:
        """Where compaction has moved a row."""
        rows = read_table(self._store, "latents", _COLUMNS[:3], with_part=True)
        found = [row["part"] for row in rows if tuple(row[name] for name in _COLUMNS[:3]) == key]
        if not found:
            raise TransientError(
                f"{self._store.root}/{part} is gone: run again to invert anew"
            ) from error
        return str(found[-1])
