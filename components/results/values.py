"""The joined table of a run's scored edits in long form, for `eval` to pivot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from components.storage.tables import Row
from eval.measures import SECONDS
from eval.values import Value


def variant_of(row: Row) -> str:
    """Which variant a row of ``score_table`` is of; in a run that has none, its method."""
    name: str = row["variant"] or row["method"]
    return name


def score_values(rows: Iterable[Row]) -> Iterator[Value]:
    """Every score of ``score_table``'s rows that is there; one that is missing has no value."""
    for row in rows:
        if row["protocol"] is None:
            continue
        for measure, value in row["values"].items():
            yield _value(row, row["protocol"], row["score_revision"], measure, value)


def sampling_seconds(rows: Iterable[Row]) -> Iterator[Value]:
    """What sampling each edit of ``score_table``'s rows took, once however often it was scored."""
    told = set()
    for row in rows:
        edit = (variant_of(row), row["edit_id"])
        if edit not in told and row["seconds"] is not None:
            told.add(edit)
            yield _value(row, "", "", SECONDS, row["seconds"])


def _value(row: Row, protocol: str, judge: str | None, measure: str, value: float) -> Value:
    return Value(
        video=row["video_id"],
        edit=row["edit_id"],
        variant=variant_of(row),
        category=row["category"] or "other",
        protocol=protocol,
        judge=judge or "",
        measure=measure,
        value=value,
    )
