"""What lies outside of a run and a step reads: the manifest's videos, and finished ones.

Each is asked for its version; what is not there becomes a failure row at once.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from components.controls.files import maps_error
from components.controls.maker import FILES
from components.errors import ItemError, UserError
from components.log import VideoLog
from components.manifest.edits import VideoEntry
from components.manifest.load import Manifest
from components.redact import redacted
from components.run.clip_plan import ingest_key
from components.run.current import State
from components.run.groups import member_ids
from components.run.plan import Plan
from components.run.view import PlannedEdit, View
from components.steps.editing import reading_key
from components.steps.methods import answering
from components.steps.step import record_failure
from components.storage.writer import RowWriter
from components.video.masks import mask_error
from components.video.sources import SourceInfo
from components.video.versions import stat_sources
from methods.method import ADAPTER

logger = logging.getLogger(__name__)

Record = Callable[[ItemError, RowWriter], bool]
"""Records that something is not there; false where that is no failure."""


def check_addresses(state: State) -> None:
    """Refuse to read several edits from one finished video.

    Raises:
        UserError: names two of them, and the address.
    """
    for name, view in state.views.items():
        found: dict[str, str] = {}
        with answering(view.config.method):
            for entry in state.manifest.videos:
                for edit in entry.edits:
                    if (address := view.method.address(entry.video_id, edit.name)) is None:
                        continue
                    edit_id = f"{entry.video_id}/{edit.name}"
                    if (former := found.setdefault(address, edit_id)) != edit_id:
                        raise UserError(
                            f"variant {name!r}: {edit_id!r} would be read from the same address as "
                            f"{former!r}, {redacted(address)}: give each edit its own, with "
                            "{video} in it where there are several videos"
                        )


def check_controls(state: State) -> None:
    """Refuse nets of the manifest where no variant's method can be steered.

    Raises:
        UserError: names the first video.
    """
    steered = [entry.video_id for entry in state.manifest.videos if entry.control]
    if steered and not any(view.method.uses_control for view in state.views.values()):
        methods = ", ".join(dict.fromkeys(view.config.method for view in state.views.values()))
        raise UserError(
            f"the manifest names nets that steer {steered[0]!r}, but no variant's method can be "
            f"steered ({methods}): remove its control, or use tune_a_video, sdedit or "
            "frame_by_frame"
        )


def check_groups(state: State) -> None:
    """Refuse a group where a variant's method prepares each video by itself.

    Raises:
        UserError: names the variant and the group.
    """
    groups = member_ids(state.manifest.videos)
    for name, view in state.views.items():
        kinds = [stage.kind for stage in view.method.stages() if stage.kept]
        if groups and kinds and ADAPTER not in kinds:
            group, ids = next(iter(groups.items()))
            raise UserError(
                f"variant {name!r}: method {view.config.method!r} tunes no adapter, so it cannot "
                f"tune the {len(ids)} videos of group {group!r} together: leave out the variant, "
                "or group in its manifest"
            )


Answers = dict[str, SourceInfo | ItemError]
"""What addresses answered."""


def source_versions(
    state: State, step: str, *, retry_failed: bool, answers: Answers | None = None
) -> tuple[dict[str, str], int]:
    """Ask every address that a step reads for its version.

    Args:
        state: One reading of the tables.
        step: By name.
        retry_failed: Also what failed for good.
        answers: Of earlier calls, which are not asked for again; the new ones are added.

    Returns:
        Versions by address, and how many became failure rows.
    """

    def asked() -> Iterator[tuple[str, Record]]:
        for part in state.portions():
            yield from _asked(part, step, retry_failed=retry_failed)

    # Of a million sources no row is read only to know where they are.
    every = _sources(state.manifest) if step == "ingest" else (uri for uri, _ in asked())
    answers = {} if answers is None else answers
    new = dict.fromkeys(uri for uri in every if uri not in answers)
    answers |= zip(new, stat_sources(list(new), state.config.video.limits), strict=True)
    versions = {uri: one.version for uri, one in answers.items() if isinstance(one, SourceInfo)}
    if all(uri in versions for uri in new):
        return versions, 0
    missing = 0
    writer = RowWriter(state.store)
    with writer.work():
        for uri, record in asked():
            if uri in new and isinstance(answer := answers[uri], ItemError):
                missing += record(answer, writer)
                writer.flush_due()
    return versions, missing


def _asked(state: State, step: str, *, retry_failed: bool) -> Iterator[tuple[str, Record]]:
    if step == "ingest":
        yield from _asked_sources(state, Plan(state.first, retry_failed=retry_failed))
    if step == "control":
        for view in state.distinct(step):
            yield from _asked_maps(state, Plan(view, retry_failed=retry_failed))
    if step == "sample":
        for view in filter(_is_given, state.distinct(step)):
            plan = Plan(view, retry_failed=retry_failed)
            for edit in view.planned_edits.values():
                if edit.given is not None:
                    yield edit.given, functools.partial(_not_given, state, plan, edit)


def _is_given(view: View) -> bool:
    """Whether any edit is read from a finished video; else no key of any need be made."""
    return any(
        view.method.address(entry.video_id, edit.name) is not None
        for entry in view.manifest.videos
        for edit in entry.edits
    )


def _sources(manifest: Manifest) -> Iterator[str]:
    for entry in manifest.videos:
        yield from [entry.uri] if entry.mask is None else [entry.uri, entry.mask]


def _asked_sources(state: State, plan: Plan) -> Iterator[tuple[str, Record]]:
    for entry in state.manifest.videos:
        yield entry.uri, functools.partial(_no_source, state, plan, entry, None)
        if entry.mask is not None:
            yield entry.mask, functools.partial(_no_source, state, plan, entry, "absent")


def _asked_maps(state: State, plan: Plan) -> Iterator[tuple[str, Record]]:
    controlled = plan.view.controlled
    for video_id, address in controlled.addresses.items():
        if address is not None and video_id in controlled.maps:
            yield address, functools.partial(_no_maps, state, plan, video_id)


@dataclass(frozen=True, slots=True)
class _Absent:
    """An item whose source is not there."""

    item_key: str
    video_id: str
    attempt: int


def _no_source(
    state: State,
    plan: Plan,
    entry: VideoEntry,
    mask: str | None,
    error: ItemError,
    writer: RowWriter,
) -> bool:
    """Of a video, or of its mask where that has a version."""
    key = ingest_key(entry, "absent", plan.view.clips.video_config(entry), mask)
    error = error if mask is None else mask_error(error)
    attempt = plan.attempt("ingest", key, entry.video_id)
    if entry.video_id in plan.view.videos or attempt is None:
        return False
    item = _Absent(key, entry.video_id, attempt)
    outcome = record_failure(writer, "ingest", item, error, state.context())
    log = VideoLog(logger, step="ingest", video_id=entry.video_id)
    log.warning("failed: %s", outcome.error)
    return True


def _no_maps(state: State, plan: Plan, video_id: str, error: ItemError, writer: RowWriter) -> bool:
    controlled = plan.view.controlled
    key = reading_key(controlled.maps[video_id][FILES].work_key, "absent")
    attempt = plan.attempt("control", key, video_id)
    if FILES in controlled.rows(video_id) or attempt is None:
        return False
    context = state.context().of(plan.view.name)
    item = _Absent(key, video_id, attempt)
    outcome = record_failure(writer, "control", item, maps_error(error), context)
    log = VideoLog(logger, step="control", video_id=video_id)
    log.warning("failed: %s", outcome.error)
    return True


def _not_given(
    state: State, plan: Plan, edit: PlannedEdit, error: ItemError, writer: RowWriter
) -> bool:
    key = reading_key(edit.edit_key, "absent")
    attempt = plan.attempt("sample", key, edit.edit_id)
    if edit.edit_id in plan.view.edits or attempt is None:
        return False
    item = _Absent(key, edit.edit_id.partition("/")[0], attempt)
    context = state.context().of(plan.view.name)
    outcome = record_failure(writer, "sample", item, error, context, edit.edit_id)
    log = VideoLog(logger, step="sample", video_id=item.video_id, edit_id=edit.edit_id)
    log.warning("failed: %s", outcome.error)
    return True
