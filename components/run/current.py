"""A run as it is now: one reading of its tables, seen by each of its variants."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from components.config import RunConfig, parse_run, variant_configs
from components.log import is_verbose
from components.manifest.load import Manifest
from components.records.keys import content_key
from components.results.scored import UNNAMED, Selection, Variants, joined
from components.run.clips import Clips
from components.run.controlled import kinds_asked
from components.run.portions import Dealt, divided
from components.run.status import Status, portion_status, total_status
from components.run.tables import Tables
from components.run.undone import open_failures
from components.run.view import Revisions, View
from components.steps.step import StepContext
from components.storage.store import Store
from components.storage.tables import ReadArrow, Row, read_arrow


class State:
    """One reading of the tables. Make a new one after each step."""

    def __init__(
        self,
        config: RunConfig,
        manifest: Manifest,
        store: Store,
        revisions: Mapping[str, Revisions],
        *,
        tables: Tables | None = None,
        whole: State | None = None,
        read: ReadArrow | None = None,
    ) -> None:
        """Read nothing yet.

        Args:
            config: Of the run; ``only`` narrows it to some variants.
            manifest: What to edit.
            store: The run's store.
            revisions: Of each variant's models.
            tables: One reading of the run; none makes its own.
            whole: What this is a portion of, by its manifest; none where it is the whole.
            read: Gives a table as ``read_arrow`` does of a store; none reads it.

        Raises:
            UserError: a variant's method is not installed, or refuses its settings.
        """
        self.config = config
        self.manifest = manifest
        self.store = store
        self.revisions = revisions
        self._whole = whole
        self._statuses: dict[int, Status] = {}
        self._read = read or functools.partial(read_arrow, store)
        tables = tables or Tables(self._read)
        self.clips = Clips(config, manifest, tables, next(iter(revisions.values())).caption)
        configs = variant_configs(config, parse_run)
        self.views: dict[str, View] = {
            name: View(name, one, self.clips, tables, revisions[name])
            for name, one in configs.items()
            if not config.only or name in config.only
        }
        """By the variants' names, in order."""

    def portions(self, unfinished: str | None = None) -> Iterator[State]:
        """The same run, some of its videos at a time: memory is that of one portion.

        What an item's work is depends on its own video's rows alone. A small run is its only
        portion. A portion is not kept: use what is needed of it before the next.

        Args:
            unfinished: A step by name: leaves out portions in which all of it is done.
        """
        for number in range(len(self._parts)):
            known = self._statuses.get(number)
            if known is None or unfinished is None or not known.steps[unfinished].complete:
                part = self.portion(number)
                yield part
                if known is None and part is not self:  # now that its rows are at hand
                    self._statuses[number] = portion_status([*part.views.values()], part.distinct)

    def status(self) -> Status:
        """What is done, failed and left in each step, over all variants that differ there."""
        for number in range(len(self._parts)):
            if number not in self._statuses:
                part = self.portion(number)
                self._statuses[number] = portion_status([*part.views.values()], part.distinct)
        return total_status([self._statuses[number] for number in range(len(self._parts))])

    @property
    def count(self) -> int:
        """Of the portions."""
        return len(self._parts)

    def portion(self, number: int) -> State:
        """One of the portions."""
        if len(self._parts) == 1:
            return self
        tables = Tables(functools.partial(self._dealt.table, number))
        what = (self.config, self._parts[number], self.store, self.revisions)
        return State(*what, tables=tables, whole=self)

    @functools.cached_property
    def _parts(self) -> list[Manifest]:
        return divided(self.manifest)

    @functools.cached_property
    def _dealt(self) -> Dealt:
        return Dealt(self._read, self._parts)

    @property
    def first(self) -> View:
        """The variant that others are compared with."""
        return next(iter(self.views.values()))

    def context(self) -> StepContext:
        """What workers are given."""
        shared = self.first.revisions
        contexts = {
            name: StepContext(
                config=view.config,
                config_hash=content_key(config=view.config),
                base_revision=view.revisions.base,
                own_revisions=view.revisions.models,
                control_revisions=view.revisions.controls,
                nets=view.controlled.every,
                maps=kinds_asked(view.config, self.manifest.videos),
                caption_revision=shared.caption,
                score_revision=shared.score,
                reader_revision=shared.reader,
                named_judges=shared.judges,
            )
            for name, view in self.views.items()
        }
        first = next(iter(contexts.values()))
        if not self.config.variants:
            return replace(first, verbose=is_verbose())
        return StepContext(
            config=self.config,
            config_hash=content_key(config=self.config),
            base_revision=first.base_revision,
            caption_revision=shared.caption,
            score_revision=shared.score,
            reader_revision=shared.reader,
            named_judges=shared.judges,
            verbose=is_verbose(),
            variants=contexts,
        )

    def distinct(self, step: str) -> list[View]:
        """The views whose work at a step is not all another one's, in order.

        Every variant shares ingest and captions; those that differ in sampling alone share what is
        prepared.
        """
        if self._whole is not None:
            return [self.views[view.name] for view in self._whole.distinct(step)]
        views = list(self.views.values())
        if step in ("ingest", "caption"):
            return views[:1]
        if step == "tune":
            return _largest([view for view in views if view.prepares], step)
        if step == "control":
            return _largest([view for view in views if view.controlled.asked], step)
        found: dict[Any, View] = {}
        for view in views:
            found.setdefault(view.signature(step), view)
        return list(found.values())

    def selection(self) -> Variants:
        """What counts now of each variant; a run without any has one without a name."""
        found: dict[str, list[Selection]] = {}
        for part in self.portions():
            for name, view in part.views.items():
                found.setdefault(name if self.config.variants else UNNAMED, []).append(
                    view.selection()
                )
        return {name: joined(parts) for name, parts in found.items()}

    @functools.cached_property
    def failures(self) -> list[tuple[Row, list[str]]]:
        """Failures of work that is still asked for and still not done, the last of each item.

        With each the names of the variants that it concerns: several may wait for one adapter.
        """
        found: dict[tuple[str, ...], tuple[Row, list[str]]] = {}
        for view in (view for part in self.portions() for view in part.views.values()):
            for row in open_failures(view):
                item = (row["step"], row["item_key"], row["edit_id"] or row["video_id"])
                found.setdefault(item, (row, []))[1].append(view.name)
        return list(found.values())

    @property
    def open_failures(self) -> list[Row]:
        """The same rows alone."""
        return [row for row, _ in self.failures]


def _largest(views: list[View], step: str) -> list[View]:
    """Views whose work at a step no other one's holds all of; of equal ones the first."""
    kept = {view.name: view.signature(step) for view in views}
    return [
        view
        for number, view in enumerate(views)
        if not any(
            kept[view.name] < kept[other.name]
            or (kept[view.name] == kept[other.name] and place < number)
            for place, other in enumerate(views)
        )
    ]
