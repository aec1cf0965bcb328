"""What can be computed now, of a run whose rows come in while others are computed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from components.run.clip_plan import check_read
from components.run.current import State
from components.run.flow.jobs import Jobs
from components.run.origins import Answers, source_versions
from components.run.plan import READS_CLIPS, Plan, plan_portion
from components.steps.caption import commit_manifest_captions
from components.steps.editing import SampleItem
from components.steps.preparation import PrepareItem
from components.storage.store import Store
from components.storage.tables import Following, ReadArrow

_AHEAD = 8
"""Items for each worker that wait at least, before another portion of the manifest is begun."""


class Ready:
    """Reads the tables again and again and offers what they leave to do.

    Of a large run only some portions are looked at, so that neither memory nor time grow with it.
    """

    def __init__(
        self,
        state_of: Callable[[ReadArrow], State],
        store: Store,
        steps: Sequence[str],
        jobs: Jobs,
        *,
        retry_failed: bool,
    ) -> None:
        """Look at nothing yet.

        Args:
            state_of: Makes a reading of the run's tables.
            store: The run's store.
            steps: That are asked for, in order.
            jobs: Take what is offered.
            retry_failed: Also what failed for good.
        """
        self._state_of, self._read = state_of, Following(store)
        self._steps, self._jobs, self._retry = steps, jobs, retry_failed
        self._answers: Answers = {}
        self._begun: list[int] = []
        self._next = 0
        self._parts: dict[int, State] = {}
        self._number: dict[str, int] = {}
        self._checked = False
        self.missing: Counter[str] = Counter()
        """By step, how many items became failures as what they read is not there."""
        jobs.follow_with(self.follow_up)

    def offer(self, workers: int) -> bool:
        """Offer what the tables leave to do now.

        Args:
            workers: How many share it.

        Returns:
            Whether there is anything, or may be when what is being done is done.
        """
        state = self._state_of(self._read)
        self._parts.clear()
        waiting: dict[str, list[Any]] = {step: [] for step in self._steps}
        for number in [*self._begun]:
            if not self._look(state, number, waiting):
                self._begun.remove(number)
        while self._next < state.count and self._few(waiting, workers):
            if self._look(state, self._next, waiting):
                self._begun.append(self._next)
            self._next += 1
        for step, items in waiting.items():
            self._jobs.offer(step, items)
        return bool(self._begun)

    def _few(self, waiting: dict[str, list[Any]], workers: int) -> bool:
        return sum(map(len, waiting.values())) < _AHEAD * workers

    def _look(self, state: State, number: int, waiting: dict[str, list[Any]]) -> bool:
        """Look at a portion; return whether it has something to do, or that is being done."""
        part = self._captioned(state.portion(number), number)
        ids = [entry.video_id for entry in part.manifest.videos]
        found = False
        held: set[str] = set()
        for step in self._steps:
            items = self._items(part, step)
            if step == "ingest":  # what is read anew will give other work
                held = {item.video_id for item in items}
            else:
                items = [item for item in items if item.video_id not in held]
            items = self._jobs.untaken(step, items)
            found = found or bool(items)
            waiting[step] += items
        if not found and not self._jobs.at_work(ids):
            self._jobs.forget(ids)
            return False
        self._parts[number] = part
        self._number |= dict.fromkeys(ids, number)
        return True

    def _items(self, part: State, step: str) -> list[Any]:
        versions = self._versions(part, step)
        tried = self._jobs.stages() if step == "tune" else ()
        items = plan_portion(part, step, versions, tried, retry_failed=self._retry)
        if items and step in READS_CLIPS and not self._checked and "ingest" not in self._steps:
            check_read(part)
            self._checked = True
        return items

    def _versions(self, part: State, step: str) -> dict[str, str]:
        if step not in ("ingest", "control", "sample"):
            return {}
        versions, missing = source_versions(
            part, step, retry_failed=self._retry, answers=self._answers
        )
        self.missing[step] += missing
        return versions

    def _captioned(self, part: State, number: int) -> State:
        """The portion with the captions that the manifest gives."""
        if "caption" not in self._steps or not (given := Plan(part.first).manifest_captions()):
            return part
        commit_manifest_captions(part.store, given, part.context())
        return self._state_of(self._read).portion(number)

    def follow_up(self, item: PrepareItem) -> list[SampleItem]:
        """The edits that can be made once a video is prepared, of every variant."""
        if "sample" not in self._steps:
            return []
        part = self._parts[self._number[item.video_id]]
        versions = self._versions(part, "sample")
        plans = [Plan(view, retry_failed=self._retry) for view in part.distinct("sample")]
        found = [plan.sample_after(item, versions) for plan in plans]
        return [one for one in found if one is not None]
