"""Agreement of plug_and_play with its official code on every recorded quantity. See README.md."""

from pathlib import Path

import pytest

from tests.parity import pnp
from tests.parity.pnp import PnPGolden


def test_inputs_and_layers(pnp_golden: PnPGolden) -> None:
    pnp.check_inputs(pnp_golden)


FEW = 50
"""Steps of an inversion, and ten of sampling, that every test run goes through."""


@pytest.mark.parametrize("long", [False, pytest.param(True, marks=pytest.mark.soak)])
def test_every_inversion(pnp_golden: PnPGolden, tmp_path: Path, *, long: bool) -> None:
    inversions = pnp_golden.meta["inversions"]
    assert inversions.keys() == {run.split(".")[0] for run in pnp_golden.meta["runs"]}
    names = [name for name, one in inversions.items() if (one["steps"] > FEW) == long]
    assert names
    for name in names:
        pnp.check_inversion(pnp_golden, name, tmp_path)


@pytest.mark.parametrize("long", [False, pytest.param(True, marks=pytest.mark.soak)])
def test_every_step_of_every_run(pnp_golden: PnPGolden, tmp_path: Path, *, long: bool) -> None:
    groups = [group for group in pnp_golden.groups() if (group.steps > FEW // 5) == long]
    assert groups
    for group in groups:
        pnp.check_group(pnp_golden, group, tmp_path)


def test_probed_layers(pnp_golden: PnPGolden) -> None:
    pnp.check_probes(pnp_golden)


def test_the_way_back(pnp_golden: PnPGolden) -> None:
    names = [n for n in pnp_golden.meta["inversions"] if f"{n}.recon_latents" in pnp_golden.tensors]
    assert names
    for name in names:
        pnp.check_reconstruction(pnp_golden, name)
