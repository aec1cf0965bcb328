"""What the steps' workers share: they take items, commit rows, and report outcomes."""

from __future__ import annotations

import shutil
import tempfile
import time
import weakref
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from components.config import RunConfig
from components.errors import ItemError
from components.records.failures import expected_errors, failure_row
from components.steps.settled import Settled
from components.storage.open import open_store
from components.storage.scratch import remove
from components.storage.store import Store
from components.storage.writer import RowWriter
from eval.protocols.evidence import CLIP, READER
from tav_model.config import ControlConfig


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
    named_judges: Mapping[str, str] = field(default_factory=dict)
    """Revisions of judges of ``eval.judges``, by name."""
    own_revisions: Mapping[str, str] = field(default_factory=dict)
    """Likewise of the models that the method's section names, by field."""
    control_revisions: Mapping[str, str] = field(default_factory=dict)
    """Of nets and of what makes their maps, by ``controls.maker.model_name``."""
    nets: tuple[ControlConfig, ...] = ()
    """All that steer edits of any video."""
    maps: tuple[str, ...] = ()
    """Kinds of all control maps that are needed."""
    verbose: bool = False
    """Whether workers tell of each item."""
    variants: Mapping[str, StepContext] = field(default_factory=dict)
    """By name, where a run has several: each with its own configuration, hash and base."""

    @property
    def judge_revisions(self) -> dict[str, str]:
        """Of every judge, by name."""
        return {CLIP: self.score_revision, READER: self.reader_revision, **self.named_judges}

    def of(self, variant: str) -> StepContext:
        """The context of a variant."""
        return self.variants.get(variant, self)

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


class ItemWorker:
    """Loads what it needs once, then takes lists of items.

    Rows wait until there are enough of them (see ``RowWriter``); all are committed in the end.
    """

    step: ClassVar[str]
    """As in ``failures``."""
    table: ClassVar[str]
    """Where the rows go."""
    identity: ClassVar[Mapping[str, str]]
    """Columns that tell whose row it is, with the item's fields of equal value."""

    def __init__(self, context: StepContext) -> None:
        self._context = context
        self._store = context.store()
        self._writer = RowWriter(self._store)
        self._folder = self._new_folder()
        self._settled: Container[Any] = ()

    def _new_folder(self) -> Path:
        with expected_errors():
            folder = Path(tempfile.mkdtemp(prefix="tav-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return folder

    def skip_committed(self, since: int) -> None:
        """Leave out items that this step has committed since a time; see ``Settled``."""
        self._settled = Settled(self._store, self.step, self.table, self.identity, since)

    def __call__(self, items: Sequence[Any]) -> list[Outcome]:
        """Compute items, commit their rows or failure rows, and say what became of each."""
        outcomes = []
        with self._writer.work():
            for outcome in self._outcomes(self._unsettled(items)):
                outcomes.append(outcome)
                self._writer.flush_due()
        return outcomes

    def commit_each(self) -> None:
        """Let no row wait: a worker died before this one, and of which item must become known."""
        self._writer = RowWriter(self._store, max_rows=1)

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        """An empty local folder for files that are needed no longer than that.

        It is one for all items, not to be nested: on a busy disk a folder for each costs
        milliseconds.
        """
        try:
            yield self._folder
        finally:
            left = [path for path in self._folder.iterdir() if not remove(path)]
            if left:  # it must meet no other item's files
                self._folder = self._new_folder()

    def _unsettled(self, items: Sequence[Any]) -> Sequence[Any]:
        return [item for item in items if item not in self._settled]

    def _outcomes(self, items: Sequence[Any]) -> Iterable[Outcome]:
        """Compute items; an outcome is given when its rows are with the writer."""
        raise NotImplementedError

    def _attempt(
        self, item: Item, work: Callable[[], None], *, edit_id: str | None = None
    ) -> Outcome:
        """Do one item's work; an expected error becomes a failure row and no exception.

        Args:
            item: The item.
            work: Computes the item and gives its rows to the writer.
            edit_id: The edit concerned, none when the item is a video.
        """
        started = time.perf_counter()
        try:
            with expected_errors():
                work()
        except ItemError as error:
            return self._fail(item, error, edit_id)
        return Outcome(item.video_id, edit_id, time.perf_counter() - started)

    def _fail(self, item: Item, error: ItemError, edit_id: str | None = None) -> Outcome:
        return record_failure(self._writer, self.step, item, error, self._context, edit_id)


def record_failure(
    writer: RowWriter,
    step: str,
    item: Item,
    error: ItemError,
    context: StepContext,
    edit_id: str | None = None,
) -> Outcome:
    """Give an item's failure row to the writer and return the outcome that says so."""
    row = failure_row(
        step,
        error,
        item_key=item.item_key,
        video_id=item.video_id,
        edit_id=edit_id,
        attempt=item.attempt,
        config_hash=context.config_hash,
    )
    writer.add("failures", row)
    return Outcome(item.video_id, edit_id, 0.0, f"{row['error_type']}: {row['message']}")
