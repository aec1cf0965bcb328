"""The sample step: every edited prompt of a video, from its adapter and its inverted latents."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from components.errors import ItemError
from components.log import VideoLog
from components.records.failures import expected_errors
from components.records.keys import item_seed
from components.records.provenance import model_columns, provenance
from components.steps.models import load_base_model
from components.steps.step import ItemWorker, Outcome, StepContext
from components.storage.address import digest_name
from components.storage.latents import LatentsReader
from components.storage.store import file_sha256
from components.storage.tables import Row
from tinyworld.shipped import public_name

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

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
    source_fps: float
    """Of its source."""
    source_prompt: str
    adapter: Row
    """``adapter_key``, ``uri`` and ``sha256`` of the adapters row."""
    inversion: str
    latents_part: str
    """The Parquet part that holds the inverted latents."""
    edits: list[Row]
    """Fields of an ``EditWork`` each."""


class Sampler:
    """The base model with one adapter in it."""

    def __init__(self, context: StepContext) -> None:
        self._config = context.config
        self._base = load_base_model(context)

    def load_adapter(self, path: Path) -> None:
        """Replace the adapter by that of a file."""
        from tav_model.adapter import load_adapter

        load_adapter(self._base, path)

    def check_prompt(self, prompt: str) -> None:
        """Raise PromptError when the text encoder would cut the prompt off."""
        from tav_model.text import check_prompt

        check_prompt(self._base.tokenizer, prompt)

    def sample(self, start_CFHW: NDArray[np.float16], prompts: list[str], seed: int) -> list[Any]:
        """Denoise inverted latents towards each prompt; what is returned, ``decode`` takes."""
        import torch

        from tav_model.sample import sample

        start = torch.tensor(start_CFHW, dtype=torch.float32)
        generator = torch.Generator().manual_seed(seed)
        return list(sample(self._base, start, prompts, self._config.sample, generator=generator))

    def decode(self, latents: Any) -> NDArray[np.uint8]:
        """Frames (F, H, W, 3) of one edit."""
        from tav_model.vae import decode

        frames: NDArray[np.uint8] = decode(self._base, latents)
        return frames

    def encode(self, target: Path, frames: NDArray[np.uint8], item: SampleItem) -> None:
        """Write an edit as mp4."""
        from components.video.io import encode_mp4

        crf = self._config.output.crf
        encode_mp4(target, frames, fps=item.fps, crf=crf, coded_fps=item.source_fps)


class SampleWorker(ItemWorker):
    """Loads the base model once and samples adapter after adapter."""

    step = "sample"
    table = "edits"
    identity = MappingProxyType({"edit_id": "edit_id", "edit_key": "item_key"})

    def __init__(self, context: StepContext) -> None:
        super().__init__(context)
        self._model = self._load()
        self._latents = LatentsReader(self._store)

    @override
    def _unsettled(self, items: Sequence[SampleItem]) -> list[SampleItem]:
        """With those edits alone that are not settled."""
        left = []
        for item in items:
            edits = [edit for edit in item.edits if EditWork(**edit) not in self._settled]
            left.extend([dataclasses.replace(item, edits=edits)] if edits else [])
        return left

    def _load(self) -> Sampler:
        return Sampler(self._context)

    @override
    def _outcomes(self, items: Sequence[SampleItem]) -> Iterator[Outcome]:
        for item in items:
            yield from self._sample_video(item)

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

    def _prepare(self, item: SampleItem) -> NDArray[np.float16]:
        """Load the adapter into the model and return the latents to start from, (C, F, H, W)."""
        with self._scratch() as folder:
            path = folder / "adapter.safetensors"
            self._store.fetch_checked(item.adapter["uri"], path, item.adapter["sha256"])
            self._model.load_adapter(path)
        key = item.adapter["adapter_key"]
        return self._latents.read(item.latents_part, key, item.inversion)

    def _problem(self, edit: EditWork) -> ItemError | None:
        """Why this edit's prompt cannot be used, found before it joins a batch."""
        if edit.problem is not None:
            return ItemError(edit.problem)
        try:
            with expected_errors():
                self._model.check_prompt(edit.prompt)
        except ItemError as error:
            return error
        return None

    def _sample_batch(
        self, item: SampleItem, batch: list[EditWork], start: NDArray[np.float16]
    ) -> Iterator[Outcome]:
        started = time.perf_counter()
        prompts = [edit.prompt for edit in batch]
        # Of use where sampling starts from noise: all edits of a video then share theirs.
        seed = item_seed(self._context.config.seed, item.adapter["adapter_key"])
        try:
            with expected_errors():
                latents = self._model.sample(start, prompts, seed)
        except ItemError as error:
            yield from (self._failed(edit, error) for edit in batch)
            return
        share = (time.perf_counter() - started) / len(batch)
        for edit, edited in zip(batch, latents, strict=True):
            began = time.perf_counter() - share
            try:
                with expected_errors():
                    self._keep(item, edit, self._model.decode(edited), began)
            except ItemError as error:
                yield self._failed(edit, error)
            else:
                yield Outcome(edit.video_id, edit.edit_id, time.perf_counter() - began)

    def _keep(
        self, item: SampleItem, edit: EditWork, frames: NDArray[np.uint8], began: float
    ) -> None:
        """Write the edit's mp4 (and PNG frames on request), then the row that names them."""
        from components.video.io import write_png_frames

        config = self._context.config
        name = f"media/edits/{item.video_id}/{edit.item_key}"
        frames_uri = None
        with self._scratch() as folder:
            path = folder / "edit.mp4"
            self._model.encode(path, frames, item)
            sha256 = file_sha256(path)
            video_uri = f"{digest_name(name, sha256)}.mp4"
            self._store.write_file(video_uri, path)
            if config.output.frames:
                frames_uri = f"{name}-frames"
                for picture in write_png_frames(folder / "frames", frames):
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
        self._writer.add("edits", row)

    def _failed(self, edit: EditWork, error: ItemError) -> Outcome:
        return self._fail(edit, error, edit.edit_id)
