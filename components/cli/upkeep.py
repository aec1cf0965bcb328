"""The `tav` commands that keep a run's folder tidy; see ``main``."""

from __future__ import annotations

import datetime as dt
import json
import re
import sys
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from components.storage.garbage import Findings

EXIT_DANGLING = 4
"""Rows name objects that are gone."""

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@click.command()
@click.argument("run_uri", metavar="RUN")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def compact(run_uri: str, as_json: bool) -> None:
    """Merge the many small parts of a run's tables into few.

    A run may go on meanwhile. Parts that were merged are removed by the next call an hour later.
    """
    import dataclasses

    from components.run.record import open_run
    from components.storage.compact import compact_run

    done = compact_run(open_run(run_uri))
    if as_json:
        click.echo(json.dumps({table: dataclasses.asdict(one) for table, one in done.items()}))
        return
    for table, one in done.items():
        click.echo(
            f"{table:9} {one.merged} part(s) merged into {one.written}, "
            f"{one.removed} replaced earlier removed"
        )


def _duration(_context: click.Context, _option: click.Parameter, text: str) -> dt.timedelta:
    found = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if not found:
        raise click.BadParameter(f"{text!r} is no time such as 90s, 30m, 1h or 2d")
    return dt.timedelta(**{_UNITS[found[2]]: int(found[1])})


@click.command()
@click.argument("run_uri", metavar="RUN")
@click.option("--delete", is_flag=True, help="Remove orphans, and withdraw dangling rows.")
@click.option(
    "--older-than",
    callback=_duration,
    default="1h",
    show_default=True,
    metavar="TIME",
    help="Leave younger orphans alone; a run in progress may still commit their rows.",
)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def gc(run_uri: str, delete: bool, older_than: dt.timedelta, as_json: bool) -> None:
    """Find objects that no row names, and rows whose object is gone.

    A dry run unless --delete is given: that removes the objects, and withdraws the rows so that
    the next `tav run` computes them again. Exit code 4 while dangling rows are left.
    """
    from components.run.record import open_run
    from components.storage.garbage import remove, survey, withdraw

    store = open_run(run_uri)
    found = survey(store, older_than=older_than)
    gone = remove(store, found.orphans) if delete else []
    if delete:
        withdraw(store, found.dangling)
    if as_json:
        removed = {orphan.found.path for orphan in gone}
        click.echo(json.dumps({"deleted": delete, **_document(found, removed)}))
    else:
        _print(found, len(gone) if delete else None)
    if found.dangling and not delete:
        sys.exit(EXIT_DANGLING)


def _document(found: Findings, removed: set[str]) -> dict[str, Any]:
    return {
        "bytes": found.nbytes,
        "orphans": [
            {
                "path": orphan.found.path,
                "bytes": orphan.found.size,
                "why": orphan.why,
                "removed": orphan.found.path in removed,
            }
            for orphan in found.orphans
        ],
        "dangling": [
            {"table": row.table, "key": row.key, "names": row.address} for row in found.dangling
        ],
        "unknown": found.unknown,
        "young": found.young,
    }


def _print(found: Findings, removed: int | None) -> None:
    for orphan in found.orphans:
        click.echo(f"orphan    {orphan.found.path}  {orphan.found.size} bytes: {orphan.why}")
    for row in found.dangling:
        key = ", ".join(f"{name} {value}" for name, value in row.key.items())
        click.echo(f"dangling  {row.table} {key}: {row.address!r} is gone")
    for path in found.unknown:
        click.echo(f"unknown   {path!r} is kept")
    click.echo(
        f"{len(found.orphans)} orphan(s) of {found.nbytes / 1e6:.1f} MB, {len(found.dangling)} "
        f"dangling row(s), {len(found.unknown)} unknown file(s); {found.young} too young to judge"
    )
    if removed is None:
        click.echo("Dry run: nothing was changed. --delete removes orphans and withdraws rows.")
    else:
        click.echo(f"{removed} orphan(s) removed, {len(found.dangling)} row(s) withdrawn.")
        if found.dangling:
            click.echo("The next `tav run` computes the withdrawn rows again.")
