"""Options that several commands take alike, those of `tav pipeline` too."""

from __future__ import annotations

import math
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
VARIANTS = click.option(
    "--variant",
    "variants",
    multiple=True,
    metavar="NAME",
    help="Of the variants this one alone; may be repeated.",
)
OUTCOME_AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")


def _bounds(
    _context: click.Context, _option: click.Parameter, texts: tuple[str, ...]
) -> dict[str, float]:
    """``protocol.measure=worse`` as pairs, each name once."""
    found: dict[str, float] = {}
    for text in texts:
        name, _, number = text.partition("=")
        try:
            bound = float(number)
        except ValueError:
            bound = math.nan
        if not name or not (math.isfinite(bound) and bound >= 0):
            raise click.BadParameter(
                f"{text!r} is not of the form PROTOCOL.MEASURE=WORSE with a number of 0 or more, "
                "such as tav_paper_v1.textual_alignment=0.5"
            )
        if name in found:
            raise click.BadParameter(f"{name!r} has two bounds: give one")
        found[name] = bound
    return found


BOUNDS = click.option(
    "--bound",
    "bounds",
    multiple=True,
    callback=_bounds,
    metavar="PROTOCOL.MEASURE=WORSE",
    help="How much worse than what it is compared with a mean may be; may be repeated.",
)


def together(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Several options as one decorator, shown in this order."""

    def decorate(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate
