import numpy as np
import pytest

from methods.flow import SMALLEST, consistent, optical_flow
from methods.method import Frames


def moving(step_x: int, step_y: int, *, frames: int = 3, size: int = 64) -> Frames:
    """A smooth picture that moves by so many pixels a frame."""
    y, x = np.mgrid[0:size, 0:size].astype(float)
    clip = []
    for i in range(frames):
        u, v = x - i * step_x, y - i * step_y
        waves = [np.sin(u / a + v / b) for a, b in ((5, 11), (9, -6), (-7, 5))]
        clip.append(np.stack(waves, axis=-1) * 100 + 128)
    return np.stack(clip).round().astype(np.uint8)


@pytest.mark.parametrize(("x", "y"), [(2, 0), (0, -3), (-2, 1)])
def test_it_sees_how_a_picture_moves_forth_and_back(x: int, y: int) -> None:
    following, former = optical_flow(moving(x, y))
    middle = slice(None, -1), slice(12, -12), slice(12, -12)
    assert np.abs(following.vectors[middle] - (x, y)).mean() < 0.2
    later = slice(1, None), *middle[1:]
    assert np.abs(former.vectors[later] + (x, y)).mean() < 0.2
    assert following.seen[middle].mean() > 0.95
    assert former.seen[later].mean() > 0.95


def test_the_last_frame_has_no_next_one_and_the_first_no_former() -> None:
    following, former = optical_flow(moving(1, 0))
    assert not following.seen[-1].any()
    assert not former.seen[0].any()
    assert following.seen[:-1].any()


def test_one_frame_has_no_flow() -> None:
    assert not any(flow.seen.any() for flow in optical_flow(moving(0, 0, frames=1)))


def test_the_smallest_side_is_what_it_takes() -> None:
    optical_flow(moving(1, 0, size=SMALLEST))


def test_what_does_not_lead_back_or_leaves_the_frame_is_not_seen() -> None:
    there, back = (np.zeros((16, 16, 2), np.float32) for _ in range(2))
    there[..., 0], back[..., 0] = 4, -4
    seen = consistent(there, back)
    assert seen[:, :12].all()
    assert not seen[:, 12:].any()
    short = consistent(there * np.float32(0.125), back * np.float32(0.125))
    assert short[:, :15].all()
    assert not short[:, 15].any()
    back[:8, :, 0] = -2.5  # one and a half pixels away
    seen = consistent(there, back)
    assert not seen[:8].any()
    assert seen[8:, :12].all()
