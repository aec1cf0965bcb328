"""From a run to the design of a study: which edits can be shown, and with which clips."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from components.errors import ItemError, UserError
from components.results.scored import UNNAMED, Variants, scored_edits
from components.storage.store import Store
from components.storage.tables import Row, read_table
from components.study.clips import Clips
from components.study.design import QUESTIONS, Asked, Design, StudyClip, StudyEdit
from eval.errors import EvalError
from eval.study.assignment import Plan
from eval.study.votes import Pair, Unit

_CHECKS = 2


@dataclass
class _Candidate:
    """An edit that some of the pairs' variants have."""

    row: Row
    source: StudyClip | None
    clips: dict[str, StudyClip] = field(default_factory=dict)


def make_design(
    store: Store, chosen: Variants, asked: Asked, clips: Clips
) -> tuple[Design, list[str]]:
    """Design a study of a run's edits.

    Args:
        store: The run's store.
        chosen: The edits that count, by variant.
        asked: By the user.
        clips: Every clip of the study is fetched into them.

    Returns:
        The design, and a line for each pair of clips that is left out.

    Raises:
        UserError: the run lacks a variant, no edit can be shown, or a number is out of its range.
    """
    if not asked.pairs:
        raise UserError("a study needs pairs of variants: give --pairs ONE,OTHER, once or more")
    pairs = _checked_pairs(asked.pairs, [name for name in chosen if name != UNNAMED])
    questions = asked.questions or "paper"
    checks = _CHECKS if asked.checks is None else asked.checks
    needed = checks > 0 or any(one.shows_source for one in QUESTIONS[questions])
    candidates = _candidates(store, chosen, {name for pair in pairs for name in pair})
    units, left_out = _units(candidates, pairs, clips, source=needed)
    if not units:
        raise UserError(
            "no edit can be shown: "
            + ("; ".join(left_out[:3]) or "the run holds no edits of these variants yet")
        )
    try:
        plan = Plan(units=tuple(units), **asked.of_plan())
    except EvalError as error:
        raise UserError(str(error)) from error
    design = Design(
        pairs=pairs,
        questions=questions,
        ties=bool(asked.ties),
        plan=plan,
        edits=_shown(candidates, units, source=needed),
    )
    return design, left_out


def _checked_pairs(
    pairs: Iterable[tuple[str, str]], names: list[str]
) -> tuple[tuple[str, str], ...]:
    """Pairs of variants that the run has, each once."""
    seen: set[frozenset[str]] = set()
    found = []
    for pair in pairs:
        for name in pair:
            if name not in names:
                near = difflib.get_close_matches(name, names, n=1)
                hint = f"did you mean {near[0]!r}? " if near else ""
                held = f"there are {', '.join(names)}" if names else "the run has no variants"
                raise UserError(f"no variant {name!r}: {hint}{held}")
        if len(set(pair)) == 1:
            raise UserError(f"--pairs {','.join(pair)} is one variant twice: name two")
        if frozenset(pair) in seen:
            raise UserError(f"--pairs {','.join(pair)} is given twice: give each pair once")
        seen.add(frozenset(pair))
        found.append(pair)
    return tuple(found)


def _candidates(
    store: Store, chosen: Variants, names: set[str]
) -> Mapping[tuple[str, str], _Candidate]:
    """Edits by video and id."""
    videos = {(row["video_id"], row["video_key"]): row for row in read_table(store, "videos")}
    found: dict[tuple[str, str], _Candidate] = {}
    for one in scored_edits(store, {name: chosen[name] for name in chosen if name in names}):
        row = one.edit
        video = videos.get((row["video_id"], row["video_key"]))
        candidate = found.setdefault(
            (row["video_id"], row["edit_id"]), _Candidate(row, _source(video))
        )
        # As in the report: edits may have another rate than the clip.
        speed = (video["clip_fps"] or video["fps"]) / row["fps"] if video else 1.0
        candidate.clips[one.variant] = StudyClip(
            path=row["video_uri"], sha256=row["sha256"], speed=speed
        )
    return found


def _source(video: Row | None) -> StudyClip | None:
    if video is None or not video["clip_uri"]:
        return None
    return StudyClip(path=video["clip_uri"], sha256=video["clip_sha256"])


def _units(
    candidates: Mapping[tuple[str, str], _Candidate],
    pairs: Iterable[tuple[str, str]],
    clips: Clips,
    *,
    source: bool,
) -> tuple[list[Unit], list[str]]:
    """What can be shown, and why the rest cannot."""
    units, left_out = [], []
    for left, right in pairs:
        for (video, edit), candidate in candidates.items():
            try:
                _check(candidate, (left, right), clips, source=source)
            except ItemError as error:
                left_out.append(f"{edit} by {left} and {right}: {error}")
            else:
                units.append(Pair(video=video, edit=edit, left=left, right=right).unit)
    return units, left_out


def _check(candidate: _Candidate, variants: tuple[str, str], clips: Clips, *, source: bool) -> None:
    """Raise an ItemError where a pair cannot be shown; fetch its clips."""
    lacking = [name for name in variants if name not in candidate.clips]
    if lacking:
        raise ItemError(f"{' and '.join(lacking)} made no such edit; `tav failures` may say why")
    one, other = (candidate.clips[name] for name in variants)
    if one.sha256 == other.sha256:
        raise ItemError("both clips are the same, so there is nothing to choose")
    if source and candidate.source is None:
        raise ItemError(
            "the run keeps no clip of its source, which attention checks and questions show: "
            "rerun its ingest, or give --checks 0 and --questions paper"
        )
    for clip in (one, other, *([candidate.source] if source and candidate.source else [])):
        clips.fetch(clip)


def _shown(
    candidates: Mapping[tuple[str, str], _Candidate], units: Iterable[Unit], *, source: bool
) -> tuple[StudyEdit, ...]:
    """The edits of the units, with the variants that these show."""
    variants: dict[tuple[str, str], set[str]] = {}
    for unit in units:
        variants.setdefault((unit.video, unit.edit), set()).update(unit.variants)
    return tuple(
        StudyEdit(
            video=video,
            edit=edit,
            prompt=candidates[video, edit].row["prompt"],
            source_prompt=candidates[video, edit].row["source_prompt"],
            source=candidates[video, edit].source if source else None,
            clips={name: candidates[video, edit].clips[name] for name in sorted(names)},
        )
        for (video, edit), names in variants.items()
    )
