"""The `tav` commands that look at a run at work, finished or broken; see ``main``."""

from __future__ import annotations

import datetime as dt
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rich.table import Table

    from components.run.pace import Pace
    from components.run.status import Status
    from components.storage.tables import Row


@click.command()
@click.argument("run_uri", metavar="RUN")
@click.option("--watch", is_flag=True, help="Look again and again until nothing is left.")
@click.option("--every", default=5.0, show_default=True, help="Seconds between two looks.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON, a line for each look.")
def status(run_uri: str, watch: bool, every: float, as_json: bool) -> None:
    """Show where a run stands, how fast it goes and what it took. RUN is a folder or s3:// address.

    Reads the tables alone: during a run, after a crash, from another machine.
    """
    looks = _looks(run_uri, every if watch else None)
    if as_json:
        for found, paces in looks:
            document = found.document()
            for step, pace in paces.items():
                document["steps"][step] |= pace.document()
            click.echo(json.dumps(document))
    elif watch:
        from rich.live import Live

        with Live(auto_refresh=False) as live:
            for found, paces in looks:
                live.update(_table(found, paces), refresh=True)
    else:
        for found, paces in looks:
            print_status(found, paces)


def _looks(run_uri: str, every: float | None) -> Iterator[tuple[Status, dict[str, Pace]]]:
    """Look once, or every so many seconds until nothing is left."""
    from components.run.pace import run_pace
    from components.run.record import load_run
    from components.run.status import run_status

    while True:
        state = load_run(run_uri)
        found = run_status(state)
        yield found, run_pace(state.store, found)
        if every is None or not any(step.left for step in found.steps.values()):
            return
        time.sleep(every)


@click.command()
@click.argument("run_uri", metavar="RUN")
@click.option("--to", "target", required=True, help="A .parquet, .csv, .jsonl or .md file.")
def export(run_uri: str, target: str) -> None:
    """Write a run's scored edits as one table, a row for each edit and protocol."""
    from components.results.export import export as write
    from components.results.export import score_table
    from components.run.record import load_run

    state = load_run(run_uri)
    rows = score_table(state.store, state.selection())
    write(rows, target)
    click.echo(f"{len(rows)} row(s) written to {target}")


@click.command()
@click.argument("run_uri", metavar="RUN")
@click.option("--to", "target", type=click.Path(path_type=Path), required=True, help="A .png file.")
def strip(run_uri: str, target: Path) -> None:
    """Draw some frames of each source and its edits as one picture."""
    from components.results.strip import strip as draw
    from components.run.record import load_run

    state = load_run(run_uri)
    picture = draw(state.store, state.selection())
    target.write_bytes(picture)
    click.echo(str(target))


@click.command()
@click.argument("run_uri", metavar="RUN")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON lines, one for each item.")
def failures(run_uri: str, as_json: bool) -> None:
    """List what is missing from a run because it failed, by step and kind of error."""
    from components.run.record import load_run

    groups: dict[tuple[str, str], list[Row]] = {}
    state = load_run(run_uri)
    for row in state.open_failures:
        if as_json:
            click.echo(json.dumps(row, default=str))
        groups.setdefault((row["step"], row["error_type"]), []).append(row)
    if as_json:
        return
    for (step, kind), rows in groups.items():
        click.echo(f"{step}: {kind}, {len(rows)} item(s)")
        for row in rows:
            again = row["retryable"] and row["attempt"] < state.config.max_attempts
            next_run = "tried again by the next run" if again else "needs --retry-failed"
            name = row["edit_id"] or row["video_id"]
            click.echo(f"  {name}  {row['message']} (attempt {row['attempt']}; {next_run})")


def print_status(found: Status, paces: Mapping[str, Pace] | None = None) -> None:
    """Print a table of steps, with their pace where it is known."""
    from rich.console import Console

    Console().print(_table(found, paces))


def _table(found: Status, paces: Mapping[str, Pace] | None) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    timed = ("per hour", "eta", "work", "gpu work") if paces else ()
    table = Table("step", "total", "done", "failed", "left", *timed, box=SIMPLE_HEAD)
    table.caption = _last_commit(paces or {})
    for column in table.columns:
        column.no_wrap = True
    for column in table.columns[1:]:
        column.justify = "right"
    for name, step in found.steps.items():
        counts = map(str, (step.total, step.done, step.failed, step.left))
        table.add_row(name, *counts, *(_times(paces[name]) if paces else ()))
    return table


def _times(pace: Pace) -> tuple[str, ...]:
    return (
        "–" if pace.per_hour is None else f"{pace.per_hour:.0f}",
        _duration(pace.left_seconds or None),
        _duration(pace.seconds),
        _duration(pace.gpu_seconds),
    )


def _last_commit(paces: Mapping[str, Pace]) -> str | None:
    """How long ago: tells a run at work from one that stopped."""
    commits = [pace.last_commit for pace in paces.values() if pace.last_commit]
    if not commits:
        return None
    ago = (dt.datetime.now(dt.UTC) - max(commits)).total_seconds()
    return f"last row committed {_duration(ago)} ago"


def _duration(seconds: float | None) -> str:
    return "–" if seconds is None else str(dt.timedelta(seconds=round(seconds)))
