"""The decoding process with a codec that misbehaves on request: for tests of what is left then.

No file is known that crashes the FFmpeg of today, so one that is named for what it shall do stands
for it. What dies is the real process, by the real signal.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

from components.video import decoding, read

COMMAND = (sys.executable, "-m", "tests.hostile_decoder")
_decoded = read._decoded


def misbehave(*args: Any, **kwargs: Any) -> Iterator[Any]:
    frames, path = _decoded(*args, **kwargs), args[2]
    yield next(frames)
    if path.stem.startswith("sig"):
        os.kill(os.getpid(), signal.Signals[path.stem.upper()])
    if path.stem == "exits":
        os._exit(0)
    if path.stem == "sleeps":
        time.sleep(600)
    if path.stem == "loops":
        while True:
            pass
    if path.stem == "eats":
        hoard = []
        while True:
            hoard.append(b"\1" * (1 << 26))
    if path.stem == "prints":
        print("{}\n" * 10_000)
        os.write(1, b"\0" * 100_000)
    if path.stem == "defect":
        raise KeyError("a defect of the program")
    yield from frames


if __name__ == "__main__":
    read._decoded = misbehave
    decoding.main()
