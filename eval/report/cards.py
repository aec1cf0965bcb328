"""What the page shows side by side: one edit in every variant that has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eval.report.data import Media, ReportData, ReportRow, ReportScore
from eval.report.prompts import Span, compare_prompts

ScoreId = tuple[str, str, str]
"""Protocol, model, revision."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One variant's edit."""

    variant: int
    """Its place in the report's order."""
    row: ReportRow
    scores: Mapping[ScoreId, ReportScore]


@dataclass(frozen=True, slots=True)
class Card:
    """One edit."""

    tiles: tuple[Tile, ...]
    """In the order of the variants; those that lack the edit are left out."""

    @property
    def before(self) -> list[Span]:
        """The source's prompt, with the words that the edit's lacks."""
        return compare_prompts(self.first.source_prompt, self.first.prompt)[0]

    @property
    def after(self) -> list[Span]:
        """The edit's prompt, with the words that the source's lacks."""
        return compare_prompts(self.first.source_prompt, self.first.prompt)[1]

    @property
    def first(self) -> ReportRow:
        """A row that says what is common to all."""
        return self.tiles[0].row

    @property
    def maps(self) -> dict[str, Media]:
        """What steered the variants, each map once, by its content."""
        found: dict[str, tuple[str, Media]] = {}
        for tile in self.tiles:
            for name, media in tile.row.maps:
                found.setdefault(media.sha256, (name, media))
        names = [name for name, _ in found.values()]
        # Variants may differ in how they make maps of a kind.
        return {
            name if names.count(name) == 1 else f"{name} {number + 1}": media
            for number, (name, media) in enumerate(found.values())
        }

    @property
    def source(self) -> Media | None:
        """The clip that all were made of."""
        return self.first.source


def score_id(score: ReportScore) -> ScoreId:
    """What judged, and how."""
    return score.protocol, score.score_model, score.score_revision


def cards(data: ReportData) -> list[Card]:
    """Put the variants of each edit together, in the order of the rows.

    Edits of one name that differ in their source or in a prompt are not one edit; nor are two of
    one variant.
    """
    place = {name: index for index, name in enumerate(data.variants)}
    found: dict[tuple[object, ...], list[Tile]] = {}
    for row in data.rows:
        what = (row.video_id, row.edit_id, row.source_prompt, row.prompt)
        key = (*what, row.source.sha256 if row.source else None)
        count = 0
        while any(tile.row.variant == row.variant for tile in found.get((*key, count), ())):
            count += 1
        scores = {score_id(score): score for score in row.scores}
        found.setdefault((*key, count), []).append(Tile(place[row.variant], row, scores))
    return [Card(tuple(sorted(tiles, key=lambda tile: tile.variant))) for tiles in found.values()]


def newest(every: Sequence[Card], most: int | None) -> list[Card]:
    """The edits that were made last, in their order; none is all."""
    if most is None or len(every) <= most:
        return list(every)
    times = [max(tile.row.created_at for tile in card.tiles) for card in every]
    chosen = sorted(range(len(every)), key=times.__getitem__)[-most:]
    return [every[index] for index in sorted(chosen)]
