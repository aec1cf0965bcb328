import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tav_model.errors import NonFiniteError
from tav_model.frames import to_model_range, to_uint8
from tav_model.load import BaseModel
from tav_model.vae import decode, encode_moments, mean_latents, sample_latents

Frames = NDArray[np.uint8]


def test_frames_round_trip(frames: Frames) -> None:
    x = to_model_range(frames)
    assert (x.min().item(), x.max().item()) == (-1.0, 1.0)
    assert np.array_equal(to_uint8(x / 2 + 0.5), frames)


def test_frames_are_rounded_and_clipped() -> None:
    levels = torch.tensor([-1.0, 0.6 / 255, 1.4 / 255, 2.0]).view(1, 1, 1, 4).expand(1, 3, 1, 4)
    assert to_uint8(levels)[0, 0, :, 0].tolist() == [0, 1, 1, 255]


@pytest.mark.parametrize("bad", [np.zeros((2, 8, 8, 3), np.float32), np.zeros((8, 8, 3), np.uint8)])
def test_other_arrays_are_refused(bad: Frames) -> None:
    with pytest.raises(ValueError, match="must be uint8"):
        to_model_range(bad)


def test_chunks_do_not_matter(base: BaseModel, frames: Frames) -> None:
    x = to_model_range(frames)
    one, all_ = encode_moments(base, x, chunk=1), encode_moments(base, x, chunk=9)
    torch.testing.assert_close(one.mean_FCHW, all_.mean_FCHW, atol=1e-5, rtol=1e-4)
    latents = mean_latents(all_)
    assert latents.shape == (4, 4, 4, 6)
    a, b = decode(base, latents, chunk=1), decode(base, latents, chunk=4)
    assert a.shape == frames.shape
    assert a.dtype == np.uint8
    assert np.abs(a.astype(int) - b).max() <= 1


def test_draws_follow_the_generator(base: BaseModel, frames: Frames) -> None:
    moments = encode_moments(base, to_model_range(frames))
    a, b, c = (sample_latents(moments, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(a, b)
    spread = ((a - c) / moments.scaling_factor / moments.std_FCHW.transpose(0, 1)).std()
    assert abs(spread - 2**0.5) < 0.2


@pytest.mark.parametrize("shape", [(1, 3, 30, 32), (0, 3, 32, 32), (1, 3, 32, 0)])
def test_bad_sizes_are_named(base: BaseModel, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=f"{shape[3]}x{shape[2]} pixels.*multiples of 8"):
        encode_moments(base, torch.zeros(shape))


def test_non_finite_latents_are_an_error(base: BaseModel) -> None:
    with pytest.raises(NonFiniteError, match="VAE decoding"):
        decode(base, torch.full((4, 1, 4, 4), float("nan")))
