"""The `tav` command that plans a run; see ``main``."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from components.cli.options import CONFIG, OVERRIDES, VARIANTS
from components.errors import UserError

if TYPE_CHECKING:
    from rich.table import Table

    from components.run.estimate import RunPlan, StepPlan

_HOUR = 3600
_GB = 1e9


@click.command()
@OVERRIDES
@CONFIG
@VARIANTS
@click.option("--device", "device_name", help="A GPU to plan for, such as A100-40GB, not this one.")
@click.option(
    "--calibration",
    type=click.Path(path_type=Path, dir_okay=False),
    help="What `python -m benchmarks.train_step --json` printed on that device.",
)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def plan(
    config_path: Path,
    overrides: tuple[str, ...],
    variants: tuple[str, ...],
    device_name: str | None,
    calibration: Path | None,
    as_json: bool,
) -> None:
    """Check manifest and configuration, and say what a run would compute and take.

    Needs no GPU, starts no Ray and writes nothing. Exit code 1 where the run cannot go as
    configured.
    """
    from components.config import load_run_config
    from components.run.estimate import plan_run
    from components.run.runner import Runner

    config = load_run_config(config_path, overrides, variants)
    found = plan_run(Runner(config).state(), device_name=device_name, calibration=calibration)
    if as_json:
        click.echo(json.dumps(_document(found)))
    else:
        _print(config.run, found)
    if found.problems:
        raise UserError("\n".join(["the run does not fit:", *found.problems]))


def _document(found: RunPlan) -> dict[str, Any]:
    """The plan as JSON's types: seconds and bytes."""
    return {
        "videos": found.videos,
        "edits": found.edits,
        "steps": {name: dataclasses.asdict(step) for name, step in found.steps.items()},
        "device": found.device and {"name": found.device.name, "memory": found.device.memory},
        "task_bytes": found.task_bytes,
        "rates": found.rates and dataclasses.asdict(found.rates),
        "shards": found.shards,
        "seconds": found.seconds,
        "wall_seconds": found.wall_seconds,
        "busy": found.busy,
        "storage_bytes": found.storage_bytes,
        "variants": {name: dataclasses.asdict(one) for name, one in found.variants.items()},
        "notes": found.notes,
        "problems": found.problems,
    }


def _print(run: str, found: RunPlan) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    gpu = found.device is None or found.device.is_gpu
    unit = "GPU" if gpu else "worker"
    heads = ("step", "total", "there", "failed", "to do", f"{unit} hours", "peak memory")
    table = Table(*heads, box=SIMPLE_HEAD)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, step in found.steps.items():
        counts = map(str, (step.total, step.done, step.failed, step.todo))
        table.add_row(name, *counts, *_costs(step))
    click.echo(f"{found.videos} video(s) with {found.edits} edit(s), into {run}")
    Console().print(table)
    if len(found.variants) > 1:
        Console().print(_variants(found))
    for line in _lines(found, unit):
        click.echo(line)


def _variants(found: RunPlan) -> Table:
    """What each variant takes alone."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, caption="each as if it were alone; – is not known")
    for head in ("variant", "method"):
        table.add_column(head, overflow="fold")  # names are never cut
    for head in ("tune\nhours", "sample\nhours", "tune\nmemory", "sample\nmemory"):
        table.add_column(head, justify="right", no_wrap=True)
    for name, one in found.variants.items():
        hours = [_hours(one.tune_seconds), _hours(one.sample_seconds)]
        table.add_row(name, one.method, *hours, _size(one.tune_bytes), _size(one.sample_bytes))
    return table


def _hours(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds / _HOUR:.2f}"


def _size(nbytes: float | None) -> str:
    return "–" if nbytes is None else f"{nbytes / _GB:.1f} GB"


def _costs(step: StepPlan) -> tuple[str, str]:
    return _hours(step.seconds), _size(step.peak_bytes)


def _lines(found: RunPlan, unit: str) -> list[str]:
    if found.device is None:
        device = "no GPU is here: name one with --device (A100-40GB, H100, …) to see time and fit"
    else:
        share = f", {found.task_bytes / _GB:.1f} GB a worker" if found.task_bytes else ""
        device = f"{found.device.name}{share}"
    lines = [f"device   {device}"]
    if found.rates is not None and found.seconds is not None and found.wall_seconds is not None:
        hours, wall = found.seconds / _HOUR, found.wall_seconds / _HOUR
        shards = f", tuning in {found.shards} shard(s)" if found.shards else ""
        lanes = f"{wall:.2f} hours on {found.lanes:g} {unit}(s), {found.busy or 0:.0%} busy{shards}"
        lines += [f"rates    {found.rates.source}", f"time     {hours:.2f} {unit} hours, {lanes}"]
    elif found.device is not None:
        lines.append("rates    unknown: give --calibration, measured on this device")
    lines.append(f"storage  {found.storage_bytes / _GB:.2f} GB more")
    return lines + [f"note     {note}" for note in found.notes]
