"""A run from its configuration to its report: each step computes what is missing, in order."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from components.config import RunConfig
from components.log import VideoLog
from components.manifest.load import Manifest, load_manifest
from components.run.clip_plan import check_read
from components.run.cluster import Cluster
from components.run.current import State
from components.run.groups import member_ids
from components.run.lease import Lease
from components.run.origins import check_addresses, check_controls, check_groups, source_versions
from components.run.plan import READS_CLIPS, Plan, plan_items
from components.run.record import find_revisions, save_run
from components.run.sizes import check_sizes
from components.run.small import is_small
from components.run.status import Status
from components.run.stepwise import MakeWorker, own_workers, spread_step
from components.run.tuning import StageId, stage_ids
from components.run.work import Work
from components.steps import STEPS
from components.steps.caption import check_backend
from components.steps.models import check_models
from components.steps.packed import Packed
from components.steps.score import check_protocols
from components.steps.step import Outcome
from components.storage.compact import compact_grown
from components.storage.open import open_store
from components.storage.store import Store
from components.storage.tables import ReadArrow, read_table

if TYPE_CHECKING:
    from components.run.flow.flow import Flow

logger = logging.getLogger(__name__)

Compute = Callable[..., dict[str, int]]
"""Computes what steps lack, and says how much of each."""

WINDOW = 100_000
"""Items that are given to Ray at once: the driver and its object store hold no more of them."""
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
        self._work = Work(config)
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
        return RunResult(state, state.status(), computed, used_ray, changed)

    def _flows(self, steps: Sequence[str]) -> bool:
        """Whether videos go on at their own pace; a step alone does only where it is small."""
        if len(steps) != 1 or not self.config.ray.flow:
            return self.config.ray.flow and len(steps) > 1
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
            found = state.status().steps
            totals = {name: found[name].total - found[name].done for name in steps}
            for name, count in totals.items():
                if count:
                    VideoLog(logger, step=name).info("%d to do", count)
            outcomes = self._flow_outcomes(flow, cluster)
            if self._work.follow(outcomes, totals, computed, cluster, lease):
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
            lost = not self._work.follow(outcomes, {step: count}, Counter(), cluster, lease)
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

    def _flow_outcomes(self, flow: Flow, cluster: Cluster) -> Iterator[tuple[str, Outcome]]:
        cluster.start(train=False)
        cluster.busy = True
        yield from flow.run(cluster)

    def _step_outcomes(
        self, step: str, items: Packed, cluster: Cluster
    ) -> Iterator[tuple[str, Outcome]]:
        yield from ((step, outcome) for outcome in self._outcomes(step, items, cluster))

    def _outcomes(self, step: str, items: Packed, cluster: Cluster) -> Iterator[Outcome]:
        cluster.start(train="tune" in self._steps)
        cluster.busy = True
        for some in items.windows(WINDOW):
            yield from spread_step(step, some, self._context, self._worker(step))

    def _worker(self, step: str) -> MakeWorker:
        """What does a step's work."""
        return self._makers[step]

    @property
    def _makers(self) -> Mapping[str, MakeWorker]:
        return self._workers or own_workers()

    def _commit_manifest_captions(self, state: State) -> int:
        from components.steps.caption import commit_manifest_captions

        count = 0
        for part in state.portions(unfinished="caption"):
            captions = Plan(part.first).manifest_captions()
            commit_manifest_captions(self.store, captions, self._context)
            count += len(captions)
        return count
