"""Masks of a video's object: another video or folder of pictures, frame for frame.

A mask is read as its video is, through the same checks and with the same geometry. White is the
object, or in pictures with a palette any index but 0, as in the DAVIS data sets.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from components.config import VideoConfig
from components.errors import ItemError, SourceError
from components.video.folder import frame_files
from components.video.frame_sets import natural_key
from components.video.io import decode_frames
from components.video.pictures import read_mask_picture
from components.video.read import Probe

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Masks = NDArray[np.bool_]
    """(F, H, W), true where the object is."""

OBJECT = 127
"""Levels of the brightest channel above this one are the object."""
_ASPECT = 0.01
"""By how much aspect ratios may differ: 854×480 is DAVIS' own reduction of 1920×1080."""


def mask_error(error: ItemError) -> ItemError:
    """What reading a source raised, told of a mask."""
    text = str(error).replace("the manifest's uri", "the manifest's mask")
    return type(error)(f"mask: {text}")


def decode_mask(path: Path, indices: Sequence[int], video: VideoConfig) -> Masks:
    """Decode given frames of a mask, as ``io.decode_frames`` does, and tell object from background.

    Frames are scaled as the clip's are, pictures with a palette as white on black, and then cut at
    ``OBJECT``: an edge stays where it is in the clip. Bars of ``video.fit`` pad are background.

    Returns:
        (F, H, W), bool.

    Raises:
        SourceError: as ``io.decode_frames``.
    """
    frames = decode_frames(path, indices, video, read_mask_picture)
    mask: Masks = frames.max(axis=-1) > OBJECT
    return mask


def check_mask(name: str, found: Probe, source: Probe) -> None:
    """Hold a mask against its whole source.

    Args:
        name: The mask, for messages.
        found: What the mask holds.
        source: What its video holds.

    Raises:
        SourceError: other frames, another shape, or transparency, which may mean either.
    """
    if found.num_frames != source.num_frames:
        raise SourceError(
            f"{name} has {found.num_frames} frames, but its video has {source.num_frames}: give "
            "one for each frame of the video, black where there is no object"
        )
    across, down = found.width * source.height, found.height * source.width
    if abs(across - down) > _ASPECT * max(across, down):
        raise SourceError(
            f"{name} is {found.width}×{found.height}, but its video is "
            f"{source.width}×{source.height}: give it the video's size, or its aspect ratio"
        )
    if "alpha" in found.reading:
        raise SourceError(
            f"{name} is transparent in places, but 0 such pixels are allowed, as they may mean "
            "object or background: save it opaque, white on black"
        )


def check_names(name: str, mask: Path, source: Path) -> None:
    """Refuse two folders of pictures that count alike and name their frames otherwise.

    Names that have nothing in common are taken in their order.

    Args:
        name: The mask, for messages.
        mask: Its folder, or a video file, which has no names.
        source: Likewise of its video.

    Raises:
        SourceError: some pictures have a namesake and others do not.
    """
    if not (mask.is_dir() and source.is_dir()):
        return
    stems = [{file.stem for file in frame_files(folder)[0]} for folder in (mask, source)]
    if stems[0] & stems[1] and (alone := stems[0] ^ stems[1]):
        first = min(alone, key=natural_key)
        where = "a mask and no frame" if first in stems[0] else "a frame and no mask"
        raise SourceError(
            f"{name} names {len(stems[0] - stems[1])} of its {len(stems[0])} pictures otherwise "
            f"than its video does ({first!a} is {where}): name each as its frame"
        )


def check_marks(name: str, mask: Masks) -> None:
    """Refuse a mask that parts nothing; single frames may well be empty or full.

    Raises:
        SourceError: it is empty, or full, in every frame of the clip.
    """
    frames, marked = len(mask), int(mask.sum())
    if marked == 0:
        raise SourceError(
            f"{name} marks 0 pixels in all {frames} frames of the clip, but at least 1 is needed: "
            f"the object is what is brighter than {OBJECT} of 255, or in a palette any index but "
            "0; mend the mask, or leave it out"
        )
    if marked == mask.size:
        raise SourceError(
            f"{name} marks every pixel in all {frames} frames of the clip ({marked}), but at least "
            "1 must be background: mend the mask, or leave it out"
        )
