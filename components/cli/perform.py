"""The `tav` commands that compute: `tav run`, each step, `tav report`; see ``main``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from components.cli.look import print_status
from components.cli.options import (
    CONFIG,
    OUTCOME_AS_JSON,
    OVERRIDES,
    RETRY_FAILED,
    VARIANTS,
    together,
)
from components.errors import EXIT_FAILED_ITEMS

if TYPE_CHECKING:
    from components.run.perform import Performed


_run_options = together(CONFIG, VARIANTS, RETRY_FAILED, OUTCOME_AS_JSON, OVERRIDES)


@click.command()
@_run_options
def run(**options: Any) -> None:
    """Run every step: ingest, caption, control, tune, sample, score, report.

    Computes only what is missing. KEY=VALUE overrides the configuration: tune.steps=100.
    Exit code 0 while failures stay within max_failed_fraction, 3 beyond it.
    """
    _perform("run", **options)


@click.command()
@_run_options
def report(**options: Any) -> None:
    """Write the run's gallery, a folder that opens offline."""
    _perform("report", **options)


def _step_command(step: str, summary: str) -> click.Command:
    @click.command(name=step, help=f"{summary} Computes only what is missing.")
    @_run_options
    def command(**options: Any) -> None:
        _perform(step, **options)

    return command


STEP_COMMANDS = tuple(
    _step_command(step, summary)
    for step, summary in (
        ("ingest", "Read, check and hash the manifest's videos."),
        ("caption", "Describe videos that have no prompt with BLIP-2."),
        ("control", "Make the maps that steer edits, where any do."),
        ("tune", "Tune an adapter for each video and invert its latents."),
        ("sample", "Sample every edited prompt."),
        ("score", "Score every edit with CLIP."),
    )
)


def _perform(
    step: str,
    *,
    config_path: Path,
    overrides: tuple[str, ...],
    variants: tuple[str, ...],
    retry_failed: bool,
    as_json: bool,
) -> None:
    from components.config import load_run_config
    from components.log import setup_logging
    from components.run.perform import perform

    config = load_run_config(config_path, overrides, variants)
    verbose = click.get_current_context().find_root().params["verbose"]
    setup_logging(verbose=verbose, config=config)
    done = perform(step, config, retry_failed=retry_failed)
    if as_json:
        click.echo(json.dumps(done.document()))
    elif step == "report":
        click.echo(done.report)
    else:
        _print(done)
    if done.problem:
        click.echo(done.problem, err=True)
        sys.exit(EXIT_FAILED_ITEMS)


def _print(done: Performed) -> None:
    from rich.console import Console

    from components.results.export import score_table
    from components.results.score_tables import print_scores

    if "score" in done.computed:
        rows = score_table(done.state.store, done.state.selection())
        if rows:
            # Wide enough for the table where no terminal says how wide it is.
            print_scores(rows, Console(width=None if sys.stdout.isatty() else 140))
    print_status(done.status)
    if not any(done.computed.values()):
        for line in _why_idle(done):
            click.echo(line)
    if done.report:
        click.echo(f"Report: {done.report}")


def _why_idle(done: Performed) -> list[str]:
    """Why nothing was computed: it is not always that all is there."""
    steps = {name: done.status.steps[name] for name in done.computed}
    failed = {name: step.failed for name, step in steps.items() if step.failed}
    left = {name: step.left for name, step in steps.items() if step.left}
    if not failed and not left:
        return ["Nothing to compute: every row is there already. Ray was not started."]
    lines = ["Nothing was computed, and Ray was not started:"]
    if left:
        counts = ", ".join(f"{name} {count}" for name, count in left.items())
        lines.append(f"  left, but waiting for an earlier step ({counts}): `tav run` does them all")
    if failed:
        counts = ", ".join(f"{name} {count}" for name, count in failed.items())
        uri = done.state.config.run
        lines.append(
            f"  failed for good, or waiting for what did ({counts}): `tav failures {uri}` says "
            "why, --retry-failed tries again"
        )
    return lines
