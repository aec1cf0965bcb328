"""The steps' workers without their heavy computation, for ``benchmarks.scale``.

Each replaces loading a model, decoding, captioning, tuning, inverting, sampling, encoding and
scoring by next to nothing; all else is the worker's own: it fetches and hashes the source, writes
and checks objects, makes rows and commits them.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from safetensors.numpy import save_file
from typing_extensions import override

from components.config import VideoConfig
from components.errors import SourceError
from components.steps.caption import CaptionItem, CaptionWorker
from components.steps.editing import SampleItem
from components.steps.ingest import IngestWorker
from components.steps.methods import Methods
from components.steps.preparation import PrepareItem
from components.steps.prepare import PrepareWorker
from components.steps.sample import SampleWorker
from components.steps.score import ScoreItem, ScoreWorker
from components.steps.step import ItemWorker, Outcome, StepContext
from components.video.io import Clip
from components.video.read import Probe
from components.video.sources import fetch_source, source_sha256
from eval.protocols.evidence import Judges
from eval.protocols.protocol import Scores
from methods.method import LATENTS, Artefact, Desk, Edit, Method, Prepared, Settings, Source
from methods.tune_a_video import TuneAVideo

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from components.captioning.blip2 import Blip2Captioner
    from components.run.stepwise import MakeWorker

_FRAMES: NDArray[np.uint8] = np.zeros((2, 8, 8, 3), np.uint8)
_LATENTS = np.zeros((4, 2, 1, 1), np.float32)


def stub_workers(marks: Path) -> dict[str, MakeWorker]:
    """A worker for each step.

    Args:
        marks: A folder on this machine; each process notes there when it began and ended its work.
    """
    stubs = (StubIngest, StubCaption, StubTune, StubSample, StubScore)
    return {stub.step: partial(_marked, stub, str(marks)) for stub in stubs}


def _marked(stub: type[ItemWorker], marks: str, context: StepContext) -> ItemWorker:
    return Marked(stub(context), Path(marks))


class Marked(ItemWorker):
    """Notes when a worker was ready, when it ended its last task, and its processor time."""

    def __init__(self, worker: ItemWorker, marks: Path) -> None:  # no store of its own
        self._worker = worker
        self._path = marks / f"{worker.step}-{os.getpid()}.json"
        self._note = {
            "pid": os.getpid(),
            "step": worker.step,
            "ready": time.time(),
            "cpu_ready": time.process_time(),
        }

    @override
    def skip_committed(self, since: int) -> None:
        self._worker.skip_committed(since)

    @override
    def commit_each(self) -> None:
        self._worker.commit_each()

    @override
    def __call__(self, items: Sequence[Any]) -> list[Outcome]:
        outcomes = self._worker(items)
        ended = {"ended": time.time(), "cpu_ended": time.process_time()}
        self._path.write_text(json.dumps(self._note | ended), encoding="utf-8")
        return outcomes


def _fetch(uri: str, sha256: str) -> None:
    """What ``ingest.load_clip`` does before it decodes."""
    found = source_sha256(fetch_source(uri, Path("unused")))
    if found != sha256:
        raise SourceError(f"{uri} has sha256 {found}, but {sha256} was ingested")


class StubIngest(IngestWorker):
    """Decodes and encodes nothing."""

    @override
    def _decode(self, path: Path, video: VideoConfig) -> Clip:
        source = Probe(num_frames=2, fps=8.0, width=8, height=8)
        return Clip(frames=_FRAMES, fps=8.0, frame_indices=(0, 1), source=source, true_fps=8.0)

    @override
    def _encode(self, target: Path, clip: Clip, fps: float) -> None:
        target.write_bytes(b"no mp4")


class _Captioner:
    device = "cpu"

    def __call__(self, images: Sequence[Any]) -> list[str]:
        return ["a stub is walking"] * len(images)


class StubCaption(CaptionWorker):
    """Describes every video in the same words."""

    @override
    def _load(self) -> Blip2Captioner:
        return cast("Blip2Captioner", _Captioner())

    @override
    def _middle_frame(self, item: CaptionItem) -> NDArray[np.uint8]:
        _fetch(item.video_row["uri"], item.video_row["sha256"])
        frame: NDArray[np.uint8] = _FRAMES[0]
        return frame


class StubMethod(TuneAVideo):
    """Prepares adapters of a few bytes and latents of 8 numbers, and edits by giving two frames."""

    @override
    def load(self) -> None:
        pass

    @override
    def check_prompt(self, prompt: str) -> None:
        pass

    @override
    def prepare(
        self, source: Source, prepared: Prepared, wanted: Sequence[str], desk: Desk
    ) -> Iterator[Artefact]:
        assert len(source.frames) == len(_FRAMES)
        for kind in wanted:
            if kind == LATENTS:
                yield Artefact(kind=kind, latents=_LATENTS, facts={"reconstruction_psnr": 0.0})
                continue
            desk.checkpoint.read(desk.folder / "state")  # to resume from
            path = desk.folder / "adapter"
            save_file({"none": np.zeros(1, np.float32)}, path, {"video": source.video_id})
            facts = {"steps": 0, "num_params": 0, "final_loss": 0.0, "peak_bytes": 0}
            yield Artefact(kind=kind, path=path, facts=facts)

    @override
    def edit(self, source: Source, edits: Sequence[Edit], prepared: Prepared) -> Iterator[Any]:
        for _ in edits:
            yield _FRAMES


class _StubMethods(Methods):
    @override
    def of(self, variant: str) -> Method:
        return StubMethod(Settings(own=None, model=self._context.config.model))


class StubTune(PrepareWorker):
    """Prepares with the stub of a method."""

    def __init__(self, context: StepContext) -> None:
        super().__init__(context)
        self._methods = _StubMethods(context)

    @override
    def _source(self, item: PrepareItem, method: Method, folder: Path) -> Source:
        def load() -> NDArray[np.uint8]:
            _fetch(item.video_row["uri"], item.video_row["sha256"])
            return _FRAMES

        return Source(video_id=item.video_id, prompt=item.source_prompt, seed=0, load=load)


class StubSample(SampleWorker):
    """Edits with the stub of a method, from the adapter and the latents that it fetched."""

    def __init__(self, context: StepContext) -> None:
        super().__init__(context)
        self._methods = _StubMethods(context)

    @override
    def _encode(self, target: Path, frames: Any, item: SampleItem, crf: int) -> None:
        target.write_bytes(b"no mp4")


class StubScore(ScoreWorker):
    """Fetches and checks the edit, and gives every one the same scores."""

    @override
    def _load(self) -> Judges:
        return Judges()

    @override
    def _decode(self, path: Path) -> NDArray[np.uint8]:
        return _FRAMES

    @override
    def _judge(self, item: ScoreItem, protocol: Any) -> Scores:
        _ = self._edited(item).frames
        return Scores({"frame_consistency": 50.0, "textual_alignment": 25.0}, {})
