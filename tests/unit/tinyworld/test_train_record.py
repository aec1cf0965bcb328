"""What is shipped of a training: the parts that it has, and no file of their former selves."""

from __future__ import annotations

import json
from pathlib import Path

from tinyworld.layout import MANIFEST, file_digests
from tinyworld.train.record import ship


def put(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{name} of {folder.name}", encoding="utf-8")


def test_a_part_that_was_not_trained_keeps_what_is_shipped(tmp_path: Path) -> None:
    out, weights = tmp_path / "out", tmp_path / "shipped"
    put(weights, "base/model_index.json", "base/unet/w", "base/vae/w", "base/vae/old", "clip/w")
    put(out / "weights", "base/vae/w", "reader/w")
    (out / "vae.record.json").write_text('{"steps_done": 3}', encoding="utf-8")
    (weights / MANIFEST).write_text('{"parts": {"clip": {"steps_done": 2}}}', encoding="utf-8")
    manifest = ship(out, weights)
    files = {str(p.relative_to(weights)) for p in weights.rglob("*") if p.is_file()}
    kept = {"base/model_index.json", "base/unet/w", "clip/w"}
    assert files == kept | {"base/vae/w", "reader/w", MANIFEST}
    assert (weights / "base/vae/w").read_text("utf-8") == "base/vae/w of weights"
    assert manifest["parts"] == {"vae": {"steps_done": 3}, "clip": {"steps_done": 2}}
    assert manifest["files"] == file_digests(weights)
    assert json.loads((weights / MANIFEST).read_text("utf-8")) == manifest
