"""A run from its configuration to its report: each step computes what is missing, in order."""

from __future__ import annotations

import dataclasses
import itertools
import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from components.config import RunConfig
from components.errors import TransientError, UserError
from components.log import VideoLog
from components.manifest.load import Manifest, load_manifest
from components.run.clip_plan import check_read
from components.run.cluster import Cluster, workers_of
from components.run.current import State
from components.run.groups import member_ids
from components.run.lease import Lease
from components.run.metrics import Metrics
from components.run.origins import check_addresses, check_controls, check_groups, source_versions
from components.run.plan import READS_CLIPS, Plan, plan_items
from components.run.progress import Progress
from components.run.record import find_revisions, save_run
from components.run.sizes import check_sizes
from components.run.small import is_small
from components.run.status import Status, run_status
from components.run.tuning import StageId, stage_ids
from components.steps import STEPS
from components.steps.caption import check_backend
from components.steps.ingest import IngestWorker
from components.steps.losses import is_loss
from components.steps.models import check_models
from components.steps.packed import Packed
from components.steps.score import check_protocols
from components.steps.spread import run_items
from components.steps.step import ItemWorker, Outcome, StepContext
from components.storage.compact import compact_grown
from components.storage.open import open_store
from components.storage.store import Store
from components.storage.tables import ReadArrow, read_table

if TYPE_CHECKING:
    from components.run.flow.flow import Flow

logger = logging.getLogger(__name__)

MakeWorker = Callable[[StepContext], ItemWorker]
"""Called in each of a step's processes."""

Compute = Callable[..., dict[str, int]]
"""Computes what steps lack, and says how much of each."""

WINDOW = 100_000
"""Items that are given to Ray at once: the driver and its object store hold no more of them."""
_MAX_LOSSES = 5
"""Losses of workers or nodes in a row without an item being done; then the run ends."""
_LONGEST_DELAY = 300.0
"""Seconds between two tries."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run came to."""

    state: State
    """The tables as they are now."""
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
        self.manifest: Manifest = load_manifest(config.manifest, config.manifest_root)
        if any(entry.prompt is None for entry in self.manifest.videos):
            check_backend(config.caption)
        self.revisions = find_revisions(config, self.manifest)
        self._retry_failed = retry_failed
        self._workers = workers
        self._known: State | None = None
        self._steps: Sequence[str] = STEPS
        self._losses = 0
        state = self.state()
        self._context = state.context()
        check_sizes(state)
        check_addresses(state)
        check_controls(state)
        check_groups(state)

    def state(self) -> State:
        """A fresh reading of the tables."""
        return State(self.config, self.manifest, self.store, self.revisions)

    def _state(self) -> State:
        """The last reading, while nothing was committed or merged since."""
        if self._known is None:
            self._known = self.state()
        return self._known

    def run(self, steps: Sequence[str] = STEPS) -> RunResult:
        """Run steps in order, starting Ray only when one of them has work.

        Raises:
            LeaseHeldError: another driver is at work on the run.
            LeaseLostError: another driver has taken the run over.
        """
        computed: dict[str, int] = {}
        self._known, self._steps = None, steps
        lease = Lease(self.store, self.config.lease_seconds)
        with lease, Cluster(self.config) as cluster:
            check_models(self._context, steps)  # now, and not after a day of ingesting
            changed = save_run(self.store, self.config, self.manifest, self.revisions)
            compute = self._run_flow if self._flows(steps) else self._run_step
            for some in [steps] if compute == self._run_flow else [[step] for step in steps]:
                computed |= compute(some, cluster, lease, retry_failed=self._retry_failed)
                self._try_again(compute, some, cluster, lease)
                if any(computed[step] for step in some):
                    compact_grown(self.store)
                    self._known = None  # it names parts
            used_ray = cluster.started
        state = self._state()
        return RunResult(state, run_status(state), computed, used_ray, changed)

    def _flows(self, steps: Sequence[str]) -> bool:
        """Whether videos go on at their own pace; a step alone does only where it is small."""
        if not self.config.ray.flow or len(steps) > 1:
            return self.config.ray.flow
        return is_small(self._state(), steps[0], self._context)

    def _try_again(
        self, compute: Compute, steps: Sequence[str], cluster: Cluster, lease: Lease
    ) -> None:
        """Compute once more what failed for a passing reason, after growing delays."""
        delay = self.config.retry_seconds
        for _ in range(1, self.config.max_attempts):
            waiting = {step: count for step in steps if (count := self._retries(step))}
            if not waiting:
                return
            for step, count in waiting.items():
                log = VideoLog(logger, step=step)
                log.info("%d failed for a passing reason: again in %.0f s", count, delay)
            time.sleep(delay)
            delay = min(2 * delay, _LONGEST_DELAY)
            self._known = None
            compute(steps, cluster, lease, retry_failed=False)

    def _retries(self, step: str) -> int:
        """How many items failed for a passing reason and have attempts left."""
        failures = read_table(self.store, "failures", ("step", "retryable"))
        if not any(row["step"] == step and row["retryable"] for row in failures):
            return 0  # mostly so, and the other tables need not be read
        return sum(
            Plan(view).retries(step)
            for part in self._state().portions()
            for view in part.distinct(step)
        )

    def _run_flow(
        self, steps: Sequence[str], cluster: Cluster, lease: Lease, *, retry_failed: bool
    ) -> dict[str, int]:
        """Compute what steps lack, each video at its own pace; return how much of each."""
        from components.run.flow.flow import Flow

        computed: Counter[str] = Counter(dict.fromkeys(steps, 0))
        while True:
            lease.check()
            state = self._state()
            self._known = None
            flow = Flow(
                self.config,
                self._context,
                self._following,
                self._makers,
                steps,
                retry_failed=retry_failed,
            )
            left = flow.look()
            computed.update(flow.missing)
            if not left:
                VideoLog(logger, step="run").info("nothing to do")
                return dict(computed)
            totals = {name: one.total - one.done for name, one in run_status(state).steps.items()}
            outcomes = self._flow_outcomes(flow, cluster)
            if self._work(outcomes, totals, computed, cluster, lease):
                return dict(computed)

    def _following(self, read: ReadArrow) -> State:
        """A reading of the tables by another who reads them."""
        return State(self.config, self.manifest, self.store, self.revisions, read=read)

    def _run_step(
        self, steps: Sequence[str], cluster: Cluster, lease: Lease, *, retry_failed: bool
    ) -> dict[str, int]:
        """Compute what a step lacks, again where workers or nodes were lost; return how much."""
        (step,) = steps
        total, lost = 0, False
        tried: set[StageId] = set()
        while True:
            lease.check()
            items, missing = self._missing(step, retry_failed=retry_failed, tried=tried)
            count = sum(len(one.edits) for one in items) if step == "sample" else len(items)
            total += 0 if lost else count + missing
            if not len(items):
                VideoLog(logger, step=step).info("nothing to do")
                return {step: total}
            VideoLog(logger, step=step).info("%d to do", count)
            outcomes = self._step_outcomes(step, items, cluster)
            lost = not self._work(outcomes, {step: count}, Counter(), cluster, lease)
            self._known = None
            if not lost and step != "tune":
                return {step: total}
            if not lost:  # what two variants or a group share may have held back the others
                state = self._state()
                if len(state.distinct(step)) < 2 and not member_ids(state.manifest.videos):  # noqa: PLR2004
                    return {step: total}
                tried.update(*map(stage_ids, items))

    def _missing(
        self, step: str, *, retry_failed: bool, tried: Collection[StageId]
    ) -> tuple[Packed, int]:
        """A step's items to compute, and how many have become failure rows at once."""
        state = self._state()
        versions, missing = source_versions(state, step, retry_failed=retry_failed)
        if step == "caption" and self._commit_manifest_captions(state):
            self._known = None
        items = Packed(
            plan_items(self._state(), step, versions, retry_failed=retry_failed, tried=tried)
        )
        if len(items) and step in READS_CLIPS:
            check_read(state)
        if missing:
            self._known = None
        return items, missing

    def _work(
        self,
        outcomes: Iterator[tuple[str, Outcome]],
        totals: Mapping[str, int],
        computed: Counter[str],
        cluster: Cluster,
        lease: Lease,
    ) -> bool:
        """Follow what is computed; return whether all is settled, and no loss came in between.

        Args:
            outcomes: With their steps.
            totals: How many are expected of each step.
            computed: Counts those that come.
            cluster: Where they are computed.
            lease: Of this driver.
        """
        settled = 0
        steps = ", ".join(totals)
        metrics: dict[str, Metrics] = {}
        try:
            with Progress(totals, bar=self.config.log_format == "text") as progress:
                for step, outcome in outcomes:
                    settled += 1
                    lease.check()
                    computed[step] += 1
                    progress.advance(step, outcome)
                    if cluster.started:
                        if step not in metrics:
                            metrics[step] = Metrics(self.config, step)
                        metrics[step].record(outcome)
        except (Exception, KeyboardInterrupt) as error:
            lease.check()
            if isinstance(error, UserError) or not (cluster.lost or is_loss(error)):
                raise
            self._losses = 0 if settled else self._losses + 1
            what = "Ray's node died" if cluster.lost else _last_line(error)
            if self._losses >= _MAX_LOSSES:
                raise TransientError(
                    f"{steps}: given up after {self._losses} losses in a row that left nothing "
                    f"done, the last one: {what}. What is committed counts: run again to go on"
                ) from error
            logger.warning("going on after a loss: %s", what)
            return False
        finally:
            cluster.busy = False
        return True

    def _flow_outcomes(self, flow: Flow, cluster: Cluster) -> Iterator[tuple[str, Outcome]]:
        cluster.start(train=False)
        cluster.busy = True
        yield from flow.run()

    def _step_outcomes(
        self, step: str, items: Packed, cluster: Cluster
    ) -> Iterator[tuple[str, Outcome]]:
        yield from ((step, outcome) for outcome in self._outcomes(step, items, cluster))

    def _outcomes(self, step: str, items: Packed, cluster: Cluster) -> Iterator[Outcome]:
        cluster.start(train="tune" in self._steps)
        cluster.busy = True
        for some in items.windows(WINDOW):
            yield from self._spread(step, some)

    def _spread(self, step: str, items: list[Any]) -> Iterator[Outcome]:
        worker = self._worker(step)
        long = [item for item in items if step == "tune" and item.long]
        short = [item for item in items if step != "tune" or not item.long]
        gpus = 0 if step == "ingest" else self.config.ray.gpus_per_worker
        settings = dataclasses.replace(self.config.ray, workers=workers_of(self.config.ray))
        config = dataclasses.replace(self._context.config, ray=settings)
        context = dataclasses.replace(self._context, config=config)
        if step in ("tune", "sample"):
            from components.plan.memory import with_memory

            context = with_memory(context, items)
        if long:
            from components.plan.shards import with_shard_size
            from components.steps.shards import run_tuning

            yield from run_tuning(long, with_shard_size(context, long), worker)
        if short:
            yield from run_items(self._groups(step, short), worker, context, num_gpus=gpus)

    def _worker(self, step: str) -> MakeWorker:
        """What does a step's work."""
        return self._makers[step]

    @property
    def _makers(self) -> Mapping[str, MakeWorker]:
        return self._workers or _own_workers()

    def _groups(self, step: str, items: list[Any]) -> list[list[Any]]:
        """Items that one worker should have: a batch for BLIP-2, the protocols of one edit."""
        if step == "score":
            edits = itertools.groupby(items, key=lambda item: item.edit_id)
            return [list(group) for _, group in edits]
        size = self.config.caption.batch_size if step == "caption" else 1
        return [items[first : first + size] for first in range(0, len(items), size)]

    def _commit_manifest_captions(self, state: State) -> int:
        from components.steps.caption import commit_manifest_captions

        count = 0
        for part in state.portions(unfinished="caption"):
            captions = Plan(part.first).manifest_captions()
            commit_manifest_captions(self.store, captions, self._context)
            count += len(captions)
        return count


def _own_workers() -> Mapping[str, MakeWorker]:
    from components.steps.caption import CaptionWorker
    from components.steps.control import ControlWorker
    from components.steps.prepare import PrepareWorker
    from components.steps.sample import SampleWorker
    from components.steps.score import ScoreWorker

    workers = (
        *(IngestWorker, CaptionWorker, ControlWorker),
        *(PrepareWorker, SampleWorker, ScoreWorker),
    )
    return {worker.step: worker for worker in workers}


def _last_line(error: BaseException) -> str:
    """What a long message of Ray comes down to."""
    return f"{type(error).__name__}: {error}".strip().splitlines()[-1]
