"""Milliseconds that orchestrating one video costs, and the driver's memory, by the size of a run.

    python -m benchmarks.scale --rows 1000,10000,100000 --folder /tmp/scale --plot scale.png
    python -m benchmarks.scale --rows 100000 --flow
    python -m benchmarks.scale --rows 100000 --folder /tmp/scale --steps ingest,caption

The second form lets each video go at its own pace, as `tav run` does, in place of a step after the
other. The third computes some steps now and leaves the others to a later call with the same folder;
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

from components.steps import STEPS


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
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--no-ray", action="store_true", help="one process does all the work")
    how.add_argument("--flow", action="store_true", help="each video at its own pace")
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
        flow=args.flow,
    )
    if args.child == "scan":
        return scan(args.folder, shape)
    return compute(args.folder, shape, args.steps)


def _measure(args: argparse.Namespace, rows: int, folder: Path) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    left = call(args, rows, folder, "compute")["left"]
    scanned = {} if left else {"scan": call(args, rows, folder, "scan")}
    from benchmarks.scale_run import noted  # noqa: PLC0415 - imports much

    return summary(noted(folder, "process"), noted(folder, "step")) | scanned


def call(args: argparse.Namespace, rows: int, folder: Path, what: str) -> dict[str, Any]:
    """The figures of one process that computes or scans a run; ``args`` are those of ``main``."""
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
    command += ["--flow"] if args.flow else []
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)  # noqa: S603
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def summary(processes: list[dict[str, Any]], parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Add up the processes that computed one run; a step that was cut off counts when it went on.

    Args:
        processes: Figures of each process that came to its end (``scale_run.noted``), at least one.
        parts: Figures of each step in each process.
    """
    last = processes[-1]
    rows = last["rows"]
    steps: dict[str, dict[str, float]] = {}
    for part in parts:
        total = steps.setdefault(part["step"], dict.fromkeys(set(part) - {"step"}, 0))
        for name in total:
            total[name] += part[name]
    compaction = sum(process["compact_s"] for process in processes)
    for name, step in steps.items():
        # What stands still while a TorchTrainer stops is no cost of a video.
        step["counted_s"] = (
            step["plan_s"] + step["work_s"] + (0 if name == "tune" else step["stop_s"])
        )
        step["ms_per_video"] = 1000 * step["counted_s"] / rows
    counted = compaction + sum(step["counted_s"] for step in steps.values())
    cpu = sum(part["driver_cpu_s"] + part["worker_cpu_s"] for part in parts)
    starting = sum(process["ray_start_s"] for process in processes)
    starting += sum(part["start_s"] for part in parts)
    starting += sum(part["stop_s"] for part in parts if part["step"] == "tune")
    return {
        **last,
        "processes": len(processes),
        "ms_per_video": 1000 * counted / rows,
        "cpu_ms_per_video": 1000 * cpu / rows,
        "starting_s": starting,
        "compact_s": compaction,
        "wall_s": sum(process["wall_s"] for process in processes),
        "peak_driver_bytes": max(process["peak_driver_bytes"] for process in processes),
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
    import matplotlib as mpl  # noqa: PLC0415 - a second that measuring need not pay

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    rows = [size["rows"] for size in sizes]
    figure, (times, memory) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    below = [0.0] * len(rows)
    for step in (*STEPS, "flow"):
        values = [size["steps"].get(step, {}).get("ms_per_video", 0) for size in sizes]
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
