"""Where the seconds of a tiny run go: one drawn clip, one edit, the tiny world's models.

    python -m benchmarks.starting --repeat 3
    python -m benchmarks.starting --processes ray.flow=false         # by pools

runs `tav run` as a user does, each time into a new folder, and prints the wall time, what its rows
say that their items took, the rest, which is starting, and when each step began. With
``--processes`` also the processor time of every process that the run had; settings of the run may
follow.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml

from components.storage.open import open_store
from components.storage.tables import read_table
from tinyworld.clips import CLIPS, write_clips

DEMO = Path(__file__).parents[1] / "manifests" / "runs" / "demo.yaml"
TABLES = ("videos", "captions", "adapters", "latents", "edits", "scores")
"""Of the steps' rows, each with the seconds that it took."""
_PAUSE = 0.2
"""Seconds between looks at the processes."""


@dataclass(slots=True)
class Measured:
    """One run."""

    wall: float
    items: float
    """Seconds that the rows say."""
    began: dict[str, float] = field(default_factory=dict)
    """When each step was looked at, in seconds since the command."""
    processes: list[tuple[float, float, str]] = field(default_factory=list)
    """First seen, processor seconds, title."""

    @property
    def starting(self) -> float:
        """What is not the items' own."""
        return self.wall - self.items


def main(arguments: Sequence[str] | None = None) -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="settings of the run")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--processes", action="store_true")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="starting-") as folder:
        config = write_run(Path(folder))
        found = [measure(config, number, options.overrides) for number in range(options.repeat)]
    for one in found:
        steps = ", ".join(f"{step} {second:.1f}" for step, second in one.began.items())
        print(f"wall {one.wall:.1f} items {one.items:.1f} starting {one.starting:.1f} s ({steps})")
        if options.processes:
            for first, seconds, title in sorted(one.processes):
                print(f"  at {first:5.1f} s, {seconds:5.1f} s of processor: {title}")
    print(f"median starting {statistics.median(one.starting for one in found):.1f} s")


def write_run(folder: Path) -> Path:
    """Draw the clip and write its manifest and the demo's configuration; return the latter."""
    write_clips(folder, {"fish": CLIPS["fish"]})
    edit = {"id": "yellow", "category": "object", "replace": {"red": "yellow"}}
    manifest = {"videos": [{"id": "fish", "uri": str(folder / "fish.mp4"), "edits": [edit]}]}
    (folder / "manifest.yaml").write_text(yaml.safe_dump(manifest), encoding="utf-8")
    document: dict[str, Any] = yaml.safe_load(DEMO.read_text(encoding="utf-8"))
    document["manifest"] = str(folder / "manifest.yaml")
    # Two threads that wait for each other on a busy machine would be most of what is measured.
    document["ray"]["cpus_per_worker"] = 1
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


def measure(config: Path, number: int, overrides: Sequence[str]) -> Measured:
    """Run once, into a folder beside the configuration."""
    run = config.parent / f"run-{number}"
    command = [sys.executable, "-m", "components.cli", "run", "--config", str(config)]
    settings = [f"run={run}", "log_format=json", *overrides]
    log = config.parent / f"log-{number}"
    seen: dict[int, tuple[float, float, str]] = {}
    began, clock = time.monotonic(), time.time()
    with log.open("w") as file:
        whole = [*command, *settings]
        process = subprocess.Popen(whole, stdout=file, stderr=subprocess.STDOUT)  # noqa: S603
        while process.poll() is None:
            _look(process.pid, began, seen)
            time.sleep(_PAUSE)
    wall = time.monotonic() - began
    if process.returncode:
        raise SystemExit(f"the run ended with {process.returncode}:\n{log.read_text()}")
    return Measured(wall, item_seconds(run), _steps(log, clock), list(seen.values()))


def item_seconds(run: Path) -> float:
    """What the run's items took, by their rows."""
    store = open_store(str(run))
    rows = (row for table in TABLES for row in read_table(store, table, ("seconds",)))
    return float(sum(row["seconds"] for row in rows))


def _look(driver: int, began: float, seen: dict[int, tuple[float, float, str]]) -> None:
    now = time.monotonic() - began
    try:
        root = psutil.Process(driver)
        processes = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for one in processes:
        try:
            used, title = sum(one.cpu_times()[:2]), " ".join(one.cmdline())[:100]
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
        seen[one.pid] = (seen[one.pid][0] if one.pid in seen else now, used, title)


def _steps(log: Path, clock: float) -> dict[str, float]:
    """When the driver told first of each step."""
    first: dict[str, float] = {}
    for line in log.read_text(encoding="utf-8").splitlines():
        if line.startswith("{"):
            record = json.loads(line)
            if "step" in record and "time" in record:
                at = dt.datetime.fromisoformat(record["time"]).timestamp() - clock
                first.setdefault(record["step"], at)
    return first


if __name__ == "__main__":
    main()
