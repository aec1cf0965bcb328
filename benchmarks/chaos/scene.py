"""What the run is about: clips, tiny models, a bucket, and the run's configuration."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.integration.s3_server import S3Server

BUCKET = "chaos"
REPOSITORY = Path(__file__).parents[2]

VARIANTS = {
    "full": {},
    "noise": {"sample": {"start": "noise"}},
    "frames": {
        "method": "frame_by_frame",
        "frame_by_frame": {"inversion_steps": 2, "steps": 2},
    },
}
COLORS = ("red", "yellow", "blue", "green")
SHAPES = ("fish", "car", "star")


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """One manifest, to be run once in peace and once in chaos."""

    folder: Path
    server: S3Server
    videos: int
    """Good videos; one more is no video and must fail."""
    captioned: int
    """Of these, how many BLIP-2 describes."""
    workers: int
    """Of each step, or in all where videos flow."""
    flow: bool
    """Whether each video goes on as soon as its rows are there."""
    variants: bool = False
    """Whether the run has four, of which two prepare something of their own and two share it; one
    is steered by control maps."""

    @property
    def environment(self) -> dict[str, str]:
        """What a driver needs in its environment."""
        return {
            **os.environ,
            **self.server.environment,
            "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONUNBUFFERED": "1",
            "XDG_CACHE_HOME": str(self.folder / "cache"),
        }

    def driver(self, name: str, *, plain: bool = False) -> list[str]:
        """The command that computes what the run of this name lacks, with Ray or without."""
        config = str(self.folder / f"{name}.yaml")
        Path(config).write_text(yaml.safe_dump(self._config(name)), encoding="utf-8")
        if plain:
            return [sys.executable, "-m", "benchmarks.chaos.plain", config]
        return [sys.executable, "-m", "components.cli", "run", "--config", config]

    def uri(self, name: str) -> str:
        """The root of the run of this name."""
        return f"s3://{BUCKET}/runs/{name}"

    @property
    def done(self) -> int:
        """Rows and objects that an undisturbed run makes at least: see ``Tally``."""
        # A video: its row and clip, an adapter and latents, two edits with their scores.
        one = (2 + 3 + 6) * self.videos
        # Four variants: an artefact more, a map with its preview, and six edits with their scores.
        return one + (2 + 3 + 18) * self.videos if self.variants else one

    def prepare(self) -> None:
        """Make models and clips, and put the manifest and its videos into the bucket."""
        from tests.random_models import build_all

        build_all(self.folder / "models")
        if self.variants:
            from tests.random_controls import build_controlnet

            build_controlnet(self.folder / "models/canny", self.folder / "models/base", seed=3)
        client = self.server.client()
        client.create_bucket(Bucket=BUCKET)
        entries = []
        for path in _draw(self.folder / "clips", self.videos):
            client.upload_file(str(path), BUCKET, f"in/{path.name}")
            entries.append(_entry(path.stem, f"{path.stem.replace('-', ' ')} in the sea"))
        for entry in entries[: self.captioned]:
            del entry["prompt"]
        client.put_object(Bucket=BUCKET, Key="in/broken.mp4", Body=b"no video")
        entries.append(_entry("broken", "a broken video"))
        manifest = yaml.safe_dump({"videos": entries})
        client.put_object(Bucket=BUCKET, Key="in/manifest.yaml", Body=manifest.encode())

    @property
    def _steered(self) -> dict[str, Any]:
        model = str(self.folder / "models/canny")
        net = {"kind": "controlnet", "model": model, "map": "canny"}
        return {"canny": {"control": {"nets": [net]}}}

    def _config(self, name: str) -> dict[str, Any]:
        models = self.folder / "models"
        return {
            **({"variants": VARIANTS | self._steered} if self.variants else {}),
            "run": self.uri(name),
            "manifest": f"s3://{BUCKET}/in/manifest.yaml",
            "model": {"base": str(models / "base")},
            "video": {"num_frames": 4, "width": 64, "height": 64},
            "caption": {"model": str(models / "blip2"), "max_new_tokens": 8},
            "tune": {"steps": 6, "checkpoint_every": 2, "checkpoint_upload_seconds": 0},
            "invert": {"steps": 2},
            "sample": {"steps": 2},
            "score": {"model": str(models / "clip")},
            "ray": {
                "num_cpus": 2,
                "workers": self.workers,
                "videos_per_shard": 8,
                "flow": self.flow,
            },
            "max_failed_fraction": 1 / self.videos,  # the broken one
        }


def _entry(name: str, prompt: str) -> dict[str, Any]:
    return {
        "id": name,
        "uri": f"{name}.mp4",
        "prompt": prompt,
        "edits": [
            {"id": "snow", "category": "background", "prompt": "{caption}, in the snow"},
            {"id": "cartoon", "category": "style", "prompt": "{caption}, cartoon style"},
        ],
    }


def _draw(folder: Path, count: int) -> list[Path]:
    """Draw clips that differ."""
    from tinyworld.clips import write_clips
    from tinyworld.scenes import single

    scenes = {}
    for number in range(count):
        color, shape = COLORS[number % len(COLORS)], SHAPES[number % len(SHAPES)]
        scenes[f"{color}-{shape}-{number}"] = single(
            color=color, shape=shape, background="sea", seed=number
        )
    return write_clips(folder, scenes)
