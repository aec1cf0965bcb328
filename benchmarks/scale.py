"""Milliseconds that orchestrating one video costs, and the driver's memory, by the size of a run.

    python -m benchmarks.scale --rows 1000,10000,100000 --folder /tmp/scale --plot scale.png
    python -m benchmarks.scale --rows 100000 --folder /tmp/scale --steps ingest,caption

The second form computes some steps now and leaves the others to a later call with the same folder;
a call that was killed is taken up by the next one.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

STEPS = ("ingest", "caption", "tune", "sample", "score")


def main() -> None:
    """Measure what the command line asks for, each size in processes of its own."""
    args = _parser().parse_args()
    if args.child:
        print(json.dumps(_child(args)))
        return
    with tempfile.TemporaryDirectory(prefix="tav-scale-") as scratch:
        base = args.folder or Path(scratch)
        sizes = [_measure(args, rows, base / str(rows)) for rows in args.rows]
    document = {"date": dt.datetime.now(dt.UTC).date().isoformat(), "sizes": sizes}
    print(json.dumps(document, indent=2) if args.json else table(sizes))
    if args.plot:
        plot([size for size in sizes if "scan" in size], args.plot)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.scale", description=__doc__)
    parser.add_argument("--rows", type=_numbers, default=(1000, 10_000, 100_000))
    parser.add_argument("--edits", type=int, default=1, help="edits of each video")
    parser.add_argument("--workers", type=int, default=2, help="as ray.workers")
    parser.add_argument("--items-per-task", type=int, default=500, help="as ray.items_per_task")
    parser.add_argument("--no-ray", action="store_true", help="one process does all the work")
    parser.add_argument("--steps", type=_names, default=STEPS, help="these only, to go on later")
    parser.add_argument("--folder", type=Path, help="where runs lie and stay; none: they go")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--plot", type=Path, help="also draw a picture")
    parser.add_argument("--child", choices=("compute", "scan"), help=argparse.SUPPRESS)
    return parser


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))


def _names(text: str) -> tuple[str, ...]:
    if wrong := set(text.split(",")) - set(STEPS):
        raise argparse.ArgumentTypeError(f"no steps: {sorted(wrong)}; use {','.join(STEPS)}")
    return tuple(text.split(","))


def _child(args: argparse.Namespace) -> dict[str, Any]:
    from benchmarks.scale_run import Shape, compute, scan  # noqa: PLC0415 - the parent stays small

    shape = Shape(
        rows=args.rows[0],
        edits=args.edits,
        workers=args.workers,
        items_per_task=args.items_per_task,
        ray=not args.no_ray,
    )
    if args.child == "scan":
        return scan(args.folder, shape)
    return compute(args.folder, shape, args.steps)


def _measure(args: argparse.Namespace, rows: int, folder: Path) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    if not _call(args, rows, folder, "compute")["left"]:
        scanned = _call(args, rows, folder, "scan")
        return summary(_pieces(folder)) | {"scan": scanned}
    return summary(_pieces(folder))


def _call(args: argparse.Namespace, rows: int, folder: Path, what: str) -> dict[str, Any]:
    options = {
        "rows": rows,
        "edits": args.edits,
        "workers": args.workers,
        "items-per-task": args.items_per_task,
        "steps": ",".join(args.steps),
        "folder": folder,
        "child": what,
    }
    command = [sys.executable, "-m", "benchmarks.scale"]
    command += [f"--{name}={value}" for name, value in options.items()]
    command += ["--no-ray"] if args.no_ray else []
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)  # noqa: S603
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _pieces(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "pieces.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def summary(pieces: list[dict[str, Any]]) -> dict[str, Any]:
    """Add up the processes that computed one run; what a killed one did is not counted.

    Args:
        pieces: Figures of ``scale_run.compute``, at least one.
    """
    rows = pieces[0]["shape"]["rows"]
    steps: dict[str, dict[str, float]] = {}
    for step in (step for piece in pieces for step in piece["steps"]):
        total = steps.setdefault(step["step"], {})
        for name, value in step.items():
            if name != "step":
                total[name] = total.get(name, 0) + value
    compaction = sum(piece["compact_s"] for piece in pieces)
    counted = compaction
    for name, step in steps.items():
        # What stands still while a TorchTrainer stops is no cost of a video.
        step["counted_s"] = step["plan_s"] + step["work_s"] + (step["stop_s"], 0)[name == "tune"]
        step["ms_per_video"] = 1000 * step["counted_s"] / max(step["computed"], 1)
        counted += step["counted_s"]
    every = [step for piece in pieces for step in piece["steps"]]
    starting = sum(piece["ray_start_s"] for piece in pieces) + sum(
        step["start_s"] for step in every
    )
    stopping = sum(step["stop_s"] for step in every if step["step"] == "tune")
    cpu = sum(step["driver_cpu_s"] + step["worker_cpu_s"] for step in every)
    return {
        **pieces[0]["shape"],
        "pieces": len(pieces),
        "ms_per_video": 1000 * counted / rows,
        "cpu_ms_per_video": 1000 * cpu / rows,
        "starting_s": starting + stopping,
        "compact_s": compaction,
        "wall_s": sum(piece["wall_s"] for piece in pieces),
        "peak_driver_bytes": max(piece["peak_driver_bytes"] for piece in pieces),
        "load_manifest_s": pieces[-1]["load_manifest_s"],
        "left": pieces[-1]["left"],
        "steps": steps,
    }


def table(sizes: list[dict[str, Any]]) -> str:
    """The figures as a Markdown table."""
    head = (
        *("videos", "ms/video", *STEPS, "compaction", "CPU ms/video", "starting", "driver peak"),
        *("manifest", "resume scan", "status"),
    )
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for size in sizes:
        scan = size.get("scan")
        cells = [f"{size['rows']:,}".replace(",", " "), f"{size['ms_per_video']:.1f}"]
        cells += [
            f"{size['steps'][s]['ms_per_video']:.1f}" if s in size["steps"] else "–" for s in STEPS
        ]
        cells += [
            f"{1000 * size['compact_s'] / size['rows']:.2f}",
            f"{size['cpu_ms_per_video']:.1f}",
            f"{size['starting_s']:.0f} s",
            f"{size['peak_driver_bytes'] / 1e9:.2f} GB",
            f"{size['load_manifest_s']:.1f} s",
        ]
        cells += [f"{scan[name]:.1f} s" for name in ("scan_s", "status_s")] if scan else ["–", "–"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def plot(sizes: list[dict[str, Any]], target: Path) -> None:
    """Draw milliseconds per video and the driver's memory over the number of videos."""
    import matplotlib as mpl  # noqa: PLC0415 - of the dev extra

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    rows = [size["rows"] for size in sizes]
    figure, (times, memory) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    below = [0.0] * len(rows)
    for step in STEPS:
        values = [size["steps"][step]["ms_per_video"] for size in sizes]
        heights = [low + value for low, value in zip(below, values, strict=True)]
        times.fill_between(rows, below, heights, label=step, alpha=0.7)
        below = heights
    times.axhline(20, color="black", linestyle="--", linewidth=1)
    times.set(xscale="log", xlabel="videos", ylabel="ms per video", ylim=(0, 22))
    times.legend(fontsize="small")
    memory.plot(rows, [size["peak_driver_bytes"] / 1e9 for size in sizes], marker="o")
    memory.axhline(2, color="black", linestyle="--", linewidth=1)
    memory.set(xscale="log", xlabel="videos", ylabel="driver's peak memory, GB", ylim=(0, 2.2))
    figure.savefig(target, dpi=110)


if __name__ == "__main__":
    main()
