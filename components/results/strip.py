"""A picture of a run's edits, frame by frame, to show where a gallery of videos cannot be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from components.errors import UserError
from components.results.scored import Selection, Variants, by_variant, scored_edits
from components.storage.scratch import scratch_folder
from components.storage.store import Store
from components.storage.tables import read_table
from components.video.io import read_mp4_frames

if TYPE_CHECKING:
    from PIL import Image

Frames = npt.NDArray[np.uint8]
Cell = tuple[str, Frames]
"""A label and the frames below it; none where a variant lacks the edit."""

FRAMES = 3
"""Shown of each video: the first, the last, and some evenly between."""
_SIDE = 88
_GAP = 10
_LABEL = 16


def strip(store: Store, chosen: Selection | Variants, *, videos: int) -> Image.Image:
    """Draw a row for each video: some frames of the source, then of each of its edits.

    Of several variants, draw a row for each edit: the source, then each variant in its own column.

    Args:
        store: The run's store.
        chosen: What counts, of a run without variants or of each variant.
        videos: Shown at most, in order of their ids.

    Returns:
        The picture, RGB.

    Raises:
        UserError: the run holds none of these edits.
        TransientError: a video cannot be read.
    """
    sources = {
        (row["video_id"], row["video_key"]): (row["clip_uri"], row["clip_sha256"])
        for row in read_table(store, "videos")
    }
    variants = tuple(by_variant(chosen))
    several = len(variants) > 1
    shown: dict[tuple[str, str], Frames] = {}
    rows: dict[tuple[str, ...], list[Cell | None]] = {}
    for one in scored_edits(store, chosen):
        edit = one.edit
        source = (edit["video_id"], edit["video_key"])
        if source not in shown:
            if len({video_id for video_id, _ in shown} | {source[0]}) > videos:
                break
            shown[source] = _frames(store, *sources[source])
        row = rows.setdefault(
            (*source, edit["edit_id"]) if several else source,
            [(edit["source_prompt"], shown[source]), *([None] * len(variants) * several)],
        )
        name = edit["edit_id"].rpartition("/")[2]
        frames = _frames(store, edit["video_uri"], edit["sha256"])
        if several:
            row[1 + variants.index(one.variant)] = (f"{one.variant} · {name}", frames)
        else:
            row.append((name, frames))
    if not rows:
        raise UserError(f"{store.root} holds no edit to show: finish its sample step first")
    return _drawn(list(rows.values()))


def _frames(store: Store, uri: str, sha256: str) -> Frames:
    """Some frames of one of the run's videos, evenly from first to last."""
    with scratch_folder() as folder:
        target = folder / "video.mp4"
        store.fetch_checked(uri, target, sha256)
        frames = read_mp4_frames(target)
    shown: Frames = frames[np.linspace(0, len(frames) - 1, FRAMES).round().astype(int)]
    return shown


def _drawn(rows: Sequence[Sequence[Cell | None]]) -> Image.Image:
    from PIL import Image, ImageDraw, ImageFont

    wide, tall = FRAMES * _SIDE + _GAP, _SIDE + _LABEL + _GAP
    columns = max(len(row) for row in rows)
    picture = Image.new("RGB", (columns * wide + _GAP, len(rows) * tall + _GAP), "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(12)
    for down, row in enumerate(rows):
        for right, cell in enumerate(row):
            if cell is None:
                continue
            label, frames = cell
            x, y = _GAP + right * wide, _GAP + down * tall
            draw.text((x, y - 2), _fitting(font, label, wide - _GAP), fill="black", font=font)
            for index, frame in enumerate(frames):
                picture.paste(_square(Image.fromarray(frame)), (x + index * _SIDE, y + _LABEL))
    return picture


def _fitting(font: Any, label: str, width: int) -> str:
    """The label on one line, cut where it would run into the next one."""
    shown = " ".join(label.split())
    while font.getlength(shown) > width:
        shown = f"{shown.rstrip('…')[:-1]}…"
    return shown


def _square(frame: Image.Image) -> Image.Image:
    from PIL import Image, ImageOps

    if max(frame.size) < _SIDE:
        frame = frame.resize((_SIDE, _SIDE), Image.Resampling.NEAREST)
    return ImageOps.pad(frame, (_SIDE, _SIDE), color="white")
