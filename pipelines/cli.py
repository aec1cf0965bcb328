"""`tav pipeline`: a run as a Kubeflow pipeline, here or on a server."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from components.cli.options import BOUNDS, CONFIG, OVERRIDES, RETRY_FAILED, VARIANTS, together
from components.errors import UserError
from pipelines.packages import PIPELINES

if TYPE_CHECKING:
    from components.config import RunConfig
    from pipelines.client import Kubeflow
    from pipelines.work import Work


@click.group()
def pipeline() -> None:
    """Run, submit and schedule the steps as a Kubeflow pipeline."""


_WORK = together(
    CONFIG,
    VARIANTS,
    click.option("--pipeline", "name", type=click.Choice(PIPELINES), default="edit_dataset"),
    click.option("--baseline", help="Run to compare with, by --bound (reevaluate)."),
    BOUNDS,
    click.option("--where", default='{"mode": "local"}', help="Where the steps run, as JSON."),
    click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="Of the pipeline."),
    RETRY_FAILED,
    OVERRIDES,
)
_VOLUME = click.option(
    "--volume",
    metavar="CLAIM:/PATH",
    help="Mount a PersistentVolumeClaim into every pod; run and manifest may lie on it.",
)
_PODS = together(
    click.option(
        "--service-account",
        default="",
        help="Kubernetes account of the pods: tav-launcher, for work on KubeRay.  [default: "
        "Kubeflow's]",
    ),
    _VOLUME,
)
_SERVER = together(
    click.option("--host", required=True, envvar="KFP_HOST", help="The server.  [env: KFP_HOST]"),
    click.option("--namespace", envvar="KFP_NAMESPACE", help="Of a server with many users."),
)


@pipeline.command("compile")
@click.option("--to", "folder", type=click.Path(path_type=Path), required=True)
@_VOLUME
def compile_(folder: Path, volume: str | None) -> None:
    """Write every pipeline as YAML."""
    from pipelines.packages import compile_all
    from pipelines.work import Volume

    mount = Volume.parse(volume) if volume else None
    for path in compile_all(folder):
        if mount:
            path.write_text(mount.mounted(path.read_text("utf-8")), encoding="utf-8")
        click.echo(str(path))


@pipeline.command()
@_WORK
@click.option(
    "--artifacts",
    type=click.Path(path_type=Path),
    default=Path("runs/pipelines"),
    show_default=True,
    help="Folder for the tasks' artifacts.",
)
def run(name: str, artifacts: Path, **work: Any) -> None:
    """Run a pipeline's own tasks on this machine, one after another."""
    from pipelines.local import run_here

    run_here(name, _arguments(name, **work), artifacts)


@pipeline.command()
@_WORK
@_PODS
@_SERVER
@click.option("--title", help="Name of the execution.  [default: the run's]")
def submit(host: str, namespace: str | None, title: str | None, **options: Any) -> None:
    """Start a pipeline on a Kubeflow server; its token is read from KFP_TOKEN."""
    work = _work(**options)
    run = json.loads(work.arguments["config"])["run"]
    started = _server(host, namespace).submit(work, title or f"{work.pipeline} {run}")
    click.echo(f"{started.run_id}  {host.rstrip('/')}/#/runs/details/{started.run_id}")


@pipeline.command()
@_WORK
@_PODS
@_SERVER
@click.option("--name", "schedule_name", required=True, help="There is one schedule of a name.")
@click.option("--cron", required=True, help="In UTC: '0 3 * * *' is every night at three.")
def schedule(
    host: str, namespace: str | None, schedule_name: str, cron: str, **options: Any
) -> None:
    """Create a schedule, or change the one of that name."""
    work = _work(**options)
    made, how = _server(host, namespace).schedule(schedule_name, cron, work)
    click.echo(f"{made.schedule_id}  {made.name}  {made.cron}  {how}")


@pipeline.command()
@_SERVER
@click.argument("schedule_name", metavar="NAME")
def unschedule(host: str, namespace: str | None, schedule_name: str) -> None:
    """Delete the schedule of a name."""
    server = _server(host, namespace)
    found = server.schedules(schedule_name)
    if not found:
        raise click.ClickException(f"there is no schedule {schedule_name!r} at {host}")
    for one in found:
        server.unschedule(one)
        click.echo(f"{one.schedule_id}  {one.name}  deleted")


@pipeline.command("list")
@_SERVER
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def list_(host: str, namespace: str | None, as_json: bool) -> None:
    """List executions and schedules."""
    from pipelines.client import as_document

    server = _server(host, namespace)
    executions, schedules = server.executions(), server.schedules()
    if as_json:
        documents = {
            "executions": [as_document(run) for run in executions],
            "schedules": [as_document(one) for one in schedules],
        }
        click.echo(json.dumps(documents))
        return
    for run in executions:
        click.echo(f"{run.run_id}  {run.state:<10}  {run.created_at}  {run.name}")
    for one in schedules:
        click.echo(f"{one.schedule_id}  {one.cron}  {'' if one.enabled else 'off  '}{one.name}")


@pipeline.command()
@_SERVER
@click.argument("run_id")
def cancel(host: str, namespace: str | None, run_id: str) -> None:
    """Stop an execution."""
    _server(host, namespace).cancel(run_id)
    click.echo(f"{run_id}  told to stop")


def _server(host: str, namespace: str | None) -> Kubeflow:
    from pipelines.client import Kubeflow

    return Kubeflow(host, namespace)


def _arguments(
    name: str,
    *,
    where: str,
    retry_failed: bool,
    baseline: str | None,
    bounds: Mapping[str, float],
    params: Sequence[str],
    **run: Any,
) -> dict[str, Any]:
    """The pipeline's parameters, checked as far as this machine can."""
    from components.config import parse
    from components.launch import Where
    from components.launch.job import portable_document
    from pipelines.carried import carried, carried_text

    config = _config(**run)
    try:
        place = json.loads(where)
        parse(Where, place, "--where")
    except ValueError as error:
        raise click.BadParameter(f"{where!r} is not JSON: {error}", param_hint="--where") from error
    document = portable_document(config)
    document["ray"]["address"] = config.ray.address  # `where` says who goes to a cluster
    arguments: dict[str, Any] = {
        "config": carried(document),
        "where": carried(place),
        "retry_failed": retry_failed,
    }
    if name == "reevaluate":
        if not baseline or not bounds:
            raise click.UsageError("reevaluate needs --baseline RUN and at least one --bound")
        arguments |= {"baseline": carried_text(baseline), "bounds": carried(dict(bounds))}
    elif baseline or bounds:
        raise click.UsageError(f"--baseline and --bound are of reevaluate, not of {name}")
    return arguments | dict(_param(name, text) for text in params)


def _config(config_path: Path, overrides: tuple[str, ...], variants: tuple[str, ...]) -> RunConfig:
    from components.config import load_run_config

    return load_run_config(config_path, overrides, variants)


def _param(pipeline_name: str, text: str) -> tuple[str, Any]:
    """A parameter of a pipeline, as the type that it declares."""
    from pipelines.packages import parameter_types

    types = parameter_types(pipeline_name)
    name, value = _pair(text, "--param")
    if name not in types:
        near = difflib.get_close_matches(name, types, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(types)}"
        raise click.BadParameter(f"{pipeline_name} has no parameter {name!r}; {hint}")
    return name, text.partition("=")[2] if types[name] == "STRING" else value


def _work(*, name: str, service_account: str, volume: str | None, **options: Any) -> Work:
    """What a server is asked for, refused where its pods could not reach it."""
    from pipelines.carried import original_text
    from pipelines.work import Volume, Work

    arguments = _arguments(name, **options)
    mount = Volume.parse(volume) if volume else None
    document = json.loads(arguments["config"])
    keys = ("run", "manifest", "manifest_root")
    addresses = {key: document[key] for key in keys if document.get(key)}
    if "baseline" in arguments:
        addresses["baseline"] = original_text(arguments["baseline"])
    for key, address in addresses.items():
        if not (address.startswith("s3://") or (mount and mount.holds(address))):
            raise UserError(
                f"{key} is {address!r}, a folder of this machine, which Kubeflow's pods do not "
                f"see: give s3://bucket/..., or a path on a volume (--volume CLAIM:/PATH)"
            )
    return Work(pipeline=name, arguments=arguments, service_account=service_account, volume=mount)


def _pair(text: str, option: str) -> tuple[str, Any]:
    import yaml

    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.BadParameter(f"{text!r} is not of the form NAME=VALUE", param_hint=option)
    return name, yaml.safe_load(value)


if __name__ == "__main__":
    pipeline()
