"""One reading of a run's tables, by content key: what every view of a run looks its rows up in."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from components.storage.tables import ReadArrow, Row, to_rows

# What planning, status and reports read of each row; 100 000 whole rows would be a gigabyte.
_VIDEO_COLUMNS = (
    *("uri", "source_version", "sha256", "num_frames", "fps", "frame_indices"),
    *("width", "height", "fit", "reading_version", "reading", "true_fps", "clip_fps"),
    *("mask_uri", "mask_version", "mask_sha256"),
    *("source_frames", "source_width", "source_height"),
)
_EDIT_COLUMNS = (
    *("video_id", "method", "source_prompt", "prompt", "category", "video_uri", "sha256"),
    *("num_frames", "given_version", "given_sha256", "created_at"),
)

Key = tuple[str, ...]


class Tables:
    """Reads each table once, when it is first asked for. Make a new one after each step."""

    def __init__(self, read: ReadArrow) -> None:
        """Read nothing yet.

        Args:
            read: Gives a table as ``read_arrow`` does of the run's store, of all videos or some.
        """
        self._arrow = read

    def _read(
        self, table: str, columns: Sequence[str] | None = None, *, with_part: bool = False
    ) -> list[Row]:
        return to_rows(self._arrow(table, columns, with_part=with_part))

    @functools.cached_property
    def videos(self) -> list[Row]:
        """Every reading of every source, in order of commit."""
        return self._read("videos", _VIDEO_COLUMNS)

    @functools.cached_property
    def captions(self) -> dict[Key, str]:
        """Captions by video id, video key and captioner."""
        names = ("video_id", "video_key", "captioner")
        rows = self._read("captions", ("caption",))
        return {tuple(row[name] for name in names): row["caption"] for row in rows}

    @functools.cached_property
    def controls(self) -> dict[Key, Row]:
        """Control maps by video id and control key, in order of commit."""
        names = ("map", "uri", "sha256", "num_frames")
        rows = self._read("controls", (*names, "source_uri", "source_version", "source_sha256"))
        return {(row["video_id"], row["control_key"]): row for row in rows}

    @functools.cached_property
    def read_maps(self) -> dict[str, list[Row]]:
        """Those that were read from the manifest's files, by video id."""
        found: dict[str, list[Row]] = {}
        for row in self.controls.values():
            if row["source_sha256"] is not None:
                found.setdefault(row["video_id"], []).append(row)
        return found

    @functools.cached_property
    def made(self) -> dict[Key, Row]:
        """What was prepared, by video id and the stage's kind, key and name.

        Rows hold ``uri`` and ``sha256`` of the object, or of latents the ``part`` that they are in.
        """
        found: dict[Key, Row] = {}
        for row in self._read("adapters", ("uri", "sha256")):
            found[row["video_id"], "adapter", row["adapter_key"], ""] = _objects(row)
        for row in self._read("latents", (), with_part=True):
            key = (row["video_id"], "latents", row["adapter_key"], row["inversion"])
            found[key] = {"part": row["part"]}
        for row in self._read("artefacts", ("kind", "uri", "sha256")):
            found[row["video_id"], row["kind"], row["artefact_key"], ""] = _objects(row)
        return found

    @functools.cached_property
    def edits(self) -> dict[Key, Row]:
        """Edits by edit id and edit key."""
        rows = self._read("edits", _EDIT_COLUMNS)
        return {(row["edit_id"], row["edit_key"]): row for row in rows}

    @functools.cached_property
    def given(self) -> dict[str, list[Row]]:
        """Edits that were read from finished videos, by edit id."""
        found: dict[str, list[Row]] = {}
        for row in self.edits.values():
            if row["given_sha256"] is not None:
                found.setdefault(row["edit_id"], []).append(row)
        return found

    @functools.cached_property
    def scores(self) -> dict[Key, Row]:
        """Scores by edit id, protocol and score key."""
        rows = self._read("scores", ("video_id",))
        return {(row["edit_id"], row["protocol"], row["score_key"]): row for row in rows}

    @functools.cached_property
    def failures(self) -> dict[Key, Row]:
        """The last failure of each step, item key and edit or video id."""
        return {
            (row["step"], row["item_key"], row["edit_id"] or row["video_id"]): row
            for row in self._read("failures")
        }


def _objects(row: Row, names: Sequence[str] = ("uri", "sha256")) -> Row:
    return {name: row[name] for name in names}
