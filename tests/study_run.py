"""A real run of two variants whose clips tell by their colour whose they are, and its study.

The first variant's edits are red and the second's blue, of sources that are green: whoever looks at
a page's clips knows what they are, and nobody else does.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.chaos.plain import PlainRunner
from components.run.record import load_run
from components.steps import STEPS
from components.study.clips import Clips
from components.study.database import open_database
from components.study.design import Asked, Design
from components.study.making import make_design
from components.study.record import Record
from components.study.sequence import files
from components.study.server import Files
from components.video.io import encode_mp4
from tests.runs import run_config, write_manifest

HOSTILE = '</q><script>document.title = "hacked"</script><img src=x onerror=alert(1)>'
VARIANTS = ("full", "pnp")
BOTH = Asked(pairs=(VARIANTS,))
COLOURS = {"source": (0, 200, 0), "full": (220, 0, 0), "pnp": (0, 0, 220), "third": (200, 200, 0)}
FPS = 12


def coloured(name: str, number: int, frames: int = 6, size: int = 64) -> npt.NDArray[np.uint8]:
    """A dark square that crosses a field of the variant's colour, another shade for each edit."""
    shade = np.array(COLOURS[name]) * (1 - number / 60)
    clip = np.empty((frames, size, size, 3), np.uint8)
    clip[:] = shade
    for place in range(frames):
        left = 4 + place * (size - 24) // frames
        clip[place, 4:12, left : left + 8] = 20
    return clip


def study_run(
    root: Path,
    videos: int = 5,
    edits: int = 4,
    variants: Sequence[str] = VARIANTS,
    *,
    prompts: Sequence[str] = (),
    frames: int = 6,
    scored: bool = False,
) -> str:
    """Make a run of so many edits a video, number n being asked for as "edit n"; its address."""
    asked = []
    for video in range(videos):
        source = root / f"v{video}.mp4"
        root.mkdir(parents=True, exist_ok=True)
        encode_mp4(source, coloured("source", video, frames), fps=FPS, crf=18)
        numbers = range(video * edits, (video + 1) * edits)
        for name in variants:
            folder = root / name / f"v{video}"
            folder.mkdir(parents=True, exist_ok=True)
            for number in numbers:
                clip = coloured(name, number, frames)
                encode_mp4(folder / f"e{number:02}.mp4", clip, fps=FPS, crf=18)
        texts = [prompts[n] if n < len(prompts) else f"edit {n}" for n in numbers]
        named = zip(numbers, texts, strict=True)
        asked.append(
            {
                "id": f"v{video}",
                "uri": str(source),
                "prompt": f"source {video}",
                "edits": [{"id": f"e{number:02}", "prompt": text} for number, text in named],
            }
        )
    document = {
        "run": str(root / "run"),
        "manifest": str(root / "manifest.yaml"),
        "model": {"base": "no/such-base-is-asked-for"},
        "video": {"num_frames": frames, "width": 64, "height": 64},
        "score": {"protocols": ["warp_error_dis_v1"]},
        "variants": {
            name: {
                "method": "precomputed",
                "precomputed": {"videos": str(root / name / "{video}" / "{edit}.mp4")},
            }
            for name in variants
        },
    }
    write_manifest(document, asked)
    PlainRunner(run_config(document)).run(STEPS if scored else STEPS[: STEPS.index("score")])
    return str(root / "run")


@functools.cache
def designed(uri: str, folder: Path, asked: Asked) -> tuple[Design, Clips]:
    """A study's design and its clips, which are fetched into a folder once."""
    state = load_run(uri)
    clips = Clips(state.store, folder)
    design, left_out = make_design(state.store, state.selection(), asked, clips)
    assert left_out == []
    return design, clips


def made(
    uri: str, folder: Path, asked: Asked = BOTH, shared: Path | None = None
) -> tuple[Record, dict[int, str], Files]:
    """A study of that run: its record, tokens and clips.

    Args:
        uri: The run's.
        folder: For the database.
        asked: Of the study.
        shared: A folder of clips for several studies of the run.
    """
    if shared is None:
        shared = folder / "clips"
        shared.mkdir()
    design, clips = designed(uri, shared, asked)
    engine = open_database(f"sqlite:///{folder / 'study.sqlite'}", create=True)
    record, tokens = Record.make(engine, design)
    return record, tokens, files(record.sequences, clips)
