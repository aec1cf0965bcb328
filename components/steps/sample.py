"""The sample step: every edited prompt of a video, from its adapter and its inverted latents."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.errors import ItemError
from components.failures import expected_errors
from components.keys import item_seed
from components.log import VideoLog
from components.provenance import model_columns, provenance
from components.steps.step import Outcome, StepContext, record_failure
from components.storage.latents import read_latents
from components.storage.store import digest_name, file_sha256
from components.storage.tables import Row, append_rows
from tinyworld.shipped import public_name

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class EditWork:
    """One edit to be sampled."""

    item_key: str
    """The edit's key."""
    edit_id: str
    video_id: str
    prompt: str
    category: str
    problem: str | None
    """Why its template could not be filled in."""
    attempt: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleItem:
    """One adapter and the edits to be sampled from it, so that each adapter is loaded once."""

    video_id: str
    video_key: str
    fps: float
    """Frames per second of the edited video."""
    source_prompt: str
    adapter: Row
    """``adapter_key``, ``uri`` and ``sha256`` of the adapters row."""
    inversion: str
    latents_part: str
    """The Parquet part that holds the inverted latents."""
    edits: list[Row]
    """Fields of an ``EditWork`` each."""


class SampleWorker:
    """Loads the base model once and samples adapter after adapter."""

    def __init__(self, context: StepContext) -> None:
        from tav_model.load import load_base  # 20 s that the driver need not pay

        self._context = context
        self._store = context.store()
        self._base = load_base(context.config.model)

    def __call__(self, items: Sequence[SampleItem]) -> list[Outcome]:
        """Sample every edit of each item; an edit that fails leaves the others alone."""
        return [outcome for item in items for outcome in self._sample_video(item)]

    def _sample_video(self, item: SampleItem) -> Iterator[Outcome]:
        log = VideoLog(logger, step="sample", video_id=item.video_id)
        edits = [EditWork(**fields) for fields in item.edits]
        try:
            with expected_errors():
                start = self._prepare(item)
        except ItemError as error:
            yield from (self._failed(edit, error) for edit in edits)
            return
        sound = []
        for edit in edits:
            if (problem := self._problem(edit)) is None:
                sound.append(edit)
            else:
                yield self._failed(edit, problem)
        size = self._context.config.sample.prompts_per_batch
        for first in range(0, len(sound), size):
            batch = sound[first : first + size]
            log.info("sampling %s", ", ".join(edit.edit_id for edit in batch))
            yield from self._sample_batch(item, batch, start)

    def _prepare(self, item: SampleItem) -> Tensor:
        """Load the adapter into the model and return the latents to start from, (C, F, H, W)."""
        import torch

        from tav_model.adapter import load_adapter

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "adapter.safetensors"
            self._store.fetch_checked(item.adapter["uri"], path, item.adapter["sha256"])
            load_adapter(self._base, path)
        key = item.adapter["adapter_key"]
        inverted = read_latents(self._store, item.latents_part, key, item.inversion)
        return torch.from_numpy(inverted).float()

    def _problem(self, edit: EditWork) -> ItemError | None:
        """Why this edit's prompt cannot be used, found before it joins a batch."""
        from tav_model.text import check_prompt

        if edit.problem is not None:
            return ItemError(edit.problem)
        try:
            with expected_errors():
                check_prompt(self._base.tokenizer, edit.prompt)
        except ItemError as error:
            return error
        return None

    def _sample_batch(
        self, item: SampleItem, batch: list[EditWork], start: Tensor
    ) -> Iterator[Outcome]:
        import torch

        from tav_model.sample import sample
        from tav_model.vae import decode

        started = time.perf_counter()
        config = self._context.config
        prompts = [edit.prompt for edit in batch]
        # Of use where sampling starts from noise: all edits of a video then share theirs.
        seed = item_seed(config.seed, item.adapter["adapter_key"])
        generator = torch.Generator().manual_seed(seed)
        try:
            with expected_errors():
                latents = sample(self._base, start, prompts, config.sample, generator=generator)
        except ItemError as error:
            yield from (self._failed(edit, error) for edit in batch)
            return
        share = (time.perf_counter() - started) / len(batch)
        for edit, edited in zip(batch, latents, strict=True):
            began = time.perf_counter() - share
            try:
                with expected_errors():
                    self._commit(item, edit, decode(self._base, edited), began)
            except ItemError as error:
                yield self._failed(edit, error)
            else:
                yield Outcome(edit.video_id, edit.edit_id, time.perf_counter() - began)

    def _commit(self, item: SampleItem, edit: EditWork, frames: Any, began: float) -> None:
        """Write the edit's mp4 (and PNG frames on request), then the row that names them."""
        from components.video.io import encode_mp4, write_png_frames

        config = self._context.config
        name = f"media/edits/{item.video_id}/{edit.item_key}"
        frames_uri = None
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "edit.mp4"
            encode_mp4(path, frames, fps=item.fps, crf=config.output.crf)
            sha256 = file_sha256(path)
            video_uri = f"{digest_name(name, sha256)}.mp4"
            self._store.write_file(video_uri, path)
            if config.output.frames:
                frames_uri = f"{name}-frames"
                for picture in write_png_frames(Path(folder) / "frames", frames):
                    self._store.write_file(f"{frames_uri}/{picture.name}", picture)
        row = {
            "edit_key": edit.item_key,
            "edit_id": edit.edit_id,
            "video_id": item.video_id,
            "video_key": item.video_key,
            "adapter_key": item.adapter["adapter_key"],
            "inversion": item.inversion,
            "source_prompt": item.source_prompt,
            "prompt": edit.prompt,
            "category": edit.category,
            "video_uri": video_uri,
            "sha256": sha256,
            "frames_uri": frames_uri,
            "num_frames": len(frames),
            "fps": item.fps,
            **model_columns(
                public_name(config.model.base), self._context.base_revision, config.seed
            ),
            **provenance(
                config_hash=self._context.config_hash, device=config.model.device, started=began
            ),
        }
        append_rows(self._store, "edits", [row])

    def _failed(self, edit: EditWork, error: ItemError) -> Outcome:
        return record_failure(self._store, "sample", edit, error, self._context, edit.edit_id)
