"""The layered atlas: its networks, its losses and its training."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from methods.atlas import LAYERS, Atlas, CoordinateMLP, picture, render
from methods.atlas_losses import Footage, atlas_loss, mapping_loss, rigidity
from methods.atlas_training import TrainedAtlas, _Training, train_atlas
from methods.method import ClipSize
from methods.text2live_config import AtlasConfig
from tav_model.errors import CheckpointError, NonFiniteLossError
from tav_model.state import TuneState
from tests.tiny_atlas import ATLAS, SCENE, SIZE, drawn, masks
from tinyworld.clips import CLIPS
from tinyworld.draw import render_at

CPU = torch.device("cpu")
FEW = AtlasConfig(
    steps=6,
    samples=64,
    width=8,
    atlas_frequencies=3,
    pretrain_steps=1,
    bootstrap_steps=3,
    global_rigidity_steps=2,
    global_rigidity_distance=8,
    checkpoint_every=1,
)


def footage(name: str = SCENE) -> Footage:
    clip = drawn(name)
    return Footage.of(clip.frames, masks(clip), CPU)


def trained(
    footage: Footage,
    config: AtlasConfig,
    *,
    seed: int = 7,
    resume: TuneState | None = None,
    on_step: Callable[[int, int, float], None] = lambda *_: None,
    on_checkpoint: Callable[[TuneState], None] = lambda _: None,
) -> TrainedAtlas:
    return train_atlas(
        footage, config, seed=seed, on_step=on_step, on_checkpoint=on_checkpoint, resume=resume
    )


@pytest.fixture(scope="module")
def tiny_footage() -> Footage:
    return footage()


# --- networks ----------------------------------------------------------------------------------


def test_the_networks_are_the_official_ones() -> None:
    atlas = Atlas(AtlasConfig(), SIZE)
    shapes = {
        name: [tuple(layer.state_dict()["weight"].shape) for layer in network.hidden]
        for name, network in atlas.named_children()
        if isinstance(network, CoordinateMLP)
    }
    wide = (256, 256)
    assert shapes == {
        "foreground": [(256, 3), *[wide] * 4, (2, 256)],
        "background": [(256, 3), *[wide] * 2, (2, 256)],
        "alpha": [(256, 30), *[wide] * 6, (1, 256)],
        "colours": [(256, 40), *[wide] * 3, (256, 296), *[wide] * 2, (3, 296)],
    }


def test_the_encoding_is_of_sines_and_cosines_an_octave_apart() -> None:
    network = CoordinateMLP(2, 1, width=4, layers=2, frequencies=3)
    seen: list[Tensor] = []
    network.hidden[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    network(torch.tensor([[0.25, -0.5]]))
    expected = [
        f(math.pi * 2**octave * x)
        for f in (math.sin, math.cos)
        for octave in range(3)
        for x in (0.25, -0.5)
    ]
    torch.testing.assert_close(seen[0][0], torch.tensor(expected), atol=1e-6, rtol=0)


def test_a_picture_of_the_atlas_holds_the_colours_of_its_places() -> None:
    torch.manual_seed(0)
    atlas = Atlas(FEW, SIZE)
    for layer in ("foreground", "background"):
        whole = picture(atlas, layer, 10, CPU)
        place = torch.tensor([[3 / 10, 7 / 10]]) * 2 - 1  # x, y
        torch.testing.assert_close(whole[:, 7, 3], atlas.colour(place, layer)[0])


def test_every_pixel_is_rendered_at_its_place() -> None:
    torch.manual_seed(0)
    atlas = Atlas(FEW, ClipSize(num_frames=3, width=8, height=4))
    rendered = render(atlas, "background", CPU)
    x = atlas.coordinates(torch.tensor([[5.0, 2.0, 1.0]]))
    torch.testing.assert_close(x, torch.tensor([[0.25, -0.5, -1 / 3]]))
    places = atlas.background(x)
    torch.testing.assert_close(rendered.places[1, 2, 5], places[0] / 2 + 0.5)
    torch.testing.assert_close(rendered.alpha[1, :, 2, 5], atlas.opacity(x)[0])
    torch.testing.assert_close(
        rendered.background[1, :, 2, 5], atlas.colour(places, "background")[0]
    )


# --- losses ------------------------------------------------------------------------------------


def test_mappings_that_leave_pixels_where_they_are_have_no_loss(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    atlas = Atlas(FEW, SIZE)
    pixels = torch.tensor([[3, 5, 0], [60, 2, 7]])

    def still(x: Tensor) -> Tensor:
        return x[:, :2] * 0.8

    for network in (atlas.foreground, atlas.background):
        monkeypatch.setattr(network, "forward", still)
    assert float(mapping_loss(atlas, pixels)) == pytest.approx(0, abs=1e-6)
    shifted = torch.tensor([0.3, 0.4])
    monkeypatch.setattr(atlas.background, "forward", lambda x: still(x) + shifted)
    assert float(mapping_loss(atlas, pixels)) == pytest.approx(0.5)


@pytest.mark.parametrize("distance", [1, 9])
@pytest.mark.parametrize(
    "jacobian",
    [np.eye(2), [[0.6, -0.8], [0.8, 0.6]], [[2, 0], [0, 2]], [[1, 0.7], [0.1, 0.4]]],
    ids=["still", "turned", "larger", "sheared"],
)
def test_rigidity_is_the_norms_of_jtj_and_its_inverse(jacobian: list[float], distance: int) -> None:
    atlas, J = Atlas(FEW, SIZE), np.array(jacobian, dtype=np.float64)
    unit = atlas.pixels_per_unit / 0.8  # pixels by unit of the atlas at the scale of the frame
    here = torch.zeros(1, 2)
    left, above = (torch.tensor(-J[:, i] * distance / unit)[None].float() for i in (0, 1))
    mapped = {"here": here, "left": left, "above": above}
    JtJ = J.T @ J
    inverse = np.linalg.inv(JtJ + 1e-3 * np.eye(2))
    expected = np.linalg.norm(JtJ) + np.linalg.norm(inverse)
    found = rigidity(mapped, ("left", "above"), distance, atlas)
    assert float(found) == pytest.approx(expected, rel=1e-4)


def official_loss(  # noqa: C901 - in one piece, as there
    atlas: Atlas, footage: Footage, pixels: Tensor, far: int, held: int
) -> float:
    """The official code's sum, written out pixel by pixel."""
    frames, height, width = footage.mask.shape

    def normal(x: float, y: float, t: float) -> Tensor:
        return torch.tensor([[x / 32 - 1, y / 32 - 1, t / (frames / 2) - 1]])

    def alpha(*place: float) -> float:
        return float((atlas.alpha(normal(*place)) + 1) * 0.5 * 0.99 + 0.001)

    def uv(layer: str, *place: float) -> Tensor:
        found: Tensor = getattr(atlas, layer)(normal(*place))[0]
        return found

    def rgb(layer: str, *place: float) -> Tensor:
        shift = {"foreground": 0.5, "background": -0.5}[layer]
        found: Tensor = atlas.colours(uv(layer, *place)[None] * 0.5 + shift)[0]
        return (found + 1) * 0.5

    def seen(*place: float) -> Tensor:
        a = alpha(*place)
        return rgb("foreground", *place) * a + rgb("background", *place) * (1 - a)

    def rigid(layer: str, x: int, y: int, t: int, d: int) -> float:
        columns = [uv(layer, x, y, t) - uv(layer, *p) for p in ((x - d, y, t), (x, y - d, t))]
        J = torch.stack(columns, 1) * 32 / 0.8 / d
        inverse = torch.linalg.inv(J.T @ J + 1e-3 * torch.eye(2))
        return float((J.T @ J).norm() + inverse.norm())

    sums: dict[str, list[float]] = {}

    def count(name: str, value: float | Tensor) -> None:
        sums.setdefault(name, []).append(float(value))

    for x, y, t in pixels.tolist():
        here = seen(x, y, t)
        colour, a = footage.frames[t, y, x], alpha(x, y, t)
        dx = footage.frames[t, y, min(x + 1, width - 1)] - colour
        dy = footage.frames[t, min(y + 1, height - 1), x] - colour
        count("5000", (here - colour).square().sum())
        count("1000", (seen(x + 1, y, t) - here - dx).square().sum())
        sums["1000"][-1] += float((seen(x, y + 1, t) - here - dy).square().sum())
        count("1000 sparse", ((1 - a) * rgb("foreground", x, y, t)).square().sum())
        count("1", sum(rigid(layer, x, y, t, 1) for layer in LAYERS))
        if far:
            count("5 far", rigid("foreground", x, y, t, far))
            count("50 far", rigid("background", x, y, t, far))
        if held:
            m = float(footage.mask[t, y, x])
            count(str(held), -m * math.log(a) - (1 - m) * math.log(1 - a))
        for flow, known, step in zip(footage.flows, footage.seen, (1, -1), strict=True):
            if not known[t, y, x]:
                continue
            fx, fy = flow[t, y, x].tolist()
            there = x + fx, y + fy, t + step
            for layer, weight in (("foreground", a), ("background", 1 - a)):
                away = (uv(layer, *there) - uv(layer, x, y, t)).norm() * 64 / (2 * 0.8)
                count(f"2.5 {layer} {step}", away * weight)
            count(f"24.5 {step}", abs(alpha(*there) - a))
    return sum(float(name.split()[0]) * sum(v) / len(v) for name, v in sums.items())


@pytest.mark.parametrize(("step", "far", "held"), [(2, 8, 2000), (3, 0, 2000), (4, 0, 0)])
def test_the_whole_loss_is_the_official_one(
    step: int, far: int, held: int, tiny_footage: Footage
) -> None:
    torch.manual_seed(0)
    atlas = Atlas(FEW, SIZE)
    with torch.no_grad():
        for p in atlas.parameters():  # so that places and alpha differ
            p.mul_(3)
    places = [[0, 0, 0], [63, 63, 7], [63, 5, 3], [20, 30, 2], [21, 31, 4], [40, 30, 7]]
    pixels = torch.tensor(places)
    found = float(atlas_loss(atlas, tiny_footage, pixels, FEW, step).detach())
    with torch.no_grad():
        expected = official_loss(atlas, tiny_footage, pixels, far, held)
    assert found == pytest.approx(expected, rel=3e-5)  # in fp32: CPUs differ by 1e-5


# --- training ----------------------------------------------------------------------------------


class KilledError(Exception):
    pass


# Of 14 steps the first 8 are the mappings' own.
@pytest.mark.parametrize("last", [3, 7, 8, 9, 13])
def test_a_killed_training_goes_on_bit_by_bit(last: int, tiny_footage: Footage) -> None:
    states: list[TuneState] = []

    def keep(state: TuneState) -> None:
        states.append(state)
        if state.step == last:
            raise KilledError

    with pytest.raises(KilledError):
        trained(tiny_footage, FEW, on_checkpoint=keep)
    told: list[int] = []
    resumed = trained(
        tiny_footage, FEW, on_step=lambda step, *_: told.append(step), resume=states[-1]
    )
    whole = trained(tiny_footage, FEW)
    assert told == list(range(last + 1, 15))
    assert resumed.loss == whole.loss
    pairs = zip(resumed.atlas.parameters(), whole.atlas.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_every_step_draws_pixels_of_the_whole_clip_of_its_own(tiny_footage: Footage) -> None:
    config = dataclasses.replace(FEW, samples=5000)
    first, other = (_Training(tiny_footage, config, seed) for seed in (7, 8))
    draws = [first._draw(9), first._draw(10), other._draw(9)]
    assert torch.equal(draws[0], first._draw(9))
    assert len({tuple(draw.flatten().tolist()) for draw in draws}) == 3
    assert draws[0].amin(0).tolist() == [0, 0, 0]
    assert draws[0].amax(0).tolist() == [63, 63, 7]
    frames = [set(first._draw(number)[:, 2].tolist()) for number in range(1, 9)]
    assert frames == [{t} for t in range(8)]  # of the mappings alone


def test_each_seed_and_setting_is_another_training(tiny_footage: Footage) -> None:
    whole = trained(tiny_footage, FEW).loss
    assert trained(tiny_footage, FEW).loss == whole
    assert trained(tiny_footage, FEW, seed=8).loss != whole
    for name in ("bootstrap_steps", "global_rigidity_steps", "global_rigidity_distance"):
        other = dataclasses.replace(FEW, **{name: 1})
        assert trained(tiny_footage, other).loss != whole, name


def test_a_state_of_another_training_is_refused(tiny_footage: Footage) -> None:
    states: list[TuneState] = []
    trained(tiny_footage, FEW, on_checkpoint=states.append)
    with pytest.raises(CheckpointError, match="seed is '7' there and '8' here"):
        trained(tiny_footage, FEW, seed=8, resume=states[0])


def test_a_loss_that_is_no_number_is_told(tiny_footage: Footage) -> None:
    spoilt = dataclasses.replace(tiny_footage, frames=tiny_footage.frames * math.nan)
    with pytest.raises(NonFiniteLossError, match=r"nan at step 9: lower text2live\.atlas"):
        trained(spoilt, FEW)


def psnr(one: Tensor, other: Tensor) -> float:
    return -10 * math.log10(float((one - other).square().mean()))


def check(result: TrainedAtlas, name: str) -> None:
    """The clip is there again, in two layers: the object, and what it hides."""
    clip = drawn(name)
    rendered = render(result.atlas, "foreground", CPU)
    frames = torch.from_numpy(clip.frames).permute(0, 3, 1, 2) / 255
    assert result.psnr == pytest.approx(psnr(rendered.whole, frames), abs=0.01)
    assert result.psnr >= 26
    inside = torch.from_numpy(masks(clip))
    opaque = rendered.alpha[:, 0] > 0.5
    assert float((opaque & inside).sum() / (opaque | inside).sum()) > 0.8
    times = np.linspace(0, 1, len(clip.frames))
    behind = render_at(CLIPS[name], times, empty=True).frames
    scene = torch.from_numpy(behind).permute(0, 3, 1, 2) / 255
    hidden = inside[:, None].expand_as(frames)
    # What the object hides is the scene's, not the object's.
    assert psnr(rendered.background[hidden], scene[hidden]) > 20
    away = psnr(scene[hidden], frames[hidden])
    assert psnr(rendered.background[hidden], frames[hidden]) < away + 0.2
    # And the object does not know what is around it.
    assert float(rendered.foreground[~hidden].mean()) < 0.15


def test_the_atlas_shows_its_clip_in_two_layers(tiny_atlas: TrainedAtlas) -> None:
    check(tiny_atlas, SCENE)


@pytest.mark.soak
@pytest.mark.parametrize("name", [name for name in CLIPS if name != SCENE])
def test_so_do_the_others(name: str) -> None:
    config = dataclasses.replace(ATLAS, steps=1500, bootstrap_steps=1500)
    check(trained(footage(name), config), name)
