"""What the Ray Data steps share: workers that take items, commit rows, and report outcomes."""

from __future__ import annotations

import dataclasses
import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from components.config import RunConfig
from components.errors import ItemError, TransientError, UserError
from components.failures import expected_errors, failure_row
from components.storage.store import Store, open_store
from components.storage.tables import append_rows

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class StepContext:
    """What every worker of a step is given. Small and picklable."""

    config: RunConfig
    config_hash: str
    base_revision: str = ""
    """Revision or content digest of ``config.model.base``."""
    caption_revision: str = ""
    score_revision: str = ""
    reader_revision: str = ""

    def store(self) -> Store:
        """The run's store."""
        return open_store(self.config.run)


class Item(Protocol):
    """One unit of work: a frozen dataclass of JSON values."""

    @property
    def item_key(self) -> str:
        """Content key of the work: names it in ``failures``."""

    @property
    def video_id(self) -> str:
        """The manifest's id of the video."""

    @property
    def attempt(self) -> int:
        """1 for the first try."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one item; its row or failure row is committed already."""

    video_id: str
    edit_id: str | None
    seconds: float
    error: str | None = None
    """The failure's message, none when the item's row was committed."""


def attempt_item(
    step: str, context: StepContext, item: Item, work: Callable[[], None], *, edit_id: str | None
) -> Outcome:
    """Do one item's work; an expected error becomes a failure row and no exception.

    Args:
        step: The step's name, as in ``failures``.
        context: The step's context.
        item: The item.
        work: Computes the item and commits its rows.
        edit_id: The edit concerned, none when the item is a video.
    """
    started = time.perf_counter()
    try:
        with expected_errors():
            work()
    except ItemError as error:
        return record_failure(context.store(), step, item, error, context, edit_id)
    return Outcome(item.video_id, edit_id, time.perf_counter() - started)


def record_failure(
    store: Store,
    step: str,
    item: Item,
    error: ItemError,
    context: StepContext,
    edit_id: str | None = None,
) -> Outcome:
    """Commit an item's failure row and return the outcome that says so."""
    row = failure_row(
        step,
        error,
        item_key=item.item_key,
        video_id=item.video_id,
        edit_id=edit_id,
        attempt=item.attempt,
        config_hash=context.config_hash,
    )
    append_rows(store, "failures", [row])
    return Outcome(item.video_id, edit_id, 0.0, f"{row['error_type']}: {error}")


class Worker(Protocol):
    """Loads what it needs once, then takes batches of items."""

    def __call__(self, items: Sequence[Any]) -> list[Outcome]:
        """Compute items, commit their rows, and say what became of each."""


_STOPPING: dict[str, type[UserError | TransientError]] = {
    "UserError": UserError,
    "TransientError": TransientError,
}
"""What stops a worker and is no item's fault, such as a full disk or a bucket that refuses."""


class _Actor:
    """Adapts a worker to Ray Data: items travel as JSON, so no type is guessed on the way.

    What stops a worker travels so, too: as an exception it would arrive wrapped and without cause.
    """

    def __init__(
        self, make: Callable[[StepContext], Worker], item_type: type, context: Any
    ) -> None:
        from components.log import setup_worker_logging  # runs in the actor

        setup_worker_logging(context.config)
        self._worker: Worker | None = None
        self._item_type = item_type
        self._stopped: Exception | None = None
        try:
            self._worker = make(context)
        except tuple(_STOPPING.values()) as error:
            self._stopped = error

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        items = [self._item_type(**json.loads(text)) for text in batch["item"]]
        if self._worker is not None:
            try:
                outcomes = self._worker(items)
            except tuple(_STOPPING.values()) as error:
                self._stopped = error
            else:
                return {"outcome": [json.dumps(dataclasses.asdict(one)) for one in outcomes]}
        stopped = {"stopped": type(self._stopped).__name__, "message": str(self._stopped)}
        return {"outcome": [json.dumps(stopped)]}


def _outcome(text: str) -> Outcome:
    fields = json.loads(text)
    if "stopped" in fields:
        raise _STOPPING[fields["stopped"]](fields["message"])
    return Outcome(**fields)


def run_items(
    items: Sequence[Any],
    make_worker: Callable[[StepContext], Worker],
    context: StepContext,
    *,
    batch_size: int = 1,
    num_gpus: float = 0,
) -> Iterator[Outcome]:
    """Spread items over an actor pool of Ray Data and yield outcomes as they come.

    Args:
        items: Frozen dataclasses of one type, whose fields are JSON values.
        make_worker: Called once in each actor.
        context: Given to ``make_worker``.
        batch_size: Items given to a worker at once.
        num_gpus: GPUs of each actor.

    Raises:
        UserError: a worker cannot go on, for a reason that no item is to blame for.
        TransientError: likewise, but a later run may fare better.
    """
    import ray.data  # 4 s that a finished run need not pay

    # The driver shows its own progress, and Ray Data's plans mean nothing to a user.
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    settings = context.config.ray
    rows = [{"item": json.dumps(dataclasses.asdict(item))} for item in items]
    blocks = -(-len(rows) // batch_size)
    pool = min(settings.workers, blocks)
    outcomes = ray.data.from_items(rows, override_num_blocks=blocks).map_batches(
        _Actor,
        fn_constructor_args=(make_worker, type(items[0]), context),
        batch_size=batch_size,
        batch_format="numpy",
        # A pool of fixed size hangs when an actor dies (ray#62746): let it have room to grow.
        compute=ray.data.ActorPoolStrategy(min_size=pool, max_size=pool + 1),
        num_cpus=settings.cpus_per_worker,
        num_gpus=num_gpus,
        # Ray takes a kind only of a worker with a GPU.
        **({"accelerator_type": settings.accelerator_type} if num_gpus else {}),
    )
    for row in outcomes.iter_rows():
        yield _outcome(row["outcome"])
