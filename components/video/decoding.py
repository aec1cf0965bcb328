"""The process that decodes: reads requests from its standard input, one JSON line each.

Whatever a file does to FFmpeg or Pillow ends here. The kernel, which no library can talk out of it,
holds each request to its memory (``RLIMIT_AS``) and its time (an alarm). ``isolated`` is the other
end of the pipe.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from components.config import GIB, VideoConfig, VideoLimits
from components.errors import SourceError
from components.video.io import Clip, check_clip, decode_clip, decode_frames, probe
from components.video.masks import decode_mask

READY = b"ready\n"


def main() -> None:
    """Answer requests until there are no more."""
    # Answers go where nothing else is printed to.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with contextlib.suppress(OSError):  # of all processes, the kernel should kill this one first
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    import av  # noqa: F401 - before the clock and the memory are counted
    import numpy as np  # noqa: F401

    answers.write(READY)
    answers.flush()
    for line in sys.stdin.buffer:
        if not _answer(json.loads(line), answers):
            return


def _answer(request: dict[str, Any], answers: IO[bytes]) -> bool:
    """Serve one request; say whether the process is fit for another."""
    fields = request["video"]
    video = VideoConfig(**(fields | {"limits": VideoLimits(**fields["limits"])}))
    indices = request["indices"]
    fit = True
    try:
        count = video.num_frames if indices is None else len(indices)
        check_clip(count, video)
        _bound(video.limits, count * video.width * video.height * 3)
        clip = _DECODE[request["what"]](Path(request["path"]), video, indices)
    except SourceError as error:
        _send(answers, {"refused": str(error)})
    except MemoryError:
        fit = False
        _send(answers, {"memory": True})
    except Exception:  # noqa: BLE001 - a defect of ours, told where it can be seen
        _send(answers, {"defect": traceback.format_exc()})
    else:
        source = dataclasses.asdict(clip.source) if clip.source else None
        header = {"fps": clip.fps, "frame_indices": clip.frame_indices, "source": source}
        header |= {"true_fps": clip.true_fps}
        header |= {"shape": clip.frames.shape}
        _send(answers, header, clip.frames.data.cast("B") if clip.frames.size else b"")
    signal.setitimer(signal.ITIMER_REAL, 0)
    return fit


def _clip(path: Path, video: VideoConfig, _indices: None) -> Clip:
    return decode_clip(path, video)


def _frames(path: Path, video: VideoConfig, indices: list[int]) -> Clip:
    return Clip(frames=decode_frames(path, indices, video), fps=0.0, frame_indices=tuple(indices))


def _mask(path: Path, video: VideoConfig, indices: list[int]) -> Clip:
    mask = decode_mask(path, indices, video)
    return Clip(frames=mask.view("uint8"), fps=0.0, frame_indices=tuple(indices))


def _probe(path: Path, video: VideoConfig, _indices: list[int]) -> Clip:
    import numpy as np

    found = probe(path, video.limits, video.fps)
    nothing = np.zeros((0, video.height, video.width, 3), np.uint8)
    return Clip(frames=nothing, fps=found.fps, frame_indices=(), source=found)


_DECODE: dict[str, Callable[[Path, VideoConfig, Any], Clip]] = {
    "clip": _clip,
    "frames": _frames,
    "mask": _mask,
    "probe": _probe,
}
"""By what is asked for."""


def _bound(limits: VideoLimits, clip_bytes: int) -> None:
    """Arm the alarm, whose signal ends the process, and bound its memory from here on."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, limits.decode_seconds)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    soft = pages * resource.getpagesize() + clip_bytes + int(limits.decode_gib * GIB)
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    if hard != resource.RLIM_INFINITY:
        soft = min(soft, hard)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _send(answers: IO[bytes], header: dict[str, Any], frames: Any = b"") -> None:
    answers.write(json.dumps(header).encode() + b"\n")
    answers.write(frames)
    answers.flush()


if __name__ == "__main__":
    main()
