"""The `tav` command. Each subcommand imports what it needs, so that `tav --help` is quick."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

import click

from components.cli.compare import compare
from components.cli.doctor import doctor
from components.cli.exchange import export, import_benchmark
from components.cli.look import failures, status, strip
from components.cli.perform import STEP_COMMANDS, report, run
from components.cli.plan import plan
from components.cli.study import study
from components.cli.submit import submit
from components.cli.upkeep import compact, gc
from components.errors import ItemError, UserError

PLUGINS = "tav.commands"


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
@click.option("--verbose", is_flag=True, help="Also log details: a line or two for each item.")
def main(verbose: bool) -> None:
    """Make every text edit of every video with Tune-A-Video, and score each."""
    from components.log import setup_logging

    setup_logging(verbose=verbose)


for _command in (
    *(run, *STEP_COMMANDS, report),
    *(plan, doctor, status, failures, export, compare, strip, compact, gc, submit),
    *(import_benchmark, study),
):
    main.add_command(_command)


if __name__ == "__main__":
    main()
