"""The steps' workers, asleep for as long as their computation would last; see ``scale_stubs``."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from benchmarks.cluster.costs import Costs
from benchmarks.scale_stubs import (
    StubCaption,
    StubIngest,
    StubMethod,
    StubSample,
    StubScore,
    StubTune,
)
from components.config import VideoConfig
from components.steps.caption import CaptionItem
from components.steps.methods import Methods
from components.steps.prepare import Artefacts
from components.steps.score import ScoreItem
from components.steps.step import ItemWorker, StepContext
from components.storage.store import Store
from components.storage.tables import Row
from components.video.io import Clip
from eval.protocols.evidence import Judges
from eval.protocols.protocol import Scores
from methods.method import (
    ADAPTER,
    LATENTS,
    Artefact,
    Desk,
    Edit,
    Method,
    Prepared,
    Settings,
    Source,
)

if TYPE_CHECKING:
    from components.captioning.blip2 import Blip2Captioner
    from components.run.stepwise import MakeWorker


class Diary:
    """Notes what a process's GPU did and when, a line each, as it happens."""

    def __init__(self, folder: Path, costs: Costs) -> None:
        self._path = folder / f"{os.getpid()}.jsonl"
        self._gpu = _gpu()
        self.costs = costs

    @contextmanager
    def during(self, kind: str, step: str, seconds: float, item: str = "") -> Iterator[None]:
        """Be at something for so long at least; what is done meanwhile counts as a part of it.

        Args:
            kind: ``work``, ``load`` or ``fetch``.
            step: The step's name.
            seconds: How long.
            item: What is worked at.
        """
        began = time.time()
        yield
        time.sleep(max(began + seconds - time.time(), 0))
        note = {"gpu": self._gpu, "kind": kind, "step": step, "item": item}
        with self._path.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(note | {"began": began, "ended": time.time()}) + "\n")

    def work(self, step: str, item: str, *, part: str = "") -> None:
        """Do an item of a step, or a part of it that has costs of its own."""
        with self.during("work", step, self.costs.work(part or step, item), item):
            pass


def _gpu() -> str:
    """Node and number of the process's GPU; empty without one."""
    import ray

    numbers = ray.get_gpu_ids()
    node = ray.get_runtime_context().get_node_id()
    return f"{node[:8]}/{','.join(map(str, numbers))}" if numbers else ""


def sleeping_workers(folder: Path, costs: Costs) -> dict[str, MakeWorker]:
    """A worker for each step.

    Args:
        folder: On this machine: each process keeps its diary there.
        costs: How long things take.
    """
    kinds = (SleepingIngest, SleepingCaption, SleepingTune, SleepingSample, SleepingScore)
    return {kind.step: partial(_worker, kind, folder, costs) for kind in kinds}


def _worker(kind: Any, folder: Path, costs: Costs, context: StepContext) -> ItemWorker:
    worker: ItemWorker = kind(context, Diary(folder, costs))
    return worker


class SleepingIngest(StubIngest):
    """Sleeps where a source would be decoded."""

    def __init__(self, context: StepContext, diary: Diary) -> None:
        super().__init__(context)
        self._diary = diary

    @override
    def _decode(self, path: Path, video: VideoConfig) -> Clip:
        self._diary.work("ingest", str(path))
        return super()._decode(path, video)


class SleepingCaption(StubCaption):
    """Sleeps where BLIP-2 would be loaded and asked."""

    def __init__(self, context: StepContext, diary: Diary) -> None:
        self._diary = diary
        super().__init__(context)

    @override
    def _load(self) -> Blip2Captioner:
        with self._diary.during("load", "caption", self._diary.costs.loading("caption")):
            return super()._load()

    @override
    def _middle_frame(self, item: CaptionItem) -> Any:
        self._diary.work("caption", item.video_id)
        return super()._middle_frame(item)


class SleepingMethod(StubMethod):
    """Sleeps where the base would be loaded, tuned, inverted and asked for edits."""

    def __init__(self, settings: Settings, diary: Diary) -> None:
        super().__init__(settings)
        self._diary = diary

    @override
    def prepare(
        self, source: Source, prepared: Prepared, wanted: Sequence[str], desk: Desk
    ) -> Iterator[Artefact]:
        parts = {ADAPTER: "tune", LATENTS: "invert"}
        made = super().prepare(source, prepared, wanted, desk)
        for kind, artefact in zip(wanted, made, strict=True):
            self._diary.work("tune", f"{source.video_id} {kind}", part=parts[kind])
            yield artefact

    @override
    def edit(self, source: Source, edits: Sequence[Edit], prepared: Prepared) -> Iterator[Any]:
        for edit, frames in zip(edits, super().edit(source, edits, prepared), strict=True):
            self._diary.work("sample", f"{source.video_id}/{edit.name}")
            yield frames


class _Methods(Methods):
    """Loads the stub of a method once, as a base is that serves every variant."""

    def __init__(self, context: StepContext, diary: Diary, step: str) -> None:
        super().__init__(context)
        self._diary, self._step = diary, step
        self._stub: SleepingMethod | None = None

    @override
    def of(self, variant: str) -> Method:
        if self._stub is None:
            with self._diary.during("load", self._step, self._diary.costs.loading(self._step)):
                settings = Settings(own=None, model=self._context.config.model)
                self._stub = SleepingMethod(settings, self._diary)
        return self._stub


class _Artefacts(Artefacts):
    """Takes as long as an adapter of real size."""

    def __init__(self, store: Store, diary: Diary, step: str) -> None:
        super().__init__(store)
        self._diary, self._step = diary, step

    @override
    def fetch(self, video_id: str, row: Row, folder: Path) -> Any:
        here = self.fresh is not None and self.fresh.row(video_id, row) is not None
        if here or row["kind"] == LATENTS:
            return super().fetch(video_id, row, folder)
        with self._diary.during("fetch", self._step, self._diary.costs.fetching(), video_id):
            return super().fetch(video_id, row, folder)


class SleepingTune(StubTune):
    """Sleeps where a video would be tuned and inverted."""

    def __init__(self, context: StepContext, diary: Diary) -> None:
        super().__init__(context)
        self._methods = _Methods(context, diary, "tune")
        self._artefacts = _Artefacts(self._store, diary, "tune")


class SleepingSample(StubSample):
    """Sleeps where edits would be made."""

    def __init__(self, context: StepContext, diary: Diary) -> None:
        super().__init__(context)
        self._methods = _Methods(context, diary, "sample")
        self._artefacts = _Artefacts(self._store, diary, "sample")


class SleepingScore(StubScore):
    """Sleeps where the judges would be loaded and would look at an edit."""

    def __init__(self, context: StepContext, diary: Diary) -> None:
        self._diary = diary
        super().__init__(context)

    @override
    def _load(self) -> Judges:
        with self._diary.during("load", "score", self._diary.costs.loading("score")):
            return super()._load()

    @override
    def _judge(self, item: ScoreItem, protocol: Any) -> Scores:
        self._diary.work("score", item.edit_id)
        return super()._judge(item, protocol)
