"""Maps as a file, lossless: FFV1 in Matroska, grey where all three colours are one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.errors import TransientError

if TYPE_CHECKING:
    from components.controls.maps import Maps


def write_maps(path: Path, maps: Maps) -> None:
    """Write maps. Equal maps give equal bytes with one build of PyAV.

    Args:
        path: The ``.mkv`` file.
        maps: (F, H, W, 3), uint8.
    """
    import av
    import numpy as np

    grey = bool((maps[..., :1] == maps).all())
    layout = "gray" if grey else "bgr0"  # of FFV1's layouts of RGB the one with 8 bits
    # Else the file names the moment and draws an id.
    with av.open(str(path), "w", format="matroska", options={"fflags": "+bitexact"}) as container:
        stream: Any = container.add_stream("ffv1", rate=1)
        _, stream.height, stream.width, _ = maps.shape
        stream.pix_fmt = layout
        context = stream.codec_context
        context.thread_count = 1
        context.options = {"level": "3", "slicecrc": "1", "g": "1"}
        for one in maps:
            picture = np.ascontiguousarray(one[..., 0] if grey else one)
            frame = av.VideoFrame.from_ndarray(picture, "gray" if grey else "rgb24")
            container.mux(stream.encode(frame if grey else frame.reformat(format=layout)))
        container.mux(stream.encode(None))


def read_maps_file(path: Path, num_frames: int) -> Maps:
    """Read maps that ``write_maps`` wrote, (F, H, W, 3) uint8.

    Raises:
        TransientError: it holds another number of frames, or cannot be read.
    """
    import av
    import numpy as np

    try:
        with av.open(str(path)) as container:
            found = [one.to_ndarray(format="rgb24") for one in container.decode(video=0)]
    except av.FFmpegError as error:
        raise TransientError(f"{path.name} cannot be read ({error}): run again") from error
    if len(found) != num_frames:
        raise TransientError(
            f"{path.name} holds {len(found)} frames, but {num_frames} are needed: run again"
        )
    return np.stack(found)
