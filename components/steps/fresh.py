"""What this process has just prepared of a video, so that it can sample from it unfetched."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.storage.tables import Row

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from methods.method import Artefact

Key = tuple[str, str, str, str]
"""Video, and the stage's kind, key and name."""


class Fresh:
    """Keeps the artefacts of one video: files as they were written, latents as they are stored."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="tav-fresh-")
        self._video = ""
        self._kept: dict[Key, tuple[Row, Path | NDArray[np.float16]]] = {}

    def keep(self, video_id: str, stage: Row, artefact: Artefact, columns: Row) -> None:
        """Keep an artefact of a video, and let those of other videos go.

        Args:
            video_id: Whose it is.
            stage: As in ``PrepareItem.wanted``.
            artefact: What the method made.
            columns: Of its row.
        """
        if video_id != self._video:
            self.clear()
            self._video = video_id
        key = (video_id, stage["kind"], stage["key"], stage["name"])
        if artefact.path is None:
            # Of the precision that whoever reads the row finds.
            half = columns["latents"].reshape(columns["latents_shape"])
            self._kept[key] = {"part": ""}, half
            return
        path = Path(self._folder.name, f"{len(self._kept)}-{artefact.path.name}")
        _link(artefact.path, path)
        self._kept[key] = {name: columns[name] for name in ("uri", "sha256")}, path

    def row(self, video_id: str, stage: Row) -> Row | None:
        """The stage as in ``PrepareItem.made``, where it is kept."""
        found = self._kept.get((video_id, stage["kind"], stage["key"], stage["name"]))
        return None if found is None else stage | found[0]

    def find(self, video_id: str, row: Row, folder: Path) -> Any:
        """What ``prepare.Artefacts.fetch`` gives of a row, none where it is not kept."""
        found = self._kept.get((video_id, row["kind"], row["key"], row["name"]))
        if found is None or not isinstance(found[1], Path):
            return None if found is None else found[1]
        path = folder / f"{row['key']}.safetensors"
        _link(found[1], path)
        return path

    def clear(self) -> None:
        """Keep nothing."""
        for _, one in self._kept.values():
            if isinstance(one, Path):
                one.unlink(missing_ok=True)
        self._kept.clear()
        self._video = ""


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, target)
