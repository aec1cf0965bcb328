"""Copies of benchmarks in their own layouts, and readers of results written from their rules alone.

The readers know nothing of the code that they judge: LOVEU's finds clips by the numbers of rows, as
its script does, and V2VBench's by its YAML.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from tests.sample_videos import write_video

HEADER = (
    *("Video name", "Our GT caption"),
    *("Style Change Caption", "Object Change Caption"),
    *("Background Change Caption", "Multiple Changes Caption", "Source"),
)
HEADINGS = {
    "DAVIS_480p": "DAVIS Videos:",
    "youtube_480p": "Youtube Videos:",
    "videvo_480p": "Videvo Videos:",
}
SIZES = {"DAVIS_480p": 16, "youtube_480p": 23, "videvo_480p": 37}
"""Clips of each section of the published table."""
KINDS = ("style", "object", "background", "multiple")


def loveu_row(name: str) -> list[str]:
    return [name, f"a {name} swims", *(f" a {name} swims, {kind}" for kind in KINDS), "web"]


def loveu_table(*, headings: bool = True) -> list[list[str]]:
    """All rows of the published table: two lie between sections."""
    rows: list[list[str]] = []
    for section, count in SIZES.items():
        if rows:
            rows.append([""] * len(HEADER))
        rows.append([HEADINGS[section] if headings else "", *[""] * (len(HEADER) - 1)])
        rows += [loveu_row(f"{section[:3].lower()}-{number}") for number in range(count)]
    return rows


def write_table(root: Path, rows: Sequence[Sequence[str]], header: Sequence[str] = HEADER) -> None:
    root.mkdir(parents=True, exist_ok=True)
    with (root / "LOVEU-TGVE-2023_Dataset.csv").open("w", encoding="utf-8", newline="") as handle:
        csv.writer(handle).writerows([header, *rows])


def write_frames(folder: Path, count: int, size: int = 16) -> None:
    rng = np.random.default_rng(len(folder.name))
    folder.mkdir(parents=True)
    for number in range(count):
        picture = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
        Image.fromarray(picture).save(folder / f"{number:05}.jpg")


def write_loveu(
    root: Path, only: Collection[str] | None = None, frames: int = 3, *, headings: bool = True
) -> None:
    """The whole table, and the clips of it, or those alone that are named."""
    rows = loveu_table(headings=headings)
    write_table(root, rows)
    places = [(section, at) for section, (first, end) in SLICES.items() for at in range(first, end)]
    for section, at in places:
        if at < len(rows) and (only is None or rows[at][0] in only):
            write_frames(root / section / "480p_frames" / rows[at][0], frames)


def picture_size(file: Path) -> tuple[int, int]:
    with Image.open(file) as picture:
        return picture.size


SLICES = {"DAVIS_480p": (1, 17), "youtube_480p": (19, 42), "videvo_480p": (44, 82)}


def loveu_index(data: Path, submission: Path) -> Iterator[tuple[str, list[Path]]]:
    """As LOVEU's script finds a submission's frames: by section, row and kind.

    Clips that were not unpacked are passed over.
    """
    with (data / "LOVEU-TGVE-2023_Dataset.csv").open(encoding="utf-8", newline="") as handle:
        table = [row for row in csv.DictReader(handle) if row]
    for section, (first, end) in SLICES.items():
        for row in table[first:end]:
            if (data / section / "480p_frames" / row["Video name"]).exists():
                for column in HEADER[2:6]:
                    kind = column.split(" ")[0].lower()
                    folder = submission / section / row["Video name"] / kind
                    yield row[column].strip(), sorted(folder.glob("*.jpg"))


def write_v2vbench(root: Path, data: Any, clips: Collection[str] = ()) -> None:
    (root / "videos").mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump({"data": data}, sort_keys=False)
    (root / "config.yaml").write_text(text, encoding="utf-8")
    for name in clips:
        write_video(root / "videos" / f"{name}.mp4", 6)


def v2vbench_data(names: Sequence[str], edits: int = 3) -> list[dict[str, Any]]:
    return [
        {
            "video_id": name,
            "prompt": f"a {name} on a road",
            "edit": [{"prompt": f"a {name} on a road, number {n}"} for n in range(edits)],
        }
        for name in names
    ]


def v2vbench_index(index: Path, results: Path) -> Iterator[tuple[str, Path]]:
    """As V2VBench's reader finds results: a folder of pictures, else an mp4, else a gif."""
    for video in yaml.safe_load(index.read_text("utf-8"))["data"]:
        for number, edit in enumerate(video["edit"]):
            path = results / video["video_id"] / str(number)
            found = [path, path.with_suffix(".mp4"), path.with_suffix(".gif")]
            yield edit["prompt"], next(filter(Path.exists, found))
