"""A run from its configuration to its report: each step computes what is missing, in order."""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from components.config import RunConfig, parse, to_document
from components.errors import ItemError, UserError
from components.keys import content_key
from components.manifest.edits import VideoEntry
from components.manifest.load import Manifest, from_document, load_manifest
from components.manifest.load import to_document as manifest_document
from components.run.cluster import Cluster
from components.run.current import Revisions, State
from components.run.plan import STEPS, Plan, ingest_key
from components.run.progress import Progress
from components.run.status import Status, run_status
from components.steps.ingest import IngestItem, IngestWorker
from components.steps.score import check_protocols
from components.steps.spread import run_items
from components.steps.step import ItemWorker, Outcome, StepContext, record_failure
from components.storage.compact import compact_grown
from components.storage.store import Store, open_store
from components.storage.writer import RowWriter
from components.video.sources import stat_source
from eval.protocols import reads_frames
from tinyworld.shipped import shipped_model

logger = logging.getLogger(__name__)

MakeWorker = Callable[[StepContext], ItemWorker]
"""Called in each of a step's processes."""

_STAT_THREADS = 16
_STAT_CHUNK = 50


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run came to."""

    status: Status
    computed: dict[str, int]
    """Items that each step computed this time."""
    used_ray: bool
    changed: bool
    """Whether this run asks for something else than the one before it."""

    @property
    def failed_fraction(self) -> float:
        """Failed videos and edits over all."""
        return self.status.failed_fraction


class Runner:
    """One run of one configuration."""

    def __init__(
        self,
        config: RunConfig,
        *,
        retry_failed: bool = False,
        workers: Mapping[str, MakeWorker] | None = None,
    ) -> None:
        """Read the manifest and name the models.

        Args:
            config: The run's.
            retry_failed: Try again what failed for good.
            workers: What does each step's work, by step; none means this package's own.

        Raises:
            UserError: anything that must be right before work begins is not.
        """
        check_protocols(config.score.protocols)
        self.config = config
        self.store: Store = open_store(config.run)
        self.manifest: Manifest = load_manifest(config.manifest)
        self.revisions = find_revisions(config, self.manifest)
        self._retry_failed = retry_failed
        self._workers = workers
        self._known: State | None = None
        self._context = StepContext(
            config=config,
            config_hash=content_key(config=config),
            base_revision=self.revisions.base,
            caption_revision=self.revisions.caption,
            score_revision=self.revisions.score,
            reader_revision=self.revisions.reader,
        )

    def state(self) -> State:
        """A fresh reading of the tables."""
        return State(self.config, self.manifest, self.store, self.revisions)

    def _state(self) -> State:
        """The last reading, while nothing was committed since."""
        if self._known is None:
            self._known = self.state()
        return self._known

    def run(self, steps: Sequence[str] = STEPS) -> RunResult:
        """Run steps in order, starting Ray only when one of them has work."""
        changed = save_run(self.store, self.config, self.manifest, self.revisions)
        computed = {}
        with Cluster(self.config.ray) as cluster:
            for step in steps:
                computed[step] = self._run_step(step, cluster)
                if computed[step]:
                    compact_grown(self.store)
            used_ray = cluster.started
        return RunResult(run_status(self._state()), computed, used_ray, changed)

    def _run_step(self, step: str, cluster: Cluster) -> int:
        plan = Plan(self._state(), retry_failed=self._retry_failed)
        versions, missing = self._source_versions(plan) if step == "ingest" else ({}, 0)
        written = self._commit_manifest_captions(plan) if step == "caption" else 0
        items = plan.items(step, versions)
        if items or missing or written:
            self._known = None
        if not items:
            logger.info("step=%s nothing to do", step)
            return missing
        total = sum(len(item.edits) if step == "sample" else 1 for item in items)
        logger.info("step=%s %d to do", step, total)
        cluster.start()
        with Progress(step, total) as progress:
            for outcome in self._outcomes(step, items):
                progress.advance(outcome)
        return total + missing

    def _outcomes(self, step: str, items: list[Any]) -> Iterator[Outcome]:
        worker = (self._workers or _own_workers())[step]
        if step == "tune":
            from components.steps.shards import run_tuning

            return run_tuning(items, self._context, worker)
        gpus = 0 if step == "ingest" else self.config.ray.gpus_per_worker
        return run_items(self._groups(step, items), worker, self._context, num_gpus=gpus)

    def _groups(self, step: str, items: list[Any]) -> list[list[Any]]:
        """Items that one worker should have: a batch for BLIP-2, the protocols of one edit."""
        if step == "score":
            edits = itertools.groupby(items, key=lambda item: item.edit_id)
            return [list(group) for _, group in edits]
        size = self.config.caption.batch_size if step == "caption" else 1
        return [items[first : first + size] for first in range(0, len(items), size)]

    def _source_versions(self, plan: Plan) -> tuple[dict[str, str], int]:
        """Ask every source for its version; count those that became failure rows."""
        entries = self.manifest.videos

        def ask(uri: str) -> str | ItemError:
            try:
                return stat_source(uri).version
            except ItemError as error:
                return error

        def ask_all(some: Sequence[VideoEntry]) -> list[str | ItemError]:
            return [ask(entry.uri) for entry in some]

        # Many at once: handing one to a thread costs more than asking a local file system.
        chunks = [
            entries[first : first + _STAT_CHUNK] for first in range(0, len(entries), _STAT_CHUNK)
        ]
        with ThreadPoolExecutor(_STAT_THREADS) as threads:
            answers = [answer for found in threads.map(ask_all, chunks) for answer in found]
        versions, missing = {}, 0
        writer = RowWriter(self.store)
        with writer.work():
            for entry, answer in zip(entries, answers, strict=True):
                if isinstance(answer, str):
                    versions[entry.video_id] = answer
                elif entry.video_id not in plan.state.videos:
                    missing += self._record_missing(plan, entry, answer, writer)
                    writer.flush_due()
        return versions, missing

    def _record_missing(
        self, plan: Plan, entry: VideoEntry, error: ItemError, writer: RowWriter
    ) -> bool:
        key = ingest_key(entry, "absent", plan.state.video_config(entry))
        attempt = plan.attempt("ingest", key, entry.video_id)
        if attempt is None:
            return False
        item = IngestItem(
            item_key=key,
            video_id=entry.video_id,
            uri=entry.uri,
            source_version="absent",
            video={},
            attempt=attempt,
        )
        outcome = record_failure(writer, "ingest", item, error, self._context)
        logger.warning("step=ingest video=%s failed: %s", entry.video_id, outcome.error)
        return True

    def _commit_manifest_captions(self, plan: Plan) -> int:
        from components.steps.caption import commit_manifest_captions

        captions = plan.manifest_captions()
        commit_manifest_captions(self.store, captions, self._context)
        return len(captions)


def _own_workers() -> Mapping[str, MakeWorker]:
    from components.steps.caption import CaptionWorker
    from components.steps.sample import SampleWorker
    from components.steps.score import ScoreWorker
    from components.steps.tune import TuneWorker

    workers = (IngestWorker, CaptionWorker, TuneWorker, SampleWorker, ScoreWorker)
    return {worker.step: worker for worker in workers}


def find_revisions(config: RunConfig, manifest: Manifest) -> Revisions:
    """Name the configured models exactly, those alone that the run asks for.

    BLIP-2 describes videos without a prompt; tinyworld's reader and CLIP judge under some protocols
    each.

    Raises:
        UserError: a folder or hub model is not there.
    """
    from components.revisions import resolve_revision

    caption = ""
    if any(entry.prompt is None for entry in manifest.videos):
        caption = resolve_revision(config.caption.model, config.caption.revision)
    reads = {reads_frames(name) for name in config.score.protocols}
    return Revisions(
        base=resolve_revision(config.model.base, config.model.revision),
        caption=caption,
        score=resolve_revision(config.score.model, None) if False in reads else "",
        reader=resolve_revision(str(shipped_model("reader"))) if True in reads else "",
    )


RUN_FILE = "run.json"


def save_run(store: Store, config: RunConfig, manifest: Manifest, revisions: Revisions) -> bool:
    """Write what `tav status` and `tav export` need beside the tables; say whether it is new."""
    document = {
        "config": to_document(config),
        "manifest": manifest_document(manifest),
        "revisions": to_document(revisions),
    }
    data = json.dumps(document, sort_keys=True).encode()  # indented it takes ten times as long
    if store.stat(RUN_FILE) is not None and store.read_bytes(RUN_FILE) == data:
        return False
    store.write_bytes(RUN_FILE, data)
    return True


def open_run(uri: str) -> Store:
    """Open the store of a run that is there.

    Raises:
        UserError: no run lies there.
    """
    store = open_store(uri)
    if store.stat(RUN_FILE) is None:
        raise UserError(f"{uri} holds no {RUN_FILE}: it is no run's root")
    return store


def load_run(uri: str) -> State:
    """Read a run's own record of what it was asked for, and its tables.

    Raises:
        UserError: no run lies there.
    """
    store = open_run(uri)
    document = json.loads(store.read_bytes(RUN_FILE))
    return State(
        parse(RunConfig, document["config"], RUN_FILE),
        from_document(document["manifest"]),
        store,
        Revisions(**document["revisions"]),
    )
