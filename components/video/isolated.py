"""Decodes sources in another process: what breaks a decoder costs one video and not the worker.

The process (``decoding``) is kept for the next video. When it dies, how it died says what to tell
of the video, and another one takes its place. It sees none of the worker's environment, so no
credentials either.
"""

from __future__ import annotations

import atexit
import dataclasses
import functools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from components.config import VideoConfig
from components.errors import SourceError, TransientError
from components.video.decoding import READY
from components.video.io import Clip
from components.video.read import Probe

if TYPE_CHECKING:
    from components.video.io import Frames
    from components.video.masks import Masks

COMMAND = (sys.executable, "-m", "components.video.decoding")
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "TMPDIR", "LANG", "LC_ALL", "SYSTEMROOT")


class Decoder:
    """One decoding process at a time, started when it is needed."""

    def __init__(self, command: Sequence[str] = COMMAND) -> None:
        self._command = tuple(command)
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def clip(self, path: Path, video: VideoConfig) -> Clip:
        """As ``io.decode_clip``.

        Raises:
            SourceError: the source is missing, unsupported, damaged, too short, over a limit, or
                crashes its decoder.
            TransientError: it took too long, or its decoder was killed.
        """
        return self._ask("clip", path, video, None)

    def frames(self, path: Path, indices: Sequence[int], video: VideoConfig) -> Frames:
        """As ``io.decode_frames``; raises what ``clip`` raises."""
        return self._ask("frames", path, video, indices).frames

    def mask(self, path: Path, indices: Sequence[int], video: VideoConfig) -> Masks:
        """As ``masks.decode_mask``; raises what ``clip`` raises."""
        return self._ask("mask", path, video, indices).frames.view("bool")

    def probe(self, path: Path, video: VideoConfig) -> Probe:
        """As ``read.probe``; raises what ``clip`` raises."""
        found = self._ask("probe", path, video, ()).source
        assert found is not None  # it is what was asked for
        return found

    def close(self) -> None:
        """End the process; the next request starts another."""
        with self._lock:
            self._end()

    def _ask(
        self, what: str, path: Path, video: VideoConfig, indices: Sequence[int] | None
    ) -> Clip:
        request = {
            "what": what,
            "path": str(path),
            "video": dataclasses.asdict(video),
            "indices": None if indices is None else list(indices),
        }
        with self._lock:
            process = self._running()
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write(json.dumps(request).encode() + b"\n")
                process.stdin.flush()
                return _clip(process.stdout)
            except (EOFError, BrokenPipeError):
                raise _obituary(path.name, process.wait(), video) from None
            except MemoryError:
                self._end()
                raise SourceError(
                    f"{path.name} needs more than {video.limits.decode_gib:g} GiB to be decoded "
                    "(video.limits.decode_gib), or is damaged and says so: play it, then scale it "
                    "down or re-encode it, or raise the limit"
                ) from None
            except SourceError:
                raise
            except BaseException:  # an interruption: the rest of the answer would meet the next
                self._end()
                raise

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self._end()
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=_environment(),
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != READY:
            self._end()
            raise RuntimeError(f"{self._command} does not start: see its standard error")
        return self._process

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            with self._process:  # closes the pipes and waits
                pass
            self._process = None


@functools.cache
def decoder() -> Decoder:
    """The decoder of this process."""
    shared = Decoder()
    atexit.register(shared.close)
    return shared


def _clip(answers: IO[bytes]) -> Clip:
    import numpy as np

    line = answers.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    answer: dict[str, Any] = json.loads(line)
    if "refused" in answer:
        raise SourceError(answer["refused"])
    if "memory" in answer:
        raise MemoryError
    if "defect" in answer:
        raise RuntimeError(f"decoding failed: {answer['defect']}")
    frames = np.empty(answer["shape"], np.uint8)
    rest = frames.data.cast("B") if frames.size else b""
    while rest:
        if not (count := answers.readinto(rest)):  # type: ignore[attr-defined]
            raise EOFError
        rest = rest[count:]
    return Clip(
        frames=frames,
        fps=answer["fps"],
        frame_indices=tuple(answer["frame_indices"]),
        source=_probe(answer["source"]) if answer["source"] else None,
        true_fps=answer["true_fps"],
    )


def _probe(fields: dict[str, Any]) -> Probe:
    lists = {name: tuple(fields[name]) for name in ("reading", "remarks", "shown")}
    return Probe(**fields | lists)


def _obituary(name: str, code: int, video: VideoConfig) -> SourceError | TransientError:
    limits = video.limits
    if code == -signal.SIGALRM:
        return TransientError(
            f"{name} was still being decoded after {limits.decode_seconds:g} s, which is the limit "
            "(video.limits.decode_seconds): cut or re-encode it, or raise the limit"
        )
    if code == -signal.SIGKILL:
        return TransientError(
            f"the decoder of {name} was killed (SIGKILL), mostly by a machine without memory left, "
            f"within its limit of {limits.decode_gib:g} GiB (video.limits.decode_gib): lower the "
            "limit or the number of workers, or re-encode the video"
        )
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return SourceError(
        f"{name} crashed its decoder ({how}; 0 crashes are allowed): it is damaged or hostile; "
        "re-encode it, or leave it out"
    )


def _environment() -> dict[str, str]:
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    # What this process can import, the other must find, too. More threads would cost memory.
    paths = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
    return passed | {"PYTHONPATH": paths, "PYTHONUTF8": "1", "OPENBLAS_NUM_THREADS": "1"}
