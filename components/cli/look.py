"""The `tav` commands that look at a run at work, finished or broken; see ``main``."""

from __future__ import annotations

import datetime as dt
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from components.cli.options import VARIANTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rich.console import Group
    from rich.table import Table

    from components.run.pace import Pace, Use
    from components.run.status import Status
    from components.storage.tables import Row


@click.command()
@click.argument("run_uri", metavar="RUN")
@VARIANTS
@click.option("--watch", is_flag=True, help="Look again and again until nothing is left.")
@click.option("--every", default=5.0, show_default=True, help="Seconds between two looks.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON, a line for each look.")
def status(
    run_uri: str, variants: tuple[str, ...], watch: bool, every: float, as_json: bool
) -> None:
    """Show where a run stands, how fast it goes and what it took. RUN is a folder or s3:// address.

    Reads the tables alone: during a run, after a crash, from another machine.
    """
    looks = _looks(run_uri, variants, every if watch else None)
    if as_json:
        for found, paces, use in looks:
            document = found.document() | {"use": use and use.document()}
            for step, pace in paces.items():
                document["steps"][step] |= pace.document()
            click.echo(json.dumps(document))
    elif watch:
        from rich.live import Live

        with Live(auto_refresh=False) as live:
            for found, paces, use in looks:
                live.update(_tables(found, paces, use), refresh=True)
    else:
        for found, paces, use in looks:
            print_status(found, paces, use)


def _looks(
    run_uri: str, variants: tuple[str, ...], every: float | None
) -> Iterator[tuple[Status, dict[str, Pace], Use | None]]:
    """Look once, or every so many seconds until nothing is left."""
    from components.run.pace import run_pace, run_use
    from components.run.record import load_run

    while True:
        state = load_run(run_uri, variants)
        found = state.status()
        use = run_use(state.store, found, state.config.ray)
        yield found, run_pace(state.store, found), use
        if every is None or not any(step.left for step in found.steps.values()):
            return
        time.sleep(every)


@click.command()
@click.argument("run_uri", metavar="RUN")
@VARIANTS
@click.option(
    "--to", "target", type=click.Path(path_type=Path), required=True, help="A .png or .jpg file."
)
@click.option(
    "--videos", type=click.IntRange(min=1), default=8, show_default=True, help="Shown at most."
)
def strip(run_uri: str, variants: tuple[str, ...], target: Path, videos: int) -> None:
    """Draw some frames of each source and its edits as one picture."""
    from components.results.strip import strip as draw
    from components.run.record import load_run

    if target.suffix.lower() not in (".png", ".jpg"):
        raise click.UsageError(f"--to {target} is no picture's name: end it in .png or .jpg")
    state = load_run(run_uri, variants)
    picture = draw(state.store, state.selection(), videos=videos)
    picture.save(target, optimize=True, quality=90)
    click.echo(str(target))


@click.command()
@click.argument("run_uri", metavar="RUN")
@VARIANTS
@click.option("--json", "as_json", is_flag=True, help="Print as JSON lines, one for each item.")
def failures(run_uri: str, variants: tuple[str, ...], as_json: bool) -> None:
    """List what is missing from a run because it failed, by step and kind of error."""
    from components.run.record import load_run

    groups: dict[tuple[str, str], list[tuple[Row, list[str]]]] = {}
    state = load_run(run_uri, variants)
    for row, concerned in state.failures:
        if as_json:
            click.echo(json.dumps(row | {"variants": concerned}, default=str))
        groups.setdefault((row["step"], row["error_type"]), []).append((row, concerned))
    if as_json:
        return
    for (step, kind), rows in groups.items():
        click.echo(f"{step}: {kind}, {len(rows)} item(s)")
        for row, concerned in rows:
            again = row["retryable"] and row["attempt"] < state.config.max_attempts
            next_run = "tried again by the next run" if again else "needs --retry-failed"
            whose = f"; of {', '.join(concerned)}" if state.config.variants else ""
            name = row["edit_id"] or row["video_id"]
            click.echo(f"  {name}  {row['message']} (attempt {row['attempt']}; {next_run}{whose})")


def print_status(
    found: Status, paces: Mapping[str, Pace] | None = None, use: Use | None = None
) -> None:
    """Print a table of steps, with their pace where it is known, and one of several variants."""
    from rich.console import Console

    Console().print(_tables(found, paces, use))


def _tables(found: Status, paces: Mapping[str, Pace] | None, use: Use | None) -> Group:
    from rich.console import Group

    tables = [_steps(found, paces, use)]
    return Group(*tables, _variants(found.variants)) if found.variants else Group(*tables)


def _steps(found: Status, paces: Mapping[str, Pace] | None, use: Use | None) -> Table:
    timed = ("per hour", "eta", "work", "gpu work") if paces else ()
    table = _table("step", "total", "done", "failed", "left", *timed)
    told = (_last_commit(paces or {}), _use(use, any(one.left for one in found.steps.values())))
    table.caption = "; ".join(filter(None, told)) or None
    for name, step in found.steps.items():
        counts = map(str, (step.total, step.done, step.failed, step.left))
        table.add_row(name, *counts, *(_times(paces[name]) if paces else ()))
    return table


def _variants(found: Mapping[str, Status]) -> Table:
    """What is done of each variant's edits and scores; what two variants share counts for both."""
    counts = ("failed", "left")
    table = _table("variant", "edits", *counts, "scores", *counts)
    table.columns[0].no_wrap, table.columns[0].overflow = False, "fold"
    for name, one in found.items():
        cells: list[str] = []
        for step in (one.steps["sample"], one.steps["score"]):
            cells += [f"{step.done}/{step.total}", str(step.failed), str(step.left)]
        table.add_row(name, *cells)
    return table


def _table(*heads: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(*heads, box=SIMPLE_HEAD)
    for column in table.columns:
        column.no_wrap = True
    for column in table.columns[1:]:
        column.justify = "right"
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


def _use(use: Use | None, left: bool) -> str | None:
    if use is None:
        return None
    told = f"workers busy {use.busy:.0%} of the time since {use.since:%Y-%m-%d %H:%M} UTC"
    ends = left and use.left_seconds is not None
    return f"{told}; done in about {_duration(use.left_seconds)} if it goes on so" if ends else told


def _duration(seconds: float | None) -> str:
    return "–" if seconds is None else str(dt.timedelta(seconds=round(seconds)))
