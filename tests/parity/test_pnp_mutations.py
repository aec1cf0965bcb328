"""The checks of plug_and_play notice each mistake that is easy to make in it."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from methods import plug_and_play
from methods.plug_and_play import Injection, Layers, PlugAndPlay, PlugAndPlayConfig
from tav_model import invert, text, vae
from tav_model.image import ImageUNet
from tav_model.load import BaseModel
from tests.parity import pnp
from tests.parity.pnp import Group, PnPGolden

Check = Callable[[], None]


@pytest.fixture
def steps(pnp_golden: PnPGolden, tmp_path: Path) -> Check:
    """Every step of the probed run, alone and in the run."""
    run = pnp_golden.meta["probe"]["run"]
    settings = pnp_golden.meta["runs"][run]
    shares = (settings["pnp_f_t"], settings["pnp_attn_t"])
    assert all(0 < share < 1 for share in shares)
    group = Group(pnp_golden.steps(run), *shares, (run,))
    return functools.partial(pnp.check_group, pnp_golden, group, tmp_path)


def _fails(check: Check) -> None:
    with pytest.raises(AssertionError, match="off by"):
        check()


def _moved(monkeypatch: pytest.MonkeyPatch, move: Callable[[Layers], Layers]) -> None:
    plain = plug_and_play.layers
    monkeypatch.setattr(plug_and_play, "layers", lambda unet: move(plain(unet)))


def test_nothing_changed(steps: Check) -> None:
    steps()


@pytest.mark.parametrize("kind", ["features", "attention"])
def test_nothing_injected(steps: Check, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(Injection, f"{kind}_hook", lambda _self, _layer, _args, out: out)
    _fails(steps)


@pytest.mark.parametrize("place", ["up_blocks.1.resnets.0", "up_blocks.1.resnets.2"])
def test_features_of_another_layer(
    steps: Check, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    _moved(monkeypatch, lambda own: Layers(features=f"{place}.conv2", attention=own.attention))
    _fails(steps)


def test_features_after_the_shortcut(steps: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    _moved(
        monkeypatch,
        lambda own: Layers(features=own.features.removesuffix(".conv2"), attention=own.attention),
    )
    _fails(steps)


@pytest.mark.parametrize("left_out", [0, -1])
def test_attention_of_one_layer_less(
    steps: Check, monkeypatch: pytest.MonkeyPatch, left_out: int
) -> None:
    def move(own: Layers) -> Layers:
        rest = tuple(name for name in own.attention if name != own.attention[left_out])
        return Layers(features=own.features, attention=rest)

    _moved(monkeypatch, move)
    _fails(steps)


def test_attention_of_one_layer_more(steps: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    more = "up_blocks.1.attentions.0.transformer_blocks.0.attn1"
    _moved(
        monkeypatch,
        lambda own: Layers(features=own.features, attention=(more, *own.attention)),
    )
    _fails(steps)


def test_cross_attention_injected_too(steps: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    _moved(
        monkeypatch,
        lambda own: Layers(
            features=own.features,
            attention=(*own.attention, *(n.replace("attn1", "attn2") for n in own.attention)),
        ),
    )
    _fails(steps)


@pytest.mark.parametrize(
    "projections", [("to_q", "to_k", "to_v"), ("to_q",), ("to_k",)], ids=["qkv", "q", "k"]
)
def test_other_projections(
    steps: Check, monkeypatch: pytest.MonkeyPatch, projections: tuple[str, ...]
) -> None:
    monkeypatch.setattr(plug_and_play, "PROJECTIONS", projections)
    _fails(steps)


@pytest.mark.parametrize("row", [1, 2])
def test_one_row_only(steps: Check, monkeypatch: pytest.MonkeyPatch, row: int) -> None:
    def one(x: Tensor) -> Tensor:
        rows = list(x.chunk(3))
        rows[row] = rows[0]
        return torch.cat(rows)

    monkeypatch.setattr(plug_and_play, "from_source", one)
    _fails(steps)


@pytest.mark.parametrize(
    "injects",
    [
        lambda f, a, i: (i < f + 1, i < a),
        lambda f, a, i: (i < f - 1, i < a),
        lambda f, a, i: (i < f, i < a + 1),
        lambda f, a, i: (i < f, i < a - 1),
        lambda f, a, i: (i < a, i < f),
    ],
    ids=["features+1", "features-1", "attention+1", "attention-1", "exchanged"],
)
def test_thresholds_off_by_one(
    steps: Check,
    monkeypatch: pytest.MonkeyPatch,
    injects: Callable[[int, int, int], tuple[bool, bool]],
) -> None:
    def wrong(own: PlugAndPlayConfig, i: int) -> tuple[bool, bool]:
        shares = (own.feature_injection, own.attention_injection)
        features, attention = (int(own.steps * share) for share in shares)
        return injects(features, attention, i)

    monkeypatch.setattr(PlugAndPlayConfig, "injects", wrong)
    _fails(steps)


@pytest.mark.parametrize("row", [1, 2], ids=["negative", "target"])
def test_source_with_another_text(steps: Check, monkeypatch: pytest.MonkeyPatch, row: int) -> None:
    plain = text.encode_prompts

    def encode(base: BaseModel, prompts: Sequence[str]) -> Tensor:
        out = plain(base, prompts)
        return torch.cat([out[row : row + 1], out[1:]])

    monkeypatch.setattr(text, "encode_prompts", encode)
    _fails(steps)


def test_source_row_given_the_edited_latents(steps: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = PlugAndPlay.step
    monkeypatch.setattr(
        PlugAndPlay, "step", lambda self, i, x, _source, text: plain(self, i, x, x, text)
    )
    _fails(steps)


@pytest.mark.parametrize(
    "wrong",
    [lambda x: torch.cat([x[:1], x[2:], x[-1:]]), lambda x: x[:1].expand_as(x)],
    ids=["a step too early", "always the first"],
)
def test_source_of_another_timestep(
    steps: Check, monkeypatch: pytest.MonkeyPatch, wrong: Callable[[Tensor], Tensor]
) -> None:
    plain = PlugAndPlay.sample
    monkeypatch.setattr(
        PlugAndPlay, "sample", lambda self, inverted, prompt: plain(self, wrong(inverted), prompt)
    )
    _fails(steps)


def test_empty_negative_prompt(
    steps: Check, pnp_golden: PnPGolden, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(pnp_golden.prompts, "negative", "")
    _fails(steps)


def test_another_guidance(
    steps: Check, pnp_golden: PnPGolden, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(pnp_golden.meta, "guidance_scale", pnp_golden.meta["guidance_scale"] + 1)
    _fails(steps)


def test_guidance_from_the_source_row(steps: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = ImageUNet.forward

    def forward(self: ImageUNet, x: Tensor, t: Tensor, texts: Tensor) -> Tensor:
        out = plain(self, x, t, texts)
        return torch.stack([out[0], out[0], out[-1]])

    monkeypatch.setattr(ImageUNet, "forward", forward)
    _fails(steps)


@pytest.fixture
def inversion(pnp_golden: PnPGolden, tmp_path: Path) -> Check:
    """The shortest inversion without a prompt."""
    found = pnp_golden.meta["inversions"]
    name = min(
        (name for name in found if not found[name]["prompt"]), key=lambda n: found[n]["steps"]
    )
    return functools.partial(pnp.check_inversion, pnp_golden, name, tmp_path)


def test_inversion_with_the_target_prompt(
    inversion: Check, pnp_golden: PnPGolden, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = pnp_golden.prompts["target"]
    monkeypatch.setattr(
        invert, "encode_prompts", lambda base, _prompts: text.encode_prompts(base, [target])
    )
    _fails(inversion)


def test_inversion_asks_at_the_timestep_that_it_leaves(
    inversion: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, before = ImageUNet.forward, [0]

    def forward(self: ImageUNet, x: Tensor, t: Tensor, texts: Tensor) -> Tensor:
        out = plain(self, x, before[0], texts)
        before[0] = int(t)
        return out

    monkeypatch.setattr(ImageUNet, "forward", forward)
    _fails(inversion)


def test_posterior_drawn_from(pnp_golden: PnPGolden, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        vae, "mean_latents", lambda moments: vae.sample_latents(moments, torch.Generator())
    )
    _fails(lambda: pnp.check_inputs(pnp_golden))
