"""What can be computed, and who is given what of it: plain data, without Ray."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from components.config import RunConfig
from components.run.tuning import StageId, stage_ids
from components.steps.editing import SampleItem
from components.steps.preparation import PrepareItem
from components.steps.step import Outcome

Id = tuple[str, str, str]
"""A piece of work: step, video or edit, and key."""

_SECONDS = 5.0
"""A job of quick items lasts about so long, by what the step's items have taken so far."""
_ROUNDS = 4
"""A job is at most this part of what each worker has still to do."""
_RESERVE = 6
"""Of so many tunings for each worker, the last ones, edits are left to whoever is idle: they fill
the time in which a few workers tune and the others have nothing to tune."""
_RESERVE_PART = 3
"""But of one in so many at most, as others' edits are made without fetching anything."""
TOGETHER = (("caption",), ("control",), ("tune", "sample"), ("score",), ("ingest",))
"""Steps whose models a process may hold at once."""
_UPSTREAM = ("ingest", "caption", "control")
"""What tunings wait for: where few of these are left, it is worth changing models."""
_FIRST = (*_UPSTREAM, "tune", "sample", "score")
"""What is given first: what others wait for, and the longest."""


def ids_of(step: str, item: Any) -> frozenset[Id]:
    """The pieces of work that an item is."""
    if step == "tune":
        return frozenset(("tune", video, key) for video, key in stage_ids(item))
    if step == "sample":
        return frozenset(("sample", edit["edit_id"], edit["item_key"]) for edit in item.edits)
    name = item.edit_id if step == "score" else item.video_id
    return frozenset([(step, name, item.item_key)])


@dataclass(frozen=True, slots=True)
class Job:
    """What one worker does in one go."""

    step: str
    items: list[Any]
    follow: list[SampleItem] = field(default_factory=list)
    """Edits of the video that is tuned, to be made at once in the same process."""
    alone: bool = False
    """Whether it is what a worker has died at, and nothing else."""

    @property
    def pieces(self) -> list[tuple[str, Id]]:
        """The pieces of work in it, each with its video."""
        every = [*((self.step, item) for item in self.items), *(("sample", i) for i in self.follow)]
        return [(item.video_id, one) for step, item in every for one in ids_of(step, item)]

    @property
    def single(self) -> bool:
        """Whether a worker can have been at no other item."""
        edits = self.step == "sample" and sum(len(item.edits) for item in self.items) > 1
        return len(self.items) == 1 and not self.follow and not edits

    @property
    def videos(self) -> set[str]:
        """The ids of its videos."""
        return {item.video_id for item in self.items}


class Jobs:
    """The work that waits and the work that is being done."""

    def __init__(self, config: RunConfig) -> None:
        self._settings = config.ray
        self._batch = config.caption.batch_size
        self._waiting: dict[str, list[Any]] = {}
        self._follow_up: Callable[[PrepareItem], list[SampleItem]] = lambda _: []
        self._taken: dict[str, set[Id]] = {}
        """By video: what is being done or was tried in this flow."""
        self._busy: Counter[str] = Counter()
        """Jobs that are being done, by video."""
        self._deadly: set[Id] = set()
        self._lost: list[Job] = []
        """What lost workers were at, and nobody has looked for yet."""
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._count: Counter[str] = Counter()
        self._begun = 0
        """Long tunings."""

    def offer(self, step: str, items: list[Any]) -> None:
        """Let a step's items wait, in place of those that waited."""
        self._waiting[step] = items
        if step == "tune":
            items.sort(key=_size, reverse=True)

    def untaken(self, step: str, items: Iterable[Any]) -> list[Any]:
        """The items without what is being done, or was tried in this flow."""
        return list(self._untaken(step, items))

    def stages(self) -> set[StageId]:
        """The stages of videos that are being prepared, or were tried."""
        every = itertools.chain.from_iterable(self._taken.values())
        return {(video, key) for step, video, key in every if step == "tune"}

    def at_work(self, video_ids: Iterable[str]) -> bool:
        """Whether a job of any of the videos is being done."""
        return not self._busy.keys().isdisjoint(video_ids)

    def _untaken(self, step: str, items: Iterable[Any]) -> Iterator[Any]:
        for item in items:
            taken = self._taken.get(item.video_id, set())
            if step == "sample":
                edits = [
                    edit
                    for edit in item.edits
                    if (step, edit["edit_id"], edit["item_key"]) not in taken
                ]
                if edits:
                    yield dataclasses.replace(item, edits=edits)
            elif not ids_of(step, item) & taken:
                yield item

    def waiting(self, steps: Sequence[str]) -> int:
        """Items of steps that wait."""
        return sum(len(self._waiting.get(step, ())) for step in steps)

    def seconds(self, steps: Sequence[str]) -> float:
        """What waits of steps, by what was measured of them so far."""
        return sum(len(self._waiting.get(step, ())) * self._mean(step) for step in steps)

    def take(self, steps: Sequence[str], held: Sequence[str], workers: int) -> Job | None:
        """The next job for a worker, none where nothing waits for it.

        Args:
            steps: That the worker may do.
            held: Steps whose models it has; their work comes first, unless tunings run out.
            workers: How many there are.
        """
        mine = [step for step in _FIRST if step in steps and self._waiting.get(step)]
        if not mine:
            return None
        step = next((one for one in mine if one in held), mine[0])
        if mine[0] in _UPSTREAM and self.waiting(("tune",)) < _RESERVE * workers:
            step = mine[0]
        waiting = self._waiting[step]
        if ids_of(step, waiting[0]) & self._deadly:
            job = Job(step, [_first_piece(step, waiting.pop(0))], alone=True)
        else:
            items = self._several(step, waiting, workers)
            job = Job(step, items, self._followers(step, items, len(waiting), workers))
        self._busy.update(job.videos)
        for video_id, one in job.pieces:
            self._taken.setdefault(video_id, set()).add(one)
        return job

    def _followers(self, step: str, items: list[Any], left: int, workers: int) -> list[SampleItem]:
        """Edits of what is tuned; of several quick tunings none, as a process keeps the last."""
        if step != "tune" or len(items) > 1 or not items[0].long:
            return []
        self._begun += 1
        reserve = min(_RESERVE * workers, (self._begun + left) // _RESERVE_PART)
        if self._settings.max_restarts == 0 or (workers > 1 and left < reserve):
            return []
        return self.untaken("sample", self._follow_up(items[0]))

    def follow_with(self, follow_up: Callable[[PrepareItem], list[SampleItem]]) -> None:
        """Say which edits can be made when a video is tuned."""
        self._follow_up = follow_up

    def _edits(self, waiting: list[SampleItem], workers: int) -> list[SampleItem]:
        """Edits of one video; towards the end fewer, so that every worker has some."""
        item = waiting.pop(0)
        count = len(item.edits)
        near = itertools.islice(waiting, count * workers)  # as many as could make a difference
        most = max(math.ceil((count + sum(len(one.edits) for one in near)) / workers), 1)
        if count > most:
            waiting.insert(0, dataclasses.replace(item, edits=item.edits[most:]))
        return [dataclasses.replace(item, edits=item.edits[:most])]

    def _several(self, step: str, waiting: list[Any], workers: int) -> list[Any]:
        """Items of a step that is quick; one, while nobody knows whether it is."""
        mean = self._mean(step)
        count = int(min(_SECONDS / mean, self._settings.items_per_task)) if mean else 1
        count = min(count, math.ceil(len(waiting) / (_ROUNDS * workers)))
        if step == "caption":
            count = -(-max(count, 1) // self._batch) * self._batch
        count = max(count, 1)
        if step == "sample" and count == 1:
            return self._edits(waiting, workers)
        if step == "score":  # the protocols of one edit stay together
            while count < len(waiting) and waiting[count].edit_id == waiting[count - 1].edit_id:
                count += 1
        found: list[Any] = []
        while waiting and len(found) < count and not ids_of(step, waiting[0]) & self._deadly:
            found.append(waiting.pop(0))
        return found

    def _mean(self, step: str) -> float:
        return self._seconds[step] / self._count[step] if self._count[step] else 0.0

    def done(self, job: Job, seconds: float, *, followed: bool = True) -> None:
        """Note that a job is done.

        Args:
            job: Whose worker has answered.
            seconds: That its own items took.
            followed: Whether the edits that should follow were made.
        """
        self._free(job)
        if not followed:
            for video_id, one in Job("sample", list(job.follow)).pieces:
                self._taken[video_id].discard(one)
        self._seconds[job.step] += seconds
        self._count[job.step] += len(job.items)

    def lost(self, job: Job, *, deadly: bool) -> None:
        """Take a job back, whose outcome nobody knows: what is not committed comes again.

        Args:
            job: Whose worker was lost.
            deadly: Whether the worker died by itself, so that each of its items is done alone.
        """
        self._free(job)
        self._lost.append(job)
        for video_id, one in job.pieces:
            self._taken[video_id].discard(one)
            if deadly:
                self._deadly.add(one)

    def failed(self, job: Job) -> None:
        """Note that a lost job has failed: it was tried, and nothing of it will be found done."""
        self._lost.remove(job)
        for video_id, one in job.pieces:
            self._taken.setdefault(video_id, set()).add(one)

    def found_done(self) -> Iterator[tuple[str, Outcome]]:
        """What lost workers had done, as now that all is offered again it is not among it."""
        again = {
            one
            for step, items in self._waiting.items()
            for item in items
            for one in ids_of(step, item)
        }
        for job in self._lost:
            own = {one for _, one in Job(job.step, job.items).pieces}
            if not own <= again:  # else what follows was not begun, and is not offered
                gone = {(step, name) for step, name, _ in {one for _, one in job.pieces} - again}
                for step, name in sorted(gone):
                    edit_id = name if step in ("sample", "score") else None
                    yield step, Outcome(name.partition("/")[0], edit_id, 0.0)
        self._lost.clear()

    def _free(self, job: Job) -> None:
        self._busy -= Counter(job.videos)

    def forget(self, video_ids: Iterable[str]) -> None:
        """Videos of which nothing will be offered again."""
        for one in video_ids:
            self._taken.pop(one, None)


def _first_piece(step: str, item: Any) -> Any:
    return dataclasses.replace(item, edits=item.edits[:1]) if step == "sample" else item


def _size(item: PrepareItem) -> int:
    """What the length of a tuning grows with."""
    row: Mapping[str, int] = item.video_row
    return row["num_frames"] * row["width"] * row["height"] * (1 + len(item.others))
