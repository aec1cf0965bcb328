import sys

import numpy as np
import pytest
import torch

from tav_model.memory import peak_bytes, reset_peak

MEGABYTE = 2**20


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu")])
def test_the_peak_is_of_what_was_held_and_given_back(device: torch.device | str) -> None:
    before = peak_bytes(device)
    held = np.ones(300 * MEGABYTE, np.uint8)
    assert held.nbytes == 300 * MEGABYTE
    del held
    assert peak_bytes(device) >= before


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux begins to count anew")
def test_work_is_not_charged_with_the_peak_of_what_came_before() -> None:
    held = np.ones(300 * MEGABYTE, np.uint8)
    del held
    former = peak_bytes("cpu")
    reset_peak("cpu")
    after = peak_bytes("cpu")
    assert after < former - 200 * MEGABYTE
    held = np.ones(100 * MEGABYTE, np.uint8)
    assert after + 90 * MEGABYTE < peak_bytes("cpu") < after + 200 * MEGABYTE
    del held
