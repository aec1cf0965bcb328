"""The `tav` command. Each subcommand imports what it needs, so that `tav --help` is quick."""

from __future__ import annotations

import json
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from components.cli.look import export, failures, print_status, status, status_document, strip
from components.cli.plan import plan
from components.cli.submit import submit
from components.cli.upkeep import compact, gc
from components.errors import ItemError, UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from components.run.runner import Runner, RunResult

PLUGINS = "tav.commands"
EXIT_FAILED_ITEMS = 3
"""More items failed than `max_failed_fraction` allows."""


class _Group(click.Group):
    """Shows expected errors as a message and not as a traceback; has the plugins' commands too.

    An entry point of the group ``tav.commands`` is a command, imported when it is called for. So
    `tav pipeline` is here, and the components know nothing of the pipelines above them.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *entry_points(group=PLUGINS).names})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = super().get_command(ctx, cmd_name)
        for plugin in entry_points(group=PLUGINS, name=cmd_name) if found is None else ():
            command: click.Command = plugin.load()
            return command
        return found

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (UserError, ItemError) as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tune-a-video-at-scale")
@click.option("--verbose", is_flag=True, help="Also log details.")
def main(verbose: bool) -> None:
    """Make every text edit of every video with Tune-A-Video, and score each."""
    from components.log import setup_logging

    setup_logging(verbose=verbose)


def _run_options(command: Any) -> Any:
    for option in (
        click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]..."),
        click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON."),
        click.option("--retry-failed", is_flag=True, help="Also try what failed for good."),
        click.option(
            "--config",
            "config_path",
            required=True,
            type=click.Path(path_type=Path, dir_okay=False),
            help="The run's configuration (YAML).",
        ),
    ):
        command = option(command)
    return command


@main.command()
@_run_options
def run(
    config_path: Path,
    overrides: tuple[str, ...],
    retry_failed: bool,
    as_json: bool,
) -> None:
    """Run every step: ingest, caption, tune, sample, score, report.

    Computes only what is missing. KEY=VALUE overrides the configuration: tune.steps=100.
    Exit code 0 while failures stay within max_failed_fraction, 3 beyond it.
    """
    from components.run.plan import STEPS

    runner = _runner(config_path, overrides, retry_failed)
    result = runner.run(STEPS)
    _report(runner, force=result.changed or any(result.computed.values()))
    _finish(runner, result, as_json)


def _step_command(step: str, summary: str) -> None:
    @_run_options
    def command(
        config_path: Path,
        overrides: tuple[str, ...],
        retry_failed: bool,
        as_json: bool,
    ) -> None:
        runner = _runner(config_path, overrides, retry_failed)
        _finish(runner, runner.run([step]), as_json)

    main.command(name=step, help=f"{summary} Computes only what is missing.")(command)


for _step, _summary in (
    ("ingest", "Read, check and hash the manifest's videos."),
    ("caption", "Describe videos that have no prompt with BLIP-2."),
    ("tune", "Tune an adapter for each video and invert its latents."),
    ("sample", "Sample every edited prompt."),
    ("score", "Score every edit with CLIP."),
):
    _step_command(_step, _summary)


@main.command()
@_run_options
def report(
    config_path: Path,
    overrides: tuple[str, ...],
    retry_failed: bool,
    as_json: bool,
) -> None:
    """Write the run's gallery, a folder that opens offline."""
    runner = _runner(config_path, overrides, retry_failed)
    address = _report(runner, force=True)
    click.echo(json.dumps({"report": address}) if as_json else address)


for _command in (plan, status, failures, export, strip, compact, gc, submit):
    main.add_command(_command)


def _runner(config_path: Path, overrides: Sequence[str], retry_failed: bool) -> Runner:
    from components.config import load_run_config
    from components.log import setup_logging
    from components.run.runner import Runner

    config = load_run_config(config_path, tuple(overrides))
    verbose = click.get_current_context().find_root().params["verbose"]
    setup_logging(verbose=verbose, config=config)
    return Runner(config, retry_failed=retry_failed)


def _report(runner: Runner, *, force: bool) -> str:
    from components.results.report import collect, write_report

    if not force and runner.store.stat("report/index.html") is not None:
        return f"{runner.store.root}/report/index.html"
    state = runner.state()
    failed = {row["item_key"] for row in state.open_failures}
    return write_report(runner.store, collect(runner.store, item_keys=failed, **state.selection()))


def _finish(runner: Runner, result: RunResult, as_json: bool) -> None:
    if as_json:
        document = status_document(result.status)
        document |= {"computed": result.computed, "used_ray": result.used_ray}
        click.echo(json.dumps(document))
    else:
        _print_result(runner, result)
    bound = runner.config.max_failed_fraction
    if result.failed_fraction > bound:
        click.echo(
            f"{result.failed_fraction:.1%} of the items failed, but max_failed_fraction allows "
            f"{bound:.1%}: see `tav failures {runner.config.run}`",
            err=True,
        )
        sys.exit(EXIT_FAILED_ITEMS)


def _print_result(runner: Runner, result: RunResult) -> None:
    from rich.console import Console

    from components.results.export import score_table
    from components.results.score_tables import print_scores

    if "score" in result.computed:
        rows = score_table(runner.store, **runner.state().selection())
        if rows:
            # Wide enough for the table where no terminal says how wide it is.
            print_scores(rows, Console(width=None if sys.stdout.isatty() else 140))
    print_status(result.status)
    if not any(result.computed.values()):
        click.echo("Nothing to compute: every row is there already. Ray was not started.")
    if runner.store.stat("report/index.html") is not None:
        click.echo(f"Report: {runner.store.root}/report/index.html")


if __name__ == "__main__":
    main()
