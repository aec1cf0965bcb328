"""The parity checks notice each mistake that is easy to make here."""

from collections.abc import Callable

import pytest
from diffusers import DDIMScheduler
from torch import Tensor, nn

from tav_model import attention, load, load_parts
from tav_model.layers import ClipGroupNorm
from tav_model.text import encode_prompts
from tav_model.unet import ClipBlock, ClipUNet
from tests.parity import checks
from tests.parity.golden import Golden


def _fails(check: Callable[[], None]) -> None:
    with pytest.raises(AssertionError, match="off by"):
        check()


def _model_is_wrong(golden: Golden) -> None:
    _fails(lambda: checks.check_forward(golden, "b1.t0", "perturbed"))
    _fails(lambda: checks.check_training(golden, "perturbed", checkpointing=False))
    _fails(lambda: checks.check_inversion(golden))
    _fails(lambda: checks.check_sampling(golden))


def test_group_norm_per_frame(golden: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ClipGroupNorm, "forward", nn.GroupNorm.forward)
    _model_is_wrong(golden)


def test_former_frame_shifted_by_one(golden: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    if golden.meta["frames"] < 3:
        pytest.skip("with two frames there is no former frame but the first")
    monkeypatch.setattr(attention, "former_frames", lambda x: x[:, 2:])
    _model_is_wrong(golden)


def test_temporal_before_feed_forward(golden: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    def forward(self: ClipBlock, x: Tensor, text: Tensor) -> Tensor:
        x = x + self.attn1(self.norm1(x))
        x = x + self.attn2(self.norm2(x), encoder_hidden_states=text)
        x = x + self.attn_temp(self.norm_temp(x))
        out: Tensor = x + self.ff(self.norm3(x))
        return out

    monkeypatch.setattr(ClipBlock, "forward", forward)
    _model_is_wrong(golden)


def test_inversion_with_guidance(golden: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = golden.meta["prompts"]["train"]
    text = encode_prompts(golden.base("perturbed"), [prompt])
    plain = ClipUNet.forward

    def guided(self: ClipUNet, x: Tensor, t: Tensor, empty: Tensor) -> Tensor:
        low: Tensor = plain(self, x, t, empty)
        high: Tensor = plain(self, x, t, text)
        return low + float(golden.meta["guidance_scale"]) * (high - low)

    monkeypatch.setattr(ClipUNet, "forward", guided)
    _fails(lambda: checks.check_inversion(golden))


def test_clip_sample(golden: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = load_parts.load_scheduler
    monkeypatch.setattr(
        load,
        "load_scheduler",
        lambda folder: DDIMScheduler.from_config(plain(folder).config, clip_sample=True),
    )
    _fails(lambda: checks.check_sampling(golden))
    with pytest.raises(ValueError, match="clip_sample=True"):
        checks.check_inversion(golden)
