"""The process's protocol, spoken with it directly; here it has no LAVIS to load."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import numpy as np
import pytest

from components.captioning.lavis import worker
from components.captioning.lavis.captioner import BOOT
from components.captioning.lavis.environment import PROJECT


def test_what_cannot_be_loaded_is_refused_in_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-c", BOOT, str(PROJECT)],
        input=b'{"device": "cpu"}\n',
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0
    (line,) = done.stdout.splitlines()
    assert json.loads(line) == {"refused": "ModuleNotFoundError: LAVIS is not installed here"}
    assert b"Traceback" in done.stderr


def test_images_arrive_as_they_were_sent() -> None:
    rng = np.random.default_rng(0)
    sent = [rng.integers(0, 256, shape, dtype=np.uint8) for shape in ((3, 5, 3), (1, 1, 3))]
    pipe = io.BytesIO(b"".join(image.tobytes() for image in sent))
    for image in sent:
        np.testing.assert_array_equal(worker._read_image(pipe, image.shape), image)
    with pytest.raises(EOFError, match="the other side is gone"):
        worker._read_image(io.BytesIO(b"ab"), (1, 1, 3))
