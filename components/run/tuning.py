"""What the tune step still has to do for one view: a video, or the group that is tuned with it."""

from __future__ import annotations

from components.run.clip_plan import ClipPlan
from components.run.clips import clip_reference
from components.run.groups import Group
from components.steps.preparation import PrepareItem
from components.storage.tables import Row
from methods.method import ADAPTER

StageId = tuple[str, str]
"""A video's id and the key of a stage's work."""


def stage_ids(item: PrepareItem) -> set[StageId]:
    """The stages that an item does."""
    return {(item.video_id, row["work_key"]) for row in item.wanted}


def tune_items(plan: ClipPlan) -> list[PrepareItem]:
    """Videos to prepare, or to go on with where the first stages are there.

    Of a group its first video's item tunes the adapter. The others' wait for it.
    """
    items = []
    for video_id in plan.view.stages:
        group = plan.view.groups.get(video_id)
        wanted = plan.view.wanted(video_id)
        if not wanted or not _ready(plan, video_id):
            continue
        tuned = group if wanted[0][0].kind == ADAPTER else None
        problem = None
        if tuned is not None:
            if tuned.missing and (problem := _problem(plan, tuned)) is None:
                continue
            present = [one for one in tuned.members if one not in tuned.missing]
            if video_id != present[0] or not all(_ready(plan, one) for one in present):
                continue
        attempt = plan.attempt("tune", wanted[0][0].work_key, video_id)
        if attempt is not None:
            items.append(_item(plan, video_id, attempt, tuned, problem))
    return items


def _ready(plan: ClipPlan, video_id: str) -> bool:
    """Whether the maps that tuning needs are there."""
    view = plan.view
    return not view.tunes_with_control or video_id in view.controlled.ready


def _problem(plan: ClipPlan, group: Group) -> str | None:
    """Why a group can never be tuned as it is; none where what it lacks may still come."""
    failed = [(step, one) for step, one in sorted(plan.lost) if one in group.missing]
    if not failed:
        return None
    step, one = failed[0]
    return (
        f"the group {group.name!r} lacks {one!r}, which failed at {step}: mend that video (tav "
        "failures says how), or take it out of the group"
    )


def _item(
    plan: ClipPlan, video_id: str, attempt: int, tuned: Group | None, problem: str | None
) -> PrepareItem:
    view, wanted = plan.view, plan.view.wanted(video_id)
    others = [] if tuned is None else [one for one in tuned.members if one != video_id]
    maps = view.tunes_with_control
    return PrepareItem(
        item_key=wanted[0][0].work_key,
        video_id=video_id,
        variant=view.name,
        video_row=clip_reference(view.videos[video_id]),
        source_prompt=view.captions[video_id],
        seed_key=view.seed_key(video_id),
        wanted=[one.row() for one, _ in wanted],
        made=view.made(video_id),
        controls=view.controlled.items(video_id) if maps else [],
        mask=view.controlled.mask_item(video_id) if maps else None,
        group="" if tuned is None else tuned.name,
        others=[_member(plan, one) for one in others if one in view.stages],
        problem=problem,
        long=any(long for _, long in wanted) and problem is None,
        attempt=attempt,
    )


def _member(plan: ClipPlan, video_id: str) -> Row:
    """Fields of a ``Member``."""
    view = plan.view
    return {
        "video_id": video_id,
        "video_row": clip_reference(view.videos[video_id]),
        "source_prompt": view.captions[video_id],
        "controls": view.controlled.items(video_id) if view.tunes_with_control else [],
    }
