"""From rows to one HTML page. Every value is hostile: jinja2 escapes it.

The page carries its style and script inline, allowed by their hashes alone, so that an injected
script would not run even if it got past the escaping.
"""

from __future__ import annotations

import base64
import datetime as dt
import functools
import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eval.report.cards import Card, ScoreId, Tile, cards, newest
from eval.report.data import ReportData, ReportRow
from eval.report.means import Column, aggregates, score_columns, variant_means
from eval.report.pages import environment, own_file
from eval.report.plot import Plot, scatter

if TYPE_CHECKING:
    import jinja2

_PACKAGE = "eval.report"
CATEGORIES = ("object", "background", "style", "other")
"""Those with a colour of their own; any other is drawn as ``other``."""
_AXES = ("textual_alignment", "frame_consistency")
"""Of the scatter plot, as in the paper; of a protocol that has both."""
COLOURS = 8
"""Of variants; with more of them colours return."""


@dataclass(frozen=True, slots=True)
class Dot:
    """One edit of one variant in the scatter plot."""

    card: int
    variant: int
    x: float
    y: float
    tone: str
    title: str


def render(
    data: ReportData,
    media: Mapping[str, str],
    *,
    now: dt.datetime,
    most: int | None = None,
    pages: Sequence[str] = (),
) -> str:
    """Render the page.

    Args:
        data: What to show.
        media: The address, relative to the page, of each mp4 by its SHA-256. A video that is
            absent here is said to be missing.
        now: The report's date, in UTC.
        most: Edits and failures that are shown, the newest ones; none is all. Means are over all.
        pages: Addresses of the pages that list every edit (see ``tables.table_pages``).
    """
    from markupsafe import Markup  # noqa: PLC0415

    style = own_file(_PACKAGE, "base.css") + own_file(_PACKAGE, "style.css")
    script = own_file(_PACKAGE, "players.js") + own_file(_PACKAGE, "gallery.js")
    columns = score_columns(data.rows)
    every = cards(data)
    groups = newest(every, most)
    means = [
        (index, one)
        for index, name in enumerate(data.variants)
        for one in aggregates([row for row in data.rows if row.variant == name], columns)
    ]
    return _template().render(
        data=data,
        media=media,
        now=now,
        columns=columns,
        # By label, as the aggregates have them.
        measures_of={column.label: column.measures for column in columns.values()},
        cards=groups,
        edits=len(every),
        pages=pages,
        failures=data.failures if most is None else data.failures[-most:],
        variants=data.variants,
        several=len(data.variants) > 1,
        methods=[_methods(data, name) for name in data.variants],
        variant_means=variant_means(data, columns),
        categories=sorted({row.category for row in data.rows}),
        videos=len({row.video_id for row in data.rows}),
        overall=[one for _, one in means if one.category is None],
        aggregates=means,
        plots=_plots(groups, columns, data.variants),
        compute_seconds=_compute_seconds(data.rows),
        provenance=_provenance(data.rows),
        # Our own files, and hashes of them: nothing here comes from a row.
        style=Markup(style),  # noqa: S704
        script=Markup(script),  # noqa: S704
        style_hash=csp_hash(style),
        script_hash=csp_hash(script),
    )


@functools.cache
def _template() -> jinja2.Template:
    return with_filters(environment(_PACKAGE)).get_template("page.html.jinja")


def with_filters(found: jinja2.Environment) -> jinja2.Environment:
    """What a report's templates write numbers, times and colours with."""
    found.filters |= {"number": _number, "duration": _duration, "tone": _tone}
    found.filters["colour"] = _colour
    return found


def csp_hash(text: str) -> str:
    """A source of the page's content security policy: this text alone."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _methods(data: ReportData, variant: str) -> str:
    """What made a variant's edits, where its name does not say so."""
    found = {row.method for row in data.rows if row.variant == variant} - {variant}
    return ", ".join(sorted(found))


def _plots(
    groups: Iterable[Card], columns: Mapping[ScoreId, Column], variants: Sequence[str]
) -> list[tuple[str, Plot, list[Dot]]]:
    plots = []
    numbered = [(index, tile) for index, card in enumerate(groups) for tile in card.tiles]
    for identity, column in columns.items():
        shown = []
        for index, tile in numbered:
            values = tile.scores[identity].values if identity in tile.scores else {}
            x, y = (values.get(name, math.nan) for name in _AXES)
            if math.isfinite(x) and math.isfinite(y):
                shown.append((index, tile, (x, y)))
        if not shown:
            continue
        plot = scatter([place for *_, place in shown])
        dots = [
            _dot(index, tile, place, variants)
            for (index, tile, _), place in zip(shown, plot.points, strict=True)
        ]
        plots.append((column.label, plot, dots))
    return plots


def _dot(card: int, tile: Tile, place: tuple[float, float], variants: Sequence[str]) -> Dot:
    row, tone, title = tile.row, _tone(tile.row.category), tile.row.edit_id
    if len(variants) > 1:
        tone, title = _colour(tile.variant), f"{row.edit_id} · {row.variant}"
    return Dot(card, tile.variant, *place, tone, f"{title}: {row.prompt}")


def _compute_seconds(rows: Iterable[ReportRow]) -> float:
    """Tuning and sampling, each once where several edits or variants share it."""
    tuned: dict[tuple[str | tuple[str, ...], str | None], float] = {}
    sampled: dict[tuple[str, str], float] = {}
    for row in rows:
        tuned[row.group or row.video_id, row.adapter_key] = row.tune_seconds or 0.0
        sampled[row.edit_id, row.edit_key] = row.seconds
    return sum(sampled.values()) + sum(tuned.values())


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
        ("Methods", {row.method for row in every}),
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
    usual = ("Methods", {"tune_a_video"})
    return [(name, sorted(values)) for name, values in found if values and (name, values) != usual]


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


def _colour(variant: int) -> str:
    return f"v{variant % COLOURS}"


def _tone(category: str) -> str:
    return category if category in CATEGORIES else "other"
