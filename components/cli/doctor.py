"""`tav doctor`; see ``main``."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from components.cli.options import CONFIG, OVERRIDES, VARIANTS
from components.errors import EXIT_USER_ERROR

if TYPE_CHECKING:
    from components.doctor.finding import Finding

_MARKS = {"ok": "[green]✓[/]", "warn": "[yellow]![/]", "fail": "[bold red]✗[/]"}


@click.command()
@OVERRIDES
@CONFIG
@VARIANTS
@click.option(
    "--clip", metavar="ID|FILE", help="Try this video (of the manifest by id), not a drawn one."
)
@click.option("--prompt", help="What --clip shows, where the manifest does not say it.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def doctor(
    config_path: Path,
    overrides: tuple[str, ...],
    variants: tuple[str, ...],
    clip: str | None,
    prompt: str | None,
    as_json: bool,
) -> None:
    """Say what is wrong where results are bad: machine, models, store, and a small real tuning.

    Ten tuning steps, an inversion there and back and one edit, on a drawn clip and the given base.
    Starts no Ray and leaves nothing in the run. Exit code 1 where something is wrong.
    """
    from components.config import load_run_config
    from components.doctor.clips import TrialSource
    from components.doctor.examine import examine

    if prompt is not None and clip is None:
        raise click.UsageError("--prompt says what --clip shows: give both")
    config = load_run_config(config_path, overrides, variants)
    findings = examine(config, None if clip is None else TrialSource(clip, prompt))
    found = list(findings) if as_json else _print(findings)
    wrong = [finding for finding in found if finding.level == "fail"]
    if as_json:
        document = {"ok": not wrong, "findings": [one.document() for one in found]}
        click.echo(json.dumps(document))
    if wrong:
        sys.exit(EXIT_USER_ERROR)


def _print(findings: Iterable[Finding]) -> list[Finding]:
    """Print each topic as soon as all of it is there."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    # Wide enough where no terminal says how wide it is.
    console = Console(width=None if sys.stdout.isatty() else 120)
    every = []
    for topic, group in itertools.groupby(findings, key=lambda one: one.topic):
        table = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
        table.add_column(width=1)
        table.add_column(width=30, overflow="fold")
        table.add_column(overflow="fold")
        for one in group:
            every.append(one)
            text = escape(one.found) + (f"\n[bold]→ {escape(one.remedy)}[/]" if one.remedy else "")
            table.add_row(_MARKS[one.level], escape(one.check), text)
        console.print(f"[bold]{topic}[/]", table, sep="\n")
    count = {level: sum(one.level == level for one in every) for level in _MARKS}
    wrong = f"[bold red]{count['fail']} wrong[/]" if count["fail"] else "[bold green]all is well[/]"
    console.print(f"\n{wrong}" + (f", {count['warn']} worth a look" if count["warn"] else ""))
    return every
