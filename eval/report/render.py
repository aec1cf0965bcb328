"""From rows to one HTML page. Every value is hostile: jinja2 escapes it.

The page carries its style and script inline, allowed by their hashes alone, so that an injected
script would not run even if it got past the escaping.
"""

from __future__ import annotations

import base64
import datetime as dt
import functools
import hashlib
import importlib.resources
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eval.aggregate import Aggregate, Score, aggregate
from eval.measures import MEASURES, filled
from eval.report.data import ReportData, ReportRow, ReportScore
from eval.report.plot import Plot, scatter
from eval.report.prompts import compare_prompts

if TYPE_CHECKING:
    import jinja2

CATEGORIES = ("object", "background", "style", "other")
"""Those with a colour of their own; any other is drawn as ``other``."""

ScoreId = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Column:
    """The scores of one protocol by one model."""

    label: str
    """Two models never share one."""
    measures: tuple[str, ...]
    """The columns that it fills."""


@dataclass(frozen=True, slots=True)
class Dot:
    """One edit in the scatter plot."""

    row: int
    x: float
    y: float
    tone: str
    title: str


def render(data: ReportData, media: Mapping[str, str], *, now: dt.datetime) -> str:
    """Render the page.

    Args:
        data: What to show.
        media: The address, relative to the page, of each mp4 by its SHA-256. A video that is
            absent here is said to be missing.
        now: The report's date, in UTC.
    """
    from markupsafe import Markup  # noqa: PLC0415

    style, script = _own_file("style.css"), _own_file("gallery.js")
    columns = _score_columns(data.rows)
    aggregates = _aggregates(data.rows, columns)
    return _template().render(
        data=data,
        media=media,
        now=now,
        columns=columns,
        measures=MEASURES,
        # By label, as the aggregates have them.
        measures_of={column.label: column.measures for column in columns.values()},
        by_column=[_by_id(row) for row in data.rows],
        prompts=[compare_prompts(row.source_prompt, row.prompt) for row in data.rows],
        categories=sorted({row.category for row in data.rows}),
        videos=len({row.video_id for row in data.rows}),
        overall=[one for one in aggregates if one.category is None],
        aggregates=aggregates,
        plots=_plots(data.rows, columns),
        compute_seconds=_compute_seconds(data.rows),
        provenance=_provenance(data.rows),
        # Our own files, and hashes of them: nothing here comes from a row.
        style=Markup(style),  # noqa: S704
        script=Markup(script),  # noqa: S704
        style_hash=_csp_hash(style),
        script_hash=_csp_hash(script),
    )


@functools.cache
def _template() -> jinja2.Template:
    import jinja2  # noqa: PLC0415 - only a report needs it

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"number": _number, "duration": _duration, "tone": _tone}
    return environment.from_string(_own_file("page.html.jinja"))


def _own_file(name: str) -> str:
    return importlib.resources.files("eval.report").joinpath(name).read_text(encoding="utf-8")


def _csp_hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _score_id(score: ReportScore) -> ScoreId:
    return score.protocol, score.score_model, score.score_revision


def _by_id(row: ReportRow) -> dict[ScoreId, ReportScore]:
    return {_score_id(score): score for score in row.scores}


def _score_columns(rows: Iterable[ReportRow]) -> dict[ScoreId, Column]:
    """The scores of each protocol and model that some row has."""
    found: dict[ScoreId, list[ReportScore]] = {}
    for row in rows:
        for score in row.scores:
            found.setdefault(_score_id(score), []).append(score)
    models: dict[str, int] = {}
    for protocol, _, _ in found:
        models[protocol] = models.get(protocol, 0) + 1
    columns = {}
    for identity in sorted(found):
        protocol, model, revision = identity
        label = protocol
        if models[protocol] > 1:
            revision = revision.removeprefix("sha256:")[:8]
            label = f"{protocol} · {model.rpartition('/')[2]} @ {revision}"
        columns[identity] = Column(label, filled(found[identity]))
    return columns


def _aggregates(rows: Iterable[ReportRow], columns: Mapping[ScoreId, Column]) -> list[Aggregate]:
    scores = []
    for row in rows:
        present = _by_id(row)
        for identity, column in columns.items():
            score = present.get(identity)
            values = {name: score.value(name) if score else None for name in MEASURES}
            scores.append(Score(protocol=column.label, category=row.category, **values))
    return aggregate(scores)


def _plots(
    rows: Iterable[ReportRow], columns: Mapping[ScoreId, Column]
) -> list[tuple[str, Plot, list[Dot]]]:
    plots = []
    numbered = list(enumerate(rows))
    for identity, column in columns.items():
        shown = []
        for index, row in numbered:
            score = _by_id(row).get(identity)
            if score and _finite(score.textual_alignment) and _finite(score.frame_consistency):
                shown.append((index, row, score))
        if not shown:
            continue
        plot = scatter(
            [(one.textual_alignment or 0.0, one.frame_consistency or 0.0) for *_, one in shown]
        )
        dots = [
            Dot(index, x, y, _tone(row.category), f"{row.edit_id}: {row.prompt}")
            for (index, row, _), (x, y) in zip(shown, plot.points, strict=True)
        ]
        plots.append((column.label, plot, dots))
    return plots


def _compute_seconds(rows: Iterable[ReportRow]) -> float:
    """Tuning, once for each video, and sampling."""
    tuned: dict[str, float] = {}
    sampled = 0.0
    for row in rows:
        tuned[row.video_id] = row.tune_seconds or 0.0
        sampled += row.seconds
    return sampled + sum(tuned.values())


def _provenance(rows: Iterable[ReportRow]) -> list[tuple[str, list[str]]]:
    """Every distinct value of what the edits and scores were made with."""
    every = list(rows)
    scores = [score for row in every for score in row.scores]
    times = sorted(row.created_at for row in every)
    libraries = {
        f"{name} {version}"
        for text in {row.library_versions for row in every}
        for name, version in json.loads(text).items()
    }
    found: list[tuple[str, Iterable[str]]] = [
        ("Base model", {f"{row.base_model} @ {row.base_revision}" for row in every}),
        (
            "Scored by",
            {f"{one.protocol}: {one.score_model} @ {one.score_revision}" for one in scores},
        ),
        ("Configuration", {row.config_hash for row in every}),
        ("Code version", {row.code_version for row in every}),
        ("Libraries", libraries),
        ("Device", {row.device for row in every}),
        ("Tuning steps", {str(row.tune_steps) for row in every if row.tune_steps is not None}),
        ("Seed", {str(row.seed) for row in every}),
    ]
    if times:
        period = f"{times[0]:%Y-%m-%d %H:%M} to {times[-1]:%Y-%m-%d %H:%M} UTC"
        found.append(("Sampled", {period}))
    return [(name, sorted(values)) for name, values in found if values]


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _number(value: float | None) -> str:
    return "–" if value is None or not math.isfinite(value) else f"{value:.2f}"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    if seconds < 60:  # noqa: PLR2004 - a minute
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def _tone(category: str) -> str:
    return category if category in CATEGORIES else "other"
