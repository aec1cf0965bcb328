"""The tune step's work on one video: what the method prepares of it once, such as a tuned adapter.

`shards.py` runs long preparations on Ray Train, many videos to a worker; short ones are spread as
the other steps' items are.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from typing_extensions import override

from components.errors import ItemError
from components.log import VideoLog
from components.records.failures import expected_errors
from components.records.provenance import provenance
from components.steps.checkpoints import StoredCheckpoint
from components.steps.fresh import Fresh
from components.steps.ledger import Ledger
from components.steps.methods import (
    Methods,
    base_columns,
    foreign_errors,
)
from components.steps.notice import Notices, Preempted, long_work
from components.steps.preparation import Member, PrepareItem
from components.steps.source import source_of
from components.steps.step import ItemWorker, Outcome, StepContext, record_failure
from components.storage.address import digest_name
from components.storage.latents import LatentsReader, latents_columns
from components.storage.scratch import remove
from components.storage.store import Store, file_sha256
from components.storage.tables import Row
from components.storage.writer import RowWriter
from methods.method import ADAPTER, LATENTS, Artefact, Desk, Method, Source
from tav_model.memory import peak_bytes, reset_peak

logger = logging.getLogger(__name__)

_ADAPTER_FACTS = ("steps", "num_params", "final_loss", "peak_bytes")
_LOG_SECONDS = 10.0
"""At most one progress line per video in this time."""


class PrepareWorker(ItemWorker):
    """Loads what a method needs once and prepares video after video."""

    step = "tune"

    def __init__(self, context: StepContext) -> None:
        super().__init__(context)
        self._methods = Methods(context)
        self._artefacts = Artefacts(self._store)
        self._ledger: Ledger | None = None
        self._fresh: Fresh | None = None

    def use(self, fresh: Fresh) -> None:
        """Also keep in this process what is made of a video."""
        self._fresh = fresh

    @override
    def skip_committed(self, since: int) -> None:
        self._ledger = Ledger(self._store, since=since)

    @override
    def _unsettled(self, items: Sequence[PrepareItem]) -> Sequence[PrepareItem]:
        if self._ledger is None:
            return items
        self._ledger.poll()
        return [self._ledger.with_made(item) for item in self._ledger.unsettled(items)]

    @override
    def _outcomes(self, items: Sequence[PrepareItem]) -> Iterator[Outcome]:
        for item in items:
            yield self._settle(item)

    def _settle(self, item: PrepareItem) -> Outcome:
        """Prepare a video; what fails is the stage at which it failed."""
        started = time.perf_counter()
        left = [row["work_key"] for row in item.wanted]
        try:
            with expected_errors():
                self._work(item, left)
        except ItemError as error:
            return fail(self._writer, item, left[0], error, self._context)
        return Outcome(item.video_id, None, time.perf_counter() - started)

    def _work(self, item: PrepareItem, left: list[str]) -> None:
        """Do the stages, and take the key of each that is done from those that are left."""
        if item.problem is not None:
            raise ItemError(item.problem)
        context = self._context.of(item.variant)
        seconds = context.config.tune.checkpoint_upload_seconds
        checkpoint = StoredCheckpoint(self._store, item.wanted[0]["key"], seconds)
        with self._scratch() as folder, long_work() if item.long else nullcontext():
            started = time.perf_counter()
            for artefact in self._prepare(item, folder, checkpoint):
                self._keep(item, artefact, started, context)
                del left[: len(left) > 1]  # the last one's is also that of what comes after
                started = time.perf_counter()
                if item.long and artefact.kind != item.wanted[-1]["kind"]:
                    self._end_if_told()
        # Kept until now: a worker that dies at a later stage need not do the first again.
        if self._writer.flush_due():
            checkpoint.delete()

    def _end_if_told(self) -> None:
        """End between two stages where the worker was told to stop: another does the next one."""
        if Notices().given():
            self._writer.flush()
            raise Preempted("the worker was told to stop, between two stages of a video")

    def _source(self, item: PrepareItem, method: Method, folder: Path) -> Source:
        config = self._context.of(item.variant).config
        others = [
            source_of(Member(**row), config, method, self._store, folder, group=item.group)
            for row in item.others
        ]
        return source_of(item, config, method, self._store, folder, others=others)

    def _prepare(
        self, item: PrepareItem, folder: Path, checkpoint: StoredCheckpoint
    ) -> Iterator[Artefact]:
        method = self._methods.of(item.variant)
        name = self._context.of(item.variant).config.method
        source = self._source(item, method, folder)
        prepared = {
            row["kind"]: self._artefacts.fetch(item.video_id, row, folder) for row in item.made
        }
        desk_folder = folder / "desk"
        desk_folder.mkdir()
        desk = Desk(
            folder=desk_folder,
            checkpoint=checkpoint,
            progress=_progress(item.video_id),
        )
        kinds = [row["kind"] for row in item.wanted]
        with foreign_errors(name):
            artefacts = iter(method.prepare(source, prepared, kinds, desk))
        device = self._context.of(item.variant).config.model.device
        for kind in kinds:
            reset_peak(device)
            with foreign_errors(name):
                artefact = next(artefacts, None)
                checked = _checked(name, artefact, kind, desk_folder)
            facts = {**checked.facts, "peak_bytes": peak_bytes(device)}
            yield dataclasses.replace(checked, facts=facts)
            for path in desk_folder.iterdir():
                remove(path)

    def _keep(
        self, item: PrepareItem, artefact: Artefact, started: float, context: StepContext
    ) -> None:
        """Write an artefact's object, then the row that names it."""
        stage = next(row for row in item.wanted if row["kind"] == artefact.kind)
        columns = self._columns(item, stage, artefact, context)
        row = {"video_id": item.video_id, **columns, **self._origin(started, context)}
        if self._fresh is not None:
            self._fresh.keep(item.video_id, stage, artefact, columns)
        self._writer.add(table_of(artefact.kind), row)
        self._writer.flush_due()

    def _columns(
        self, item: PrepareItem, stage: Row, artefact: Artefact, context: StepContext
    ) -> Row:
        """The columns of a stage's own table."""
        if artefact.kind == LATENTS:
            assert artefact.latents is not None  # as checked
            named = {"adapter_key": stage["key"], "inversion": stage["name"]}
            facts = {"reconstruction_psnr": artefact.facts.get("reconstruction_psnr")}
            return {**named, **facts, **latents_columns(artefact.latents)}
        assert artefact.path is not None  # likewise
        sha256, nbytes = file_sha256(artefact.path), artefact.path.stat().st_size
        folder = table_of(artefact.kind)
        uri = f"{folder}/{digest_name(stage['key'], sha256)}.safetensors"
        self._store.write_file(uri, artefact.path)
        clip = {"video_key": item.video_row["video_key"], "source_prompt": item.source_prompt}
        members = [item.video_id, *(row["video_id"] for row in item.others)]
        made = {**clip, "uri": uri, "sha256": sha256, "nbytes": nbytes}
        if artefact.kind == ADAPTER:
            facts = {name: artefact.facts.get(name) for name in _ADAPTER_FACTS}
            group = {"group_videos": members if item.group else None}
            said = _said(artefact.path)
            return {"adapter_key": stage["key"], **made, **group, **facts, **said}
        return {
            "artefact_key": stage["key"],
            "before_key": stage["before"],
            "kind": artefact.kind,
            "method": context.config.method,
            "facts": json.dumps(dict(artefact.facts), sort_keys=True),
            **made,
        }

    def _origin(self, started: float, context: StepContext) -> Row:
        config = context.config
        return {
            **base_columns(context),
            **provenance(
                config_hash=context.config_hash, device=config.model.device, started=started
            ),
        }


def fail(
    writer: RowWriter, item: PrepareItem, key: str, error: ItemError, context: StepContext
) -> Outcome:
    """Give the failure rows of a stage to the writer, and return the item's outcome.

    Args:
        writer: Takes the rows.
        item: What was at work.
        key: The stage's ``work_key``.
        error: What happened.
        context: Of the step.
    """
    own, *others = item.failing(key)
    outcome = record_failure(writer, "tune", own, error, context)
    for other in others:
        told = type(error)(f"the group {item.group!r} could not be tuned: {error}")
        record_failure(writer, "tune", other, told, context)
    return outcome


def _checked(method: str, artefact: Any, kind: str, folder: Path) -> Artefact:
    """An artefact as a method has to give it, with facts of Python's own types.

    Raises:
        ItemError, SafetensorError: it is something else.
    """
    from safetensors import safe_open

    if not isinstance(artefact, Artefact) or artefact.kind != kind:
        named = getattr(artefact, "kind", None)
        given = "nothing" if artefact is None else repr(named or type(artefact).__name__)
        raise ItemError(f"method {method!r} was asked for {kind!r} and gave {given}")
    if kind == LATENTS:
        shape: Any = getattr(artefact.latents, "shape", ())
        if len(shape) != 4 or not isinstance(artefact.latents, np.ndarray):  # noqa: PLR2004
            raise ItemError(
                f"method {method!r} gave {type(artefact.latents).__name__} of shape {shape} as its "
                "latents, but a NumPy array (C, F, H, W) is needed"
            )
    else:
        path = artefact.path
        if path is None or folder not in path.parents or path.is_symlink() or not path.is_file():
            raise ItemError(
                f"method {method!r} gave {path} as its {kind!r}, but a file in desk.folder is "
                "needed"
            )
        with safe_open(path, framework="numpy"):  # its header is read, and its length compared
            pass
    facts = {
        name: value if value is None else _number(value) for name, value in artefact.facts.items()
    }
    return dataclasses.replace(artefact, facts=facts)


def _said(path: Path) -> Row:
    """What an adapter's file says of its encoding (see ``tav_model.adapter``) and its tuning."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        said: dict[str, str] = file.metadata() or {}
    names = ("decoded_sha256", "stopped")
    return {"encoding": said.get("encoding", "fp32"), **{name: said.get(name) for name in names}}


def _number(value: Any) -> float | int:
    """A number of NumPy's or PyTorch's as Python's own."""
    own = value.item() if hasattr(value, "item") else value
    if not isinstance(own, int | float):
        raise TypeError(f"a fact is {value!r}, but must be a number")
    return own


class Artefacts:
    """Reads what videos were prepared with."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._latents = LatentsReader(store)
        self.fresh: Fresh | None = None
        """Looked at before the store."""

    def fetch(self, video_id: str, row: Row, folder: Path) -> Any:
        """What ``methods.method.Prepared`` holds of one artefact.

        Args:
            video_id: Whose it is.
            row: As in ``PrepareItem.made``.
            folder: Where its file is put.

        Raises:
            TransientError: the object or the row is gone, or is not what the row says.
        """
        if self.fresh and (found := self.fresh.find(video_id, row, folder)) is not None:
            return found
        if row["kind"] == LATENTS:
            return self._latents.read(row["part"], video_id, row["key"], row["name"])
        path = folder / f"{row['key']}.safetensors"
        self._store.fetch_checked(row["uri"], path, row["sha256"])
        return path


def table_of(kind: str) -> str:
    """The table of a stage's artefacts."""
    return {ADAPTER: "adapters", LATENTS: "latents"}.get(kind, "artefacts")


def _progress(video_id: str) -> Callable[[int, int, float], None]:
    """Tell at a pace how far a tuning is; that it has ended is a detail, as of every item."""
    log = VideoLog(logger, step="tune", video_id=video_id)
    last = time.monotonic()

    def on_step(step: int, steps: int, loss: float) -> None:
        nonlocal last
        if time.monotonic() - last >= _LOG_SECONDS or step == steps:
            last = time.monotonic()
            level = logging.DEBUG if step == steps else logging.INFO
            log.log(level, "step %d/%d loss %.4f", step, steps, loss)

    return on_step
