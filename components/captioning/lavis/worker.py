"""The process that captions by LAVIS's code; runs in LAVIS's own environment.

It reads requests from its standard input and answers on its standard output. The first line, JSON,
says what to load (see ``captioner``); it answers ``{"ready": true}``. Each further line
``{"shapes": [[H, W, 3], ...]}`` is followed by the images' bytes and answered by ``{"captions":
[...]}``. Instead an answer may hold ``refused`` (cannot be loaded), ``memory`` (the device has too
little) or ``defect``, each with a text.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from components.captioning.lavis.model import Captioner


def main() -> None:
    """Load, then answer requests until there are no more."""
    requests = sys.stdin.buffer
    # Answers go where nothing else is printed to.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    settings: dict[str, Any] = json.loads(requests.readline())
    try:
        captioner = _load(settings)
    except Exception as error:  # noqa: BLE001 - whatever it is, who starts the run must settle it
        traceback.print_exc()
        _answer(answers, refused=f"{type(error).__name__}: {error}")
        return
    _answer(answers, ready=True)
    while line := requests.readline():
        images = [_read_image(requests, shape) for shape in json.loads(line)["shapes"]]
        _answer(answers, **_outcome(captioner, images))


def _load(settings: dict[str, Any]) -> Captioner:
    with tempfile.TemporaryDirectory(prefix="tav-lavis-", ignore_cleanup_errors=True) as scratch:
        os.environ["HF_HOME"] = scratch  # transformers looks for old caches to convert
        from components.captioning.lavis.model import Captioner

        return Captioner(settings, Path(scratch))


def _answer(answers: IO[bytes], **fields: Any) -> None:
    answers.write(json.dumps(fields).encode() + b"\n")
    answers.flush()


def _read_image(requests: IO[bytes], shape: Sequence[int]) -> Any:
    """(H, W, 3), uint8."""
    import numpy as np

    image = np.empty(shape, np.uint8)
    data = requests.read(image.nbytes)
    if len(data) < image.nbytes:
        raise EOFError("the other side is gone")
    image.data.cast("B")[:] = data
    return image


def _outcome(captioner: Captioner, images: list[Any]) -> dict[str, Any]:
    import torch

    try:
        return {"captions": captioner(images)}
    except torch.OutOfMemoryError as error:
        return {"memory": str(error)}
    except Exception:  # noqa: BLE001 - told by the other side, which knows the run
        return {"defect": traceback.format_exc()}
