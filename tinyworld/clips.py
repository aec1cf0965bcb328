"""Drawn clips as mp4: ``python -m tinyworld.clips OUT`` writes the demo's.

``--random 12 --seed 1`` writes as many by chance, below OUT/clips, their objects'
masks below OUT/masks, and OUT/manifest.yaml, which asks for three edits of each; with
``--edits 40`` for one more of each of the first four. ``--random 40 --edits 140`` are the
paper's numbers. ``--hiding`` draws two things of which one hides the other, and asks for edits of
either; ``--objects`` asks for edits of objects alone; ``--maps`` writes maps of depth below
OUT/depth, which the manifest names; ``--frames 96`` draws longer clips.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from tinyworld.dataset import KINDS, Dataset, write_dataset
from tinyworld.encode import write_clip
from tinyworld.scenes import FRAMES, MOST_FRAMES, Scene, Thing, single

CLIPS: Mapping[str, Scene] = MappingProxyType(
    {
        "fish": single(color="red", shape="fish", background="sea", seed=7),
        "car": single(
            color="yellow",
            shape="car",
            background="sand",
            motion="moving left",
            camera="panning left",
            seed=28,
        ),
        "pair": Scene(
            things=(
                Thing(color="purple", shape="star", motion="moving right"),
                Thing(color="green", shape="boat", motion="moving left"),
            ),
            background="road",
            seed=17,
        ),
        "ball": single(color="orange", shape="ball", background="snow", motion="circling", seed=12),
    }
)
"""The demo's scenes by file name."""


def write_clips(folder: Path, scenes: Mapping[str, Scene] = CLIPS) -> list[Path]:
    """Write every scene as ``<name>.mp4`` and return the files; equal bytes each time."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, scene in scenes.items():
        paths.append(folder / f"{name}.mp4")
        write_clip(scene, paths[-1])
    return paths


def main() -> None:
    """Write the clips and say where they are."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="folder for the mp4 files, or clips and manifest")
    parser.add_argument("--random", type=int, metavar="COUNT", help="clips by chance, with edits")
    parser.add_argument("--seed", type=int, default=1, help="of clips and edits by chance")
    parser.add_argument("--edits", type=int, metavar="TOTAL", help="3 to 4 times COUNT; 3 is usual")
    parser.add_argument("--hiding", action="store_true", help="clips where one thing hides another")
    parser.add_argument("--objects", action="store_true", help="edits of objects alone")
    parser.add_argument("--maps", action="store_true", help="maps of depth as well")
    parser.add_argument(
        "--frames", type=int, default=FRAMES, help=f"of a clip by chance ({FRAMES})"
    )
    options = parser.parse_args()
    if options.random is None:
        if options.hiding or options.objects or options.maps or options.frames != FRAMES:
            parser.error("--hiding, --objects, --maps and --frames are of --random clips")
        for path in write_clips(options.out):
            print(path)
        return
    _check(parser, options)
    given = {name: value for name, value in vars(options).items() if name not in ("out", "random")}
    print(write_dataset(options.out, Dataset(count=options.random, **given)))


def _check(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Refuse numbers that no clips come of."""
    if options.random < 1 or options.seed < 0:
        parser.error("--random must be 1 or more, and --seed 0 or more")
    if not 2 <= options.frames <= MOST_FRAMES:  # noqa: PLR2004 - a motion
        parser.error(f"--frames must be 2 to {MOST_FRAMES}")
    least, most = KINDS * options.random, (KINDS + 1) * options.random
    if options.edits is None:
        return
    if options.hiding or options.objects:
        parser.error("--edits goes with the usual edits alone, without --hiding and --objects")
    if not least <= options.edits <= most:
        parser.error(f"--edits of {options.random} clips must be {least} to {most}")


if __name__ == "__main__":
    main()
