"""`tav compare`; see ``main``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from components.cli.options import BOUNDS, VARIANTS
from components.errors import EXIT_USER_ERROR, UserError

if TYPE_CHECKING:
    from components.results.compare import RunScores
    from eval.compare import Comparison


@click.command()
@click.argument("run_uris", metavar="RUN [RUN]...", nargs=-1, required=True)
@VARIANTS
@BOUNDS
@click.option(
    "--correlate",
    "trusted",
    metavar="PROTOCOL",
    help="Also show how far every other measure puts the variants in the order of this protocol's.",
)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.option("--to", "target", help="A .md, .json, .csv, .tex or .png file, in place of printing.")
def compare(
    run_uris: tuple[str, ...],
    variants: tuple[str, ...],
    bounds: dict[str, float],
    trusted: str | None,
    as_json: bool,
    target: str | None,
) -> None:
    """Compare the variants of a run, or several runs, with the first.

    For each protocol, measure and category: means with intervals over videos, differences paired by
    edit, wins, ties and losses, seconds per edit. Exit code 1 when a --bound is broken: a mean is
    worse by more, or an edit of the first is missing.
    """
    from components.results.comparison_writers import write, writer_of

    if target and as_json:
        raise click.UsageError("--json prints and --to writes: give one of them")
    if target:
        writer_of(target)
        if trusted and Path(target).suffix.lower() not in (".md", ".json"):
            raise click.UsageError("--correlate is shown, or written to a .md or .json file")
    found = _compared(run_uris, bounds, variants, trusted)
    if target:
        write(found, target)
        click.echo(target)
    else:
        _print(found, as_json=as_json)
    for line in found.regressions:
        click.echo(f"Regressed: {line}", err=True)
    if found.regressions:
        sys.exit(EXIT_USER_ERROR)


def _compared(
    run_uris: tuple[str, ...],
    bounds: dict[str, float],
    chosen: tuple[str, ...],
    trusted: str | None,
) -> Comparison:
    from components.results.compare import compare_runs

    runs = {uri: _scores(uri) for uri in run_uris}
    if len({uri.rstrip("/") for uri in run_uris}) < len(run_uris):
        raise UserError(f"a run is given twice: {', '.join(run_uris)}; name each once")
    return compare_runs(runs, bounds, chosen, trusted)


def _scores(run_uri: str) -> RunScores:
    from components.results.compare import run_scores
    from components.run.record import load_run

    state = load_run(run_uri)
    return run_scores(state.store, state.selection())


def _print(found: Comparison, *, as_json: bool) -> None:
    from rich.console import Console

    from components.results.comparison_files import document
    from components.results.comparison_table import print_comparison

    if as_json:
        click.echo(json.dumps(document(found), allow_nan=False))
    else:
        # Wide enough for the tables where no terminal says how wide it is.
        print_comparison(found, Console(width=None if sys.stdout.isatty() else 140))
