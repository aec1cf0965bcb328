"""Options that several commands take alike, those of `tav pipeline` too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

CONFIG = click.option(
    "--config",
    "config_path",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The run's configuration (YAML).",
)
OVERRIDES = click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
RETRY_FAILED = click.option("--retry-failed", is_flag=True, help="Also try what failed for good.")
OUTCOME_AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")


def together(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Several options as one decorator, shown in this order."""

    def decorate(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate
