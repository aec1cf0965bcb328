"""What was trained with which code, settings and machine; and the copy that is shipped.

``python -m tinyworld.train.record --out runs/tinyworld`` copies the trained models into the
package, with a manifest of how each was made and of every file's SHA-256.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import hashlib
import importlib.metadata
import json
import platform
import shutil
from pathlib import Path
from typing import Any

from tinyworld.layout import MANIFEST, file_digests, write_json
from tinyworld.shipped import WEIGHTS
from tinyworld.train.loop import Settings, courses, world

_SOURCES = (
    *("scenes.py", "details.py", "paths.py", "backdrops.py", "things.py", "draw.py"),
    *("edits.py", "maps.py", "reader_net.py", "vocabulary.py", "layout.py"),
)
"""Besides ``train/``: what decides what is trained."""
_LIBRARIES = ("torch", "diffusers", "transformers", "open_clip_torch", "numpy", "pillow")


def write_record(
    out: Path, part: str, settings: Settings, *, stills: int, steps: int, device: str
) -> None:
    """Note how a part was made, beside its weights.

    Args:
        out: the training's folder.
        part: which model.
        settings: it was trained with.
        stills: how many there were to train on.
        steps: done so far; fewer than `settings.steps` when the training was cut short.
        device: torch's name of it.
    """
    record = {
        "command": f"python -m tinyworld.train --out OUT --parts {part} --stills {stills} "
        f"--steps {settings.steps} --batch {settings.batch} "
        f"--dtype {'bf16' if settings.bf16 else 'fp32'}",
        "processes": world()[1],
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "steps_done": steps,
        "settings": dataclasses.asdict(settings),
        "courses": courses(out, part),
        "code": code_version(),
        "device": device if device != "cpu" else f"cpu ({platform.machine()})",
        "versions": {name: importlib.metadata.version(name) for name in _LIBRARIES},
    }
    write_json(out / f"{part}.record.json", record)


def code_version() -> str:
    """The package's version and the digest of the sources that decide what is trained."""
    folder = Path(__file__).parent.parent
    digest = hashlib.sha256()
    for name in _SOURCES:
        digest.update((folder / name).read_bytes())
    for path in sorted((folder / "train").glob("*.py")):
        digest.update(path.read_bytes())
    version = importlib.metadata.version("tune-a-video-at-scale")
    return f"{version}, sources sha256:{digest.hexdigest()}"


def ship(out: Path, weights: Path = WEIGHTS) -> dict[str, Any]:
    """Copy every trained model of a training's folder into the package.

    Args:
        out: the training's folder. A part that it lacks keeps what is shipped.
        weights: where to.

    Returns:
        The manifest, as written to `manifest.json`.
    """
    old = weights / MANIFEST
    parts = json.loads(old.read_text(encoding="utf-8"))["parts"] if old.is_file() else {}
    for record in sorted(out.glob("*.record.json")):
        parts[record.name.removesuffix(".record.json")] = json.loads(record.read_text("utf-8"))
    made = [path for path in sorted((out / "weights").rglob("*")) if path.is_file()]
    for folder in {path.parent.relative_to(out / "weights") for path in made}:
        for path in (weights / folder).glob("*"):  # of the same part, but for folders below
            if path.is_file():
                path.unlink()
    for path in made:
        target = weights / path.relative_to(out / "weights")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    manifest = {"parts": parts, "files": file_digests(weights)}
    write_json(weights / MANIFEST, manifest)
    return manifest


def main() -> None:
    """Ship what was trained and say how large it is."""
    parser = argparse.ArgumentParser(prog="tinyworld.train.record", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the training's folder")
    manifest = ship(parser.parse_args().out)
    size = sum((WEIGHTS / name).stat().st_size for name in manifest["files"])
    print(f"{len(manifest['files'])} files, {size / 1e6:.1f} MB, in {WEIGHTS}")


if __name__ == "__main__":
    main()
