"""Any folder of videos: what `manifest: FOLDER` takes, written down to be filled in.

Ids come from paths, and the edits of an ``edits.yaml`` in the folder are every video's.
"""

from __future__ import annotations

from pathlib import Path

from components.layouts.collector import Collector
from components.manifest.load import load_manifest, to_document


def read(root: Path) -> Collector:
    """Gather the videos below a folder.

    Raises:
        UserError: there are none, or ``edits.yaml`` is refused.
    """
    found = Collector(root)
    for video in to_document(load_manifest(str(root)))["videos"]:
        relative = Path(video["uri"]).relative_to(root).as_posix()
        edits = {"edits": video["edits"]} if video["edits"] else {}
        found.videos.append({"id": video["id"], "uri": relative} | edits)
    return found
