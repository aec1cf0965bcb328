"""Drawn clips as mp4: ``python -m tinyworld.clips OUT`` writes the demo's.

``--random 12 --seed 1`` writes as many by chance, below OUT/clips, and OUT/manifest.yaml, which
asks for three edits of each.
"""

from __future__ import annotations

import argparse
import filecmp
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from tinyworld.draw import render
from tinyworld.scenes import Scene

FPS = 8
_ENLARGED = 2
"""Each pixel becomes a square of so many: H.264 halves the colours' resolution, which then harms
nothing."""

CLIPS: Mapping[str, Scene] = MappingProxyType(
    {
        "fish": Scene(color="red", shape="fish", background="sea", motion="moving right", seed=3),
        "car": Scene(color="yellow", shape="car", background="sand", motion="moving left", seed=14),
        "star": Scene(color="purple", shape="star", background="grass", motion="bouncing", seed=17),
        "ball": Scene(color="orange", shape="ball", background="snow", motion="circling", seed=8),
    }
)
"""The demo's scenes by file name."""


def write_clip(scene: Scene, path: Path) -> None:
    """Draw a scene's 24 frames and encode them as H.264, yuv420p, which every browser plays.

    A file that holds these bytes already is left alone, so that its time of change stays.
    """
    frames = render(scene).frames.repeat(_ENLARGED, axis=1).repeat(_ENLARGED, axis=2)
    fresh = path.with_name(f".{path.name}")
    _encode(frames, fresh)
    if path.exists() and filecmp.cmp(path, fresh, shallow=False):
        fresh.unlink()
    else:
        fresh.replace(path)


def write_clips(folder: Path, scenes: Mapping[str, Scene] = CLIPS) -> list[Path]:
    """Write every scene as ``<name>.mp4`` and return the files; equal bytes each time."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, scene in scenes.items():
        paths.append(folder / f"{name}.mp4")
        write_clip(scene, paths[-1])
    return paths


def _encode(frames_FHWC: npt.NDArray[np.uint8], path: Path) -> None:
    import av  # noqa: PLC0415 - drawing alone needs no FFmpeg

    # One thread and no muxer timestamps: the same bytes on every machine with this FFmpeg.
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "12", "threads": "1"})
        stream.height, stream.width = frames_FHWC.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames_FHWC:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def main() -> None:
    """Write the clips and say where they are."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="folder for the mp4 files, or clips and manifest")
    parser.add_argument("--random", type=int, metavar="COUNT", help="clips by chance, with edits")
    parser.add_argument("--seed", type=int, default=1, help="of clips and edits by chance")
    options = parser.parse_args()
    if options.random is None:
        for path in write_clips(options.out):
            print(path)
        return
    if options.random < 1 or options.seed < 0:
        parser.error("--random must be 1 or more, and --seed 0 or more")
    from tinyworld.dataset import write_dataset  # noqa: PLC0415 - it draws with what is here

    print(write_dataset(options.out, options.random, options.seed))


if __name__ == "__main__":
    main()
