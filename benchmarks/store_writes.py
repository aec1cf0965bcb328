"""What the tuning of one video writes to the run's store, counted as it is written.

    python -m benchmarks.store_writes --config sd14

tunes a base of those sizes with random weights for five steps with a checkpoint at each, as 500
steps have every hundred, on a clip of two small frames (neither adapter nor checkpoint knows the
clip's size); latents are counted for 32 frames of 512x512.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from typing_extensions import override

from benchmarks.sizes import SIZES, random_base
from components.steps.checkpoints import StoredCheckpoint
from components.storage.local import LocalStore
from methods.method import ADAPTER, LATENTS, Desk, Settings, Source
from methods.steered import Nets
from methods.tune_a_video import TuneAVideo, TuneAVideoConfig
from tav_model.adapter import adapter_of
from tav_model.config import AdapterConfig, InvertConfig, ModelConfig, TuneConfig
from tav_model.load import BaseModel

STEPS = 5
_LATENTS = 2 * 4 * 32 * 64 * 64
POLICIES = {
    "fp32, each checkpoint": (AdapterConfig(), 0.0),
    "fp32": (AdapterConfig(), 600.0),
    "sign": (AdapterConfig(encoding="sign"), 600.0),
}


class CountingStore(LocalStore):
    """Counts the bytes of what is written, by the first part of its path."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.written: Counter[str] = Counter()

    @override
    def write_file(self, path: str, source: Path) -> None:
        self.written[path.partition("/")[0]] += source.stat().st_size
        super().write_file(path, source)

    @override
    def write_bytes(self, path: str, data: bytes) -> None:
        self.written[path.partition("/")[0]] += len(data)
        super().write_bytes(path, data)


class _Loaded(TuneAVideo):
    def __init__(self, settings: Settings, base: BaseModel) -> None:
        super().__init__(settings)
        self._base, self._nets = base, Nets()


def written(base: BaseModel, adapter: AdapterConfig, upload_seconds: float) -> Counter[str]:
    """Tune once; give the bytes by folder of the run."""
    tune = TuneConfig(steps=STEPS, checkpoint_every=1, checkpoint_upload_seconds=upload_seconds)
    settings = Settings(
        own=TuneAVideoConfig(),
        model=base.config,
        tune=tune,
        adapter=adapter,
        invert=InvertConfig(steps=1),
    )
    frames = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    source = Source(video_id="v", prompt="a red fish", seed=7, load=lambda: frames)
    with tempfile.TemporaryDirectory() as folder:
        store = CountingStore(Path(folder) / "run")
        checkpoint = StoredCheckpoint(store, "k", upload_seconds)
        desk = Desk(folder=Path(folder), checkpoint=checkpoint, progress=lambda *_: None)
        for artefact in _Loaded(settings, base).prepare(source, {}, [ADAPTER, LATENTS], desk):
            if artefact.path is not None:
                store.write_file("adapters/k.safetensors", artefact.path)
            else:
                store.write_bytes("tables/latents", bytes(_LATENTS))
        checkpoint.delete()
        return store.written


def table(rows: dict[str, Counter[str]], folders: Sequence[str]) -> str:
    """Megabytes in Markdown."""
    lines = [f"| | {' | '.join(folders)} | MB in all |", "|---|" + "---|" * (len(folders) + 1)]
    for name, counts in rows.items():
        cells = [f"{counts[folder] / 1e6:.1f}" for folder in folders]
        lines.append(f"| {name} | {' | '.join(cells)} | {counts.total() / 1e6:.1f} |")
    return "\n".join(lines)


def main() -> None:
    """Tune by each policy and print what was written."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", choices=list(SIZES), default="sd14")
    options = parser.parse_args()
    base = random_base(SIZES[options.config], ModelConfig(base="random"))
    base = dataclasses.replace(base, initial=adapter_of(base))
    rows = {name: written(base, *policy) for name, policy in POLICIES.items()}
    print(table(rows, ["adapters", "checkpoints", "tables"]))


if __name__ == "__main__":
    main()
