"""The numbers of a study as Markdown, JSON or CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from types import MappingProxyType
from typing import Any

from components.results.comparison_files import heading, interval_text
from components.results.export import chosen_writer, csv_cell, markdown_cell, write_whole
from components.study.outcome import Outcome
from eval.bootstrap import Interval
from eval.study.agreement import SelfAgreement

ABOUT_PREFERENCES = (
    "Percent of edits whose majority of raters preferred the first variant, a draw being half an "
    "edit, with 95 % bootstrap intervals over videos; won/drawn/lost are edits."
)
ABOUT_RANKS = (
    "Bradley-Terry with ties on every vote: the natural logarithm of a variant's strength, mean 0, "
    "with 95 % bootstrap intervals over videos. Variants that cannot be told apart share a rank."
)
ABOUT_AGREEMENT = (
    "Krippendorff's alpha of nominal data between raters, with 95 % bootstrap intervals over "
    "edits: 1 is perfect, 0 is chance."
)
ABOUT_SELF = "Repeats with the answer that was given at first; intervals over raters."
ABOUT_CORRELATIONS = (
    "Spearman's correlation over edits of a measure's difference between both variants with the "
    "share of votes, with 95 % bootstrap intervals over videos: 1 where the measure orders edits "
    "as people do."
)


def markdown(found: Outcome) -> str:
    """Every table of a study."""
    parts = [_who(found)]
    parts += _section("Preference", ABOUT_PREFERENCES, _preferences(found), "no vote is counted")
    parts += _section("Ranking", ABOUT_RANKS, _ranks(found), found.reasons.get("ranking"))
    parts += _section("Agreement", ABOUT_AGREEMENT, _agreements(found))
    parts += _section("Self-agreement", ABOUT_SELF, _self_agreements(found), "no repeat is counted")
    if found.correlations or "correlations" in found.reasons:
        why = found.reasons.get("correlations")
        parts += _section("Measures", ABOUT_CORRELATIONS, _correlations(found), why)
    return "\n\n".join(parts) + "\n"


def _who(found: Outcome) -> str:
    looked = found.attention
    lines = [
        f"{len(looked.raters)} of {found.raters} raters voted, and {found.finished} answered all.",
        f"Left out for a wrong answer to an attention check: {len(looked.failed)}"
        + (f" ({', '.join(looked.failed)})." if looked.failed else "."),
    ]
    if looked.unchecked:
        lines.append(f"Not checked yet, and counted: {', '.join(looked.unchecked)}.")
    lines += [f"`{one.id}`: {markdown_cell(one.text)}" for one in found.questions]
    return "\n\n".join(lines)


def _section(
    title: str, about: str, rows: Iterator[dict[str, str]], lacking: str | None = None
) -> list[str]:
    lines = list(rows)
    if not lines:
        return [f"## {title}", f"None: {markdown_cell(lacking or 'there is nothing to compare')}."]
    cells = [list(row.values()) for row in lines]
    rules = ["---"] * len(lines[0])
    table = [list(lines[0]), rules, *cells]
    return [f"## {title}", about, "\n".join(f"| {' | '.join(line)} |" for line in table)]


def _preferences(found: Outcome) -> Iterator[dict[str, str]]:
    for one in found.preferences:
        yield {
            "Question": markdown_cell(one.question),
            "Preferred": markdown_cell(one.first),
            "Over": markdown_cell(one.second),
            "Percent": interval_text(one.percent),
            "Won/drawn/lost": f"{one.won}/{one.drawn}/{one.lost}",
            "Votes": f"{one.votes} (at least {one.fewest} an edit)",
            "Raters": f"{one.raters}" + (f" ({one.left_out} left out)" if one.left_out else ""),
        }


def _ranks(found: Outcome) -> Iterator[dict[str, str]]:
    for one in found.ranks:
        yield {
            "Question": markdown_cell(one.question),
            "Rank": str(one.rank),
            "Variant": markdown_cell(one.variant),
            "Strength": interval_text(one.strength),
            "Won/tied/lost votes": f"{one.wins}/{one.ties}/{one.losses}",
        }


def _agreements(found: Outcome) -> Iterator[dict[str, str]]:
    for one in found.agreements:
        yield {
            "Question": markdown_cell(one.question),
            "Variants": markdown_cell(" and ".join(one.variants)),
            "Alpha": interval_text(one.alpha) if one.alpha else f"– ({one.reason})",
            "Edits": str(one.units),
            "Votes": str(one.votes),
        }


def _self_agreements(found: Outcome) -> Iterator[dict[str, str]]:
    for one in found.self_agreements:
        yield {
            "Question": markdown_cell(one.question),
            "Percent": interval_text(one.percent),
            "Same": f"{one.same} of {one.repeats}",
            "By rater": markdown_cell(_by_rater(one)),
        }


def _by_rater(one: SelfAgreement) -> str:
    return ", ".join(f"{name} {same}/{of}" for name, (same, of) in one.raters.items())


def _correlations(found: Outcome) -> Iterator[dict[str, str]]:
    for one in found.correlations:
        protocol, judge, measure = one.measure
        judge = judge.removeprefix("sha256:")[:8]
        yield {
            "Question": markdown_cell(one.question),
            "Variants": markdown_cell(" and ".join(one.variants)),
            "Protocol": markdown_cell(protocol + (f" · {judge}" if judge else "")),
            "Measure": markdown_cell(heading(protocol, measure)),
            "Edits": str(one.edits),
            "Rho": interval_text(one.rho),
        }


def document(found: Outcome) -> dict[str, Any]:
    """The same as JSON's types, numbers in full."""
    tables = ("preferences", "ranks", "agreements", "self_agreements", "correlations")
    return {
        "raters": found.raters,
        "voted": list(found.attention.raters),
        "finished": found.finished,
        "left_out": list(found.attention.failed),
        "unchecked": list(found.attention.unchecked),
        "questions": {one.id: one.text for one in found.questions},
        "reasons": dict(found.reasons),
        **{name: [_row(one) for one in getattr(found, name)] for name in tables},
    }


def _row(one: Any) -> dict[str, Any]:
    return {field.name: _plain(getattr(one, field.name)) for field in fields(one)}


def _plain(value: Any) -> Any:
    if isinstance(value, Interval):
        return {"mean": value.mean, "low": value.low, "high": value.high}
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, tuple) else value


def _markdown_file(found: Outcome) -> bytes:
    return markdown(found).encode("utf-8", errors="replace")


def _json_file(found: Outcome) -> bytes:
    return (json.dumps(document(found), indent=2, allow_nan=False) + "\n").encode()


def _csv_file(found: Outcome) -> bytes:
    """The table of preferences, a row for each question and two variants."""
    names: Sequence[str] = (
        *("question", "first", "second", "edits", "won", "drawn", "lost"),
        *("votes", "fewest", "raters", "left_out"),
    )
    sink = io.StringIO(newline="")
    writer = csv.writer(sink)
    writer.writerow([*names, "percent", "low", "high"])
    for one in found.preferences:
        numbers = (one.percent.mean, one.percent.low, one.percent.high)
        writer.writerow(
            [csv_cell(value) for value in (*(getattr(one, n) for n in names), *numbers)]
        )
    return sink.getvalue().encode("utf-8", errors="replace")


WRITERS: Mapping[str, Callable[[Outcome], bytes]] = MappingProxyType(
    {".md": _markdown_file, ".json": _json_file, ".csv": _csv_file}
)
"""By suffix."""


def writer_of(target: str) -> Callable[[Outcome], bytes]:
    """What makes a file of that name.

    Raises:
        UserError: its suffix is none of ``WRITERS``.
    """
    return chosen_writer(WRITERS, target, "a study")


def write(found: Outcome, target: str) -> None:
    """Write a study's numbers; the suffix says how. The file appears whole or not at all.

    Raises:
        UserError: another suffix or scheme, or the target cannot be written.
    """
    write_whole(target, writer_of(target)(found))
