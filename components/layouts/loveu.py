"""LOVEU-TGVE-2023 (github.com/showlab/loveu-tgve-2023): 76 clips of 32 or 128 frames, 4 edits each.

    LOVEU-TGVE-2023_Dataset.csv             sections under headings, a row a clip
    <section>/480p_frames/<name>/*.jpg      the clips, 480×480
    <section>/<name>/<kind>/00000.jpg, …    a submission

Their scripts know the sections by the numbers of their rows alone. Here headings count (``DAVIS
Videos:``), and numbers where a table has the known rows without any that is understood.

A clip's id is its section and name, parted by a dot, for a submission is laid out by section; an
edit's is its kind.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from components.errors import UserError
from components.layouts.collector import Collector, named, read_index
from components.layouts.layout import Layout
from components.manifest.fields import valid_id
from components.syntax.document import MAX_BYTES, decoded
from components.syntax.tree import MISSING_WORDS, Problems

INDEX = "LOVEU-TGVE-2023_Dataset.csv"
SECTIONS = {"davis": "DAVIS_480p", "youtube": "youtube_480p", "videvo": "videvo_480p"}
"""Folders by the first word of their headings."""
ROWS = {"DAVIS_480p": (1, 17), "youtube_480p": (19, 42), "videvo_480p": (44, 82)}
"""The rows of each section below the header, from the first to before the last, as their scripts
have them; blank lines do not count."""
KINDS = {"style": "style", "object": "object", "background": "background", "multiple": "other"}
"""Category by kind of edit."""
JPEG_QUALITY = 95
"""Of a submission's pictures, whose colours are not subsampled."""
_NAME, _CAPTION = "Video name", "Our GT caption"
_COLUMNS = {
    **{kind: f"{kind.capitalize()} Change Caption" for kind in KINDS},
    "multiple": "Multiple Changes Caption",
}
_FRAMES = (32, 128)
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    name: str
    caption: str | None
    edits: dict[str, str | None]
    """Captions by kind."""

    @property
    def bare(self) -> bool:
        """Whether it holds a heading or nothing: no caption at all."""
        return self.caption is None and not any(self.edits.values())


def read(root: Path) -> Collector:
    """Gather the clips of a folder that their archive was unpacked into.

    Raises:
        UserError: the table is missing, damaged, or has neither the headings nor the rows.
    """
    found = Collector(root)
    counts: dict[str, int] = {}
    for row, section in _sections(_rows(root / INDEX)):
        where = named(f"line {row.line}", row.name)
        if not section:
            found.leave_out(where, "it stands below no heading of a known section: move it")
            continue
        if not (video_id := found.id(where, row.name, f"{section}.")):
            continue
        uri = f"{section}/480p_frames/{row.name}"
        count = sum(not path.name.startswith(".") for path in (root / uri).glob("*.jpg"))
        if not count:
            found.leave_out(where, f"the folder {uri} holds no .jpg frames: unpack the clip there")
        elif row.caption is None:
            found.leave_out(where, f"it has no caption: fill in {_CAPTION!r}")
        else:
            counts[video_id] = count
            # All frames, whatever the run's own selection.
            frames = {"num_frames": count, "selection": "uniform", "start": 0}
            video = {"id": video_id, "uri": uri, "prompt": row.caption, "frames": frames}
            edits = [
                {"id": kind, "category": KINDS[kind], "prompt": text}
                for kind, text in row.edits.items()
            ]
            found.add(where, video, edits)
    odd = [f"{name}: {count}" for name, count in counts.items() if count not in _FRAMES]
    if odd:
        shown = ", ".join(odd[:_SHOWN]) + (", …" if len(odd) > _SHOWN else "")
        found.remarks.append(
            f"{len(odd)} clip(s) do not have {_FRAMES[0]} or {_FRAMES[1]} frames ({shown}): is "
            "the copy whole?"
        )
    return found


def _rows(file: Path) -> list[_Row]:
    """The rows below the header; lines without any cell do not count, as pandas has it."""
    problems = Problems(str(file), what="the benchmark's table")
    text = decoded(read_index(file), MAX_BYTES, problems)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[_Row] = []
    header: list[str] = []
    line = 1
    try:
        for cells in reader:
            if len(cells) > 1 or any(cell.strip() for cell in cells):
                if header:
                    rows.append(_row(line, header, cells))
                else:
                    header = _header(file, cells)
            line = reader.line_num + 1  # a quoted cell may span lines: name the row's first
    except csv.Error as error:
        problems.fail(line, f"is no CSV: {error}")
    if not header:
        _header(file, [])
    return rows


def _header(file: Path, cells: Sequence[str]) -> list[str]:
    names = [cell.strip() for cell in cells]
    lacking = [name for name in (_NAME, _CAPTION, *_COLUMNS.values()) if name not in names]
    if lacking:
        raise UserError(
            f"{file} lacks the column(s) {', '.join(map(repr, lacking))}: it must be the "
            f"benchmark's own table, whose first line names its columns"
        )
    return names


def _row(line: int, header: Sequence[str], cells: Sequence[str]) -> _Row:
    def cell(name: str) -> str | None:
        at = header.index(name)
        text = cells[at].strip() if at < len(cells) else ""
        return None if text in {"", *MISSING_WORDS} else text

    edits = {kind: cell(column) for kind, column in _COLUMNS.items()}
    return _Row(line, cell(_NAME) or "", cell(_CAPTION), edits)


def _sections(rows: Sequence[_Row]) -> Iterator[tuple[_Row, str]]:
    """The rows of clips, each with its section, or "" where none is known.

    Raises:
        UserError: there is neither a known heading nor the known order of rows.
    """
    if any(_heading(row) for row in rows):
        section = ""
        for row in rows:
            heading = _heading(row)
            if heading is not None:
                section = heading
            elif row.name or not row.bare:
                yield row, section
        return
    places = {at: name for name, (first, end) in ROWS.items() for at in range(first, end)}
    known = len(rows) > ROWS["videvo_480p"][0]
    if not known or any(not row.bare for at, row in enumerate(rows) if at not in places):
        raise UserError(
            f"the table {INDEX} has no heading such as 'DAVIS Videos:', and its {len(rows)} rows "
            "are not in the known order: take the benchmark's own, or add the headings"
        )
    for at, row in enumerate(rows):
        if at in places and (row.name or not row.bare):
            yield row, places[at]


def _heading(row: _Row) -> str | None:
    """The section that a heading begins, "" for an unknown one; none for another row."""
    if not row.bare or not row.name:
        return None
    word = row.name.split()[0].rstrip(":").casefold()
    return SECTIONS.get(word, "" if row.name.endswith(":") else None)


def place(video_id: str, edit: str) -> PurePosixPath | None:
    """Where a submission has an edit, or none if the ids are not of this benchmark."""
    section, _, name = video_id.partition(".")
    if section not in ROWS or not valid_id(name) or edit not in KINDS:
        return None
    return PurePosixPath(section, name, edit)


def sought(edits: Collection[str]) -> list[str]:
    """The edits of a clip that their script looks for: all four, whichever a manifest has."""
    return [*KINDS, *(edit for edit in edits if edit not in KINDS)]


def write(clip: Path, target: Path) -> None:
    """Write an edit's frames as ``00000.jpg``, ``00001.jpg``, ….

    Raises:
        SourceError: the clip cannot be read.
    """
    from PIL import Image

    from components.video.io import read_mp4_frames

    frames = read_mp4_frames(clip)
    target.mkdir()
    for number, frame in enumerate(frames):
        picture = Image.fromarray(frame)
        picture.save(target / f"{number:05}.jpg", "JPEG", quality=JPEG_QUALITY, subsampling=0)


LAYOUT = Layout(place=place, sought=sought, write=write)
