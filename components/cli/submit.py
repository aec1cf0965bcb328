"""`tav submit`: a step of a run as a Ray job or a RayJob; see ``main``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from components.cli.options import CONFIG, OUTCOME_AS_JSON, OVERRIDES, RETRY_FAILED, VARIANTS
from components.run import PERFORMED


@click.command()
@click.option(
    "--ray", "address", metavar="URL", help="A Ray cluster's dashboard: http://host:8265."
)
@click.option("--kuberay", is_flag=True, help="A Ray cluster of its own, on Kubernetes.")
@CONFIG
@click.option("--step", type=click.Choice(PERFORMED), default="run", show_default=True)
@VARIANTS
@RETRY_FAILED
@click.option("--attempts", type=int, help="Tries if the job itself is lost.  [default: 1]")
@click.option("--namespace", help="Kubernetes namespace.  [default: the context's]")
@click.option("--template", help="RayJob whose settings are used.  [default: tav-step]")
@click.option("--queue", help="Kueue LocalQueue that admits the job.")
@click.option("--deadline", "deadline_s", type=int, help="Seconds a RayJob may take.")
@OUTCOME_AS_JSON
@OVERRIDES
def submit(
    *,
    config_path: Path,
    overrides: tuple[str, ...],
    variants: tuple[str, ...],
    step: str,
    retry_failed: bool,
    as_json: bool,
    address: str | None,
    kuberay: bool,
    **settings: Any,
) -> None:
    """Run a step on a Ray cluster, follow its log, and stop it when this command is stopped.

    The cluster must reach the run and the manifest (a bucket or a shared folder), and has the
    credentials for them itself. A step that is under way there already is followed.
    """
    import dataclasses

    from components.config import load_run_config, parse
    from components.launch import Where, launch_step

    if bool(address) == kuberay:
        raise click.UsageError("say where: either --ray http://host:8265 or --kuberay")
    given = {name: value for name, value in settings.items() if value is not None}
    place = {"mode": "kuberay"} if kuberay else {"mode": "address", "address": address}
    where = parse(Where, {**place, **given}, "options")
    config = load_run_config(config_path, overrides, variants)
    outcome = launch_step(step, config, where, retry_failed=retry_failed)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(outcome)))
    else:
        click.echo(f"{step} of {config.run} done by {outcome.job} in {outcome.seconds:.0f} s")
