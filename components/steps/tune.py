"""The tune step's work on one video: tune an adapter, then invert the clip with it.

`shards.py` runs it on Ray Train, many videos to a worker.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from components.log import VideoLog
from components.records.keys import item_seed
from components.records.provenance import model_columns, provenance
from components.steps.models import load_base_model
from components.steps.step import ItemWorker, Outcome, StepContext
from components.storage.address import digest_name
from components.storage.latents import latents_columns
from components.storage.scratch import scratch_folder
from components.storage.store import file_sha256
from components.storage.tables import Row
from tinyworld.shipped import public_name

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from components.video.io import Clip
    from tav_model.load import BaseModel
    from tav_model.state import TuneState
    from tav_model.vae import Moments

logger = logging.getLogger(__name__)

_LOG_SECONDS = 10.0
"""At most one progress line per video in this time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TuneItem:
    """One video to tune and invert."""

    item_key: str
    """The adapter's key."""
    video_id: str
    video_row: Row
    """What leads back to the clip's frames (see ``plan.clip_reference``)."""
    source_prompt: str
    inversion: str
    adapter: Row | None
    """``adapter_key``, ``uri`` and ``sha256`` when only the inversion is missing."""
    attempt: int


class TuneWorker(ItemWorker):
    """Loads the base model once and tunes video after video, each from the same start."""

    step = "tune"
    table = "latents"
    identity = MappingProxyType(
        {"video_id": "video_id", "adapter_key": "item_key", "inversion": "inversion"}
    )

    def __init__(self, context: StepContext) -> None:
        super().__init__(context)
        self._base = self._load_base()

    def _load_base(self) -> BaseModel:
        return load_base_model(self._context)

    @override
    def _outcomes(self, items: Sequence[TuneItem]) -> Iterator[Outcome]:
        for item in items:
            yield self._attempt(item, functools.partial(self._work, item))

    def _work(self, item: TuneItem) -> None:
        clip = self._clip(item)
        moments = self._encode(clip)
        if item.adapter is None:
            self._tune(item, moments)
        else:
            self._load(item.adapter)
        self._invert(item, moments, clip)
        # Kept until now: a worker that dies while inverting need not tune again.
        if self._writer.flush_due():
            self._store.delete(_checkpoint(item))

    def _clip(self, item: TuneItem) -> Clip:
        from components.steps.ingest import load_clip

        return load_clip(item.video_row, self._context.config.video.limits)

    def _encode(self, clip: Clip) -> Moments:
        from tav_model.frames import to_model_range
        from tav_model.vae import encode_moments

        return encode_moments(self._base, to_model_range(clip.frames))

    def _load(self, adapter: Row) -> None:
        from tav_model.adapter import load_adapter

        with self._scratch() as folder:
            path = folder / "adapter.safetensors"
            self._store.fetch_checked(adapter["uri"], path, adapter["sha256"])
            load_adapter(self._base, path)

    def _tune(self, item: TuneItem, moments: Moments) -> None:
        started = time.perf_counter()
        with self._scratch() as folder:
            path = folder / "adapter.safetensors"
            columns = self._adapt(item, moments, path)
            sha256, nbytes = file_sha256(path), path.stat().st_size
            uri = f"adapters/{digest_name(item.item_key, sha256)}.safetensors"
            self._store.write_file(uri, path)
        row = {
            "adapter_key": item.item_key,
            "video_id": item.video_id,
            "video_key": item.video_row["video_key"],
            "source_prompt": item.source_prompt,
            "uri": uri,
            "sha256": sha256,
            "nbytes": nbytes,
            "steps": self._context.config.tune.steps,
            **columns,
            **self._origin(started),
        }
        self._writer.add("adapters", row)
        self._writer.flush_due()

    def _adapt(self, item: TuneItem, moments: Moments, path: Path) -> Row:
        """Tune, write the adapter to a file, and return the columns that tell how it went."""
        from tav_model.adapter import save_adapter
        from tav_model.tune import tune

        config = self._context.config
        checkpoint = _checkpoint(item)
        result = tune(
            self._base,
            moments,
            item.source_prompt,
            config.tune,
            seed=item_seed(config.seed, item.item_key),
            on_step=_progress(item.video_id, config.tune.steps),
            on_checkpoint=lambda state: self._save_state(checkpoint, state),
            resume=self._load_state(checkpoint, item.video_id),
        )
        save_adapter(
            path,
            result.adapter,
            {**result.metadata, "base_revision": self._context.base_revision},
        )
        return {
            "num_params": result.num_params,
            "final_loss": result.losses[-1] if result.losses else None,
            "peak_bytes": result.peak_bytes,
        }

    def _invert(self, item: TuneItem, moments: Moments, clip: Clip) -> None:
        started = time.perf_counter()
        row = {
            "adapter_key": item.item_key,
            "inversion": item.inversion,
            "video_id": item.video_id,
            **self._inverted(item, moments, clip),
            **self._origin(started),
        }
        self._writer.add("latents", row)

    def _inverted(self, item: TuneItem, moments: Moments, clip: Clip) -> Row:
        """Invert the clip, and see how well sampling leads back to it."""
        import torch

        from tav_model.config import SampleConfig
        from tav_model.invert import invert
        from tav_model.sample import sample
        from tav_model.vae import decode, sample_latents

        config = self._context.config
        generator = torch.Generator().manual_seed(item_seed(config.seed, item.item_key))
        inverted = invert(self._base, sample_latents(moments, generator), config.invert)
        columns = latents_columns(inverted.float().cpu().numpy())
        back = SampleConfig(steps=config.invert.steps, guidance_scale=1.0)
        (latents,) = sample(self._base, inverted, [item.source_prompt], back)
        return {
            "reconstruction_psnr": psnr(decode(self._base, latents), clip.frames),
            **columns,
        }

    def _origin(self, started: float) -> Row:
        config = self._context.config
        return {
            **model_columns(
                public_name(config.model.base), self._context.base_revision, config.seed
            ),
            **provenance(
                config_hash=self._context.config_hash, device=config.model.device, started=started
            ),
        }

    def _save_state(self, path: str, state: TuneState) -> None:
        with _scratch_file() as local:
            state.save(local)
            self._store.write_file(path, local)

    def _load_state(self, path: str, video_id: str) -> TuneState | None:
        from tav_model.errors import CheckpointError
        from tav_model.state import TuneState

        log = VideoLog(logger, step="tune", video_id=video_id)
        with _scratch_file() as local:
            try:
                self._store.fetch(path, local)
                state = TuneState.load(local)
            except FileNotFoundError:
                return None
            except CheckpointError as error:
                # Only time is lost by starting over, and the same bytes come out.
                log.warning("checkpoint unusable, tuning from step 0: %s", error)
                return None
        log.info("resuming at step %d", state.step)
        return state


def _checkpoint(item: TuneItem) -> str:
    return f"checkpoints/{item.item_key}.safetensors"


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio in dB of two uint8 clips of one shape; infinite when equal."""
    error = float(((a.astype("float64") - b.astype("float64")) ** 2).mean())
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


@contextlib.contextmanager
def _scratch_file() -> Iterator[Path]:
    with scratch_folder() as folder:
        yield folder / "state.safetensors"


def _progress(video_id: str, steps: int) -> Any:
    log = VideoLog(logger, step="tune", video_id=video_id)
    last = time.monotonic()

    def on_step(step: int, loss: float) -> None:
        nonlocal last
        if time.monotonic() - last >= _LOG_SECONDS or step == steps:
            last = time.monotonic()
            log.info("step %d/%d loss %.4f", step, steps, loss)

    return on_step
