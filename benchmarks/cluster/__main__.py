"""How busy a run keeps simulated GPUs: the share of their time in which they compute.

    python -m benchmarks.cluster --gpus 32 --videos 500 --edits 3 --picture cluster.png
    python -m benchmarks.cluster --gpus 32 --videos 500 --edits 3 --lose 0.1

Ray, planning, rows, objects and retries are real; the computation sleeps for what the cost model
says, ``--scale`` times shorter. Starting processes and committing rows take this machine's own time
and are not shortened. With ``--lose`` nodes vanish at random moments of each (scaled) hour and come
back ten minutes later.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from benchmarks.cluster.costs import SECONDS, Costs
from benchmarks.cluster.nodes import Nodes
from benchmarks.cluster.report import draw, figures, notes_of, table
from components.config import RunConfig, load_run_config


def main() -> None:
    """Run once and print what it came to."""
    args = _parser().parse_args()
    with tempfile.TemporaryDirectory(prefix="tav-cluster-") as scratch:
        folder = args.folder or Path(scratch)
        document = measure(args, folder)
        notes = notes_of(folder / "diary")
    print(json.dumps(document, indent=2) if args.json else table(document))
    if args.picture:
        draw(notes, document, args.picture)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.cluster", description=__doc__)
    parser.add_argument("--gpus", type=int, default=32)
    parser.add_argument("--gpus-per-node", type=int, default=8)
    parser.add_argument("--videos", type=int, default=500)
    parser.add_argument("--edits", type=int, default=3, help="of each video")
    parser.add_argument("--scale", type=float, default=30, help="simulated seconds in a second")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lose", type=float, default=0, help="share of the nodes lost an hour")
    parser.add_argument("--stepwise", action="store_true", help="a step after the other")
    parser.add_argument("--videos-per-shard", type=int, help="none: those of 20 minutes")
    parser.add_argument("--folder", type=Path, help="where the run lies and stays; none: it goes")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--picture", type=Path, help="also draw a row for each GPU")
    return parser


def measure(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run the pipeline on a cluster of its own and return the figures."""
    from benchmarks.cluster.stubs import sleeping_workers
    from components.run.runner import Runner

    os.environ["OMP_NUM_THREADS"] = "1"
    costs = Costs(scale=args.scale, seed=args.seed)
    diary = folder / "diary"
    diary.mkdir(parents=True)
    with Nodes(args.gpus, args.gpus_per_node) as nodes:
        config = _config(args, folder, nodes.address)
        runner = Runner(config, workers=sleeping_workers(diary, costs))
        began = time.time()
        with nodes.losing(args.lose, 3600 / args.scale, args.seed):
            result = runner.run()
        ended = time.time()
    left = {name: step.left + step.failed for name, step in result.status.steps.items()}
    return {
        **{name: getattr(args, name) for name in ("gpus", "videos", "edits", "scale", "seed")},
        "lost_nodes": nodes.lost,
        "left": {name: count for name, count in left.items() if count},
        **figures(notes_of(diary), args.gpus, began, ended),
    }


def _config(args: argparse.Namespace, folder: Path, address: str) -> RunConfig:
    """Write sources, manifest and configuration."""
    edits = [{"id": f"edit-{n}", "prompt": f"{{caption}}, in style {n}"} for n in range(args.edits)]
    rows = []
    for number in range(args.videos):
        source = folder / "sources" / f"video-{number:05d}.mp4"
        source.parent.mkdir(exist_ok=True)
        source.write_text(f"no video {number}", encoding="utf-8")
        rows.append(json.dumps({"id": source.stem, "uri": str(source), "edits": edits}))
    manifest = folder / "manifest.jsonl"
    manifest.write_text("\n".join(rows), encoding="utf-8")
    tuning = SECONDS["tune"] + SECONDS["invert"]
    document = {
        "run": str(folder / "run"),
        "manifest": str(manifest),
        "model": {"base": "tinyworld"},
        "caption": {"model": "tinyworld"},
        "score": {"model": "tinyworld"},
        "video": {"num_frames": 2, "width": 8, "height": 8},
        "retry_seconds": 30 / args.scale,
        "ray": {
            "address": address,
            "workers": args.gpus,
            "gpus_per_worker": 1,
            "flow": not args.stepwise,
            "videos_per_shard": args.videos_per_shard or max(round(1200 / tuning), 1),
        },
    }
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return load_run_config(path)


if __name__ == "__main__":
    main()
