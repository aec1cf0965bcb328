"""What comes with the package: named as users name it, whole, small, and never pickled."""

from __future__ import annotations

import json

import pytest

from tinyworld.draw import stills
from tinyworld.evaluate import vae_psnr
from tinyworld.layout import MANIFEST, file_digests
from tinyworld.measures import visible_scenes
from tinyworld.shipped import NAME, NETS, WEIGHTS, public_name, shipped_model


@pytest.mark.parametrize("part", ["base", "blip2", "clip", "reader", *NETS])
def test_a_shipped_model_goes_by_its_public_name(part: str) -> None:
    assert public_name(str(shipped_model(part))) == NAME  # type: ignore[arg-type]


@pytest.mark.parametrize("model", ["owner/name", "hf-hub:owner/name", "/models/base", "tinyworld"])
def test_others_keep_theirs(model: str) -> None:
    assert public_name(model) == model


def test_the_manifest_names_every_file_and_how_each_model_was_made() -> None:
    manifest = json.loads((WEIGHTS / MANIFEST).read_text())
    assert manifest["files"] == file_digests(WEIGHTS)
    assert set(manifest["parts"]) == {"vae", "diffusion", "reader", "clip", "blip2", *NETS}
    for part in manifest["parts"].values():
        assert {"command", "code", "settings", "steps_done", "date", "versions"} <= set(part)
        assert part["steps_done"] == part["settings"]["steps"]


def test_weights_are_safetensors_of_60_megabytes_at_most() -> None:
    files = [path for path in WEIGHTS.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".json", ".safetensors"}
    assert sum(path.stat().st_size for path in files) <= 60e6


@pytest.mark.parametrize("things", [1, 2])
def test_the_shipped_autoencoder_gives_held_out_scenes_back(things: int) -> None:
    found = vae_psnr(WEIGHTS, stills(visible_scenes(64, seed=6, things=things)), "cpu")
    assert found.shape == (64,)
    assert found.mean() >= 28
    assert found.min() >= 20
