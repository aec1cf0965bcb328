"""The `tav` commands that exchange data with other programs; see ``main``."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import click

from components.cli.options import VARIANTS
from components.errors import EXIT_FAILED_ITEMS

BENCHMARKS = ("loveu", "v2vbench", "folders")
HUGGING_FACE = "huggingface"
LAYOUTS = ("loveu", "v2vbench", HUGGING_FACE)


@click.command(name="import-benchmark")
@click.argument("name", type=click.Choice(BENCHMARKS))
@click.option("--from", "folder", required=True, help="The benchmark's folder.")
@click.option("--to", "target", required=True, help="The manifest, a .yaml file.")
@click.option("--overwrite", is_flag=True, help="Replace a file that is there.")
def import_benchmark(name: str, folder: str, target: str, overwrite: bool) -> None:
    """Write the manifest of a benchmark: LOVEU-TGVE-2023, V2VBench, or any folder of videos.

    Exit code 3 where some of it is left out, which is told.
    """
    from components.layouts.importing import import_benchmark as write
    from components.layouts.layout import local_path

    found = write(name, folder, target, overwrite=overwrite)
    edits = sum(len(video.get("edits", ())) for video in found.videos)
    click.echo(f"{len(found.videos)} video(s) with {edits} edit(s) written to {target}")
    if local_path(target, "--to").parent != found.root:
        click.echo(f"Its addresses are relative: run it with manifest_root={found.root}")
    for line in found.remarks:
        click.echo(f"Note: {line}", err=True)
    _tell("Left out", found.left_out)


@click.command()
@click.argument("run_uri", metavar="RUN")
@VARIANTS
@click.option(
    "--layout",
    type=click.Choice(LAYOUTS),
    help="Write the edits of one variant as this benchmark wants them, or those of all as a "
    "Hugging Face dataset, in place of a table.",
)
@click.option(
    "--to",
    "target",
    required=True,
    help="A .parquet, .csv, .jsonl or .md file; with --layout a folder.",
)
@click.option("--overwrite", is_flag=True, help="With --layout: replace edits that are there.")
@click.option(
    "--license",
    "license_id",
    help="With --layout huggingface: the card's licence, by the hub's name; without it unknown.",
)
def export(
    run_uri: str,
    variants: tuple[str, ...],
    layout: str | None,
    target: str,
    overwrite: bool,
    license_id: str | None,
) -> None:
    """Write a run's scored edits as one table, a row for each edit and protocol.

    With --layout write the edits themselves; exit code 3 where some are missing, which are told.
    """
    if license_id is not None and layout != HUGGING_FACE:
        raise click.UsageError(f"--license goes with --layout {HUGGING_FACE}")
    if layout is None:
        if overwrite:
            raise click.UsageError("--overwrite goes with --layout: a table is always replaced")
        _export_table(run_uri, variants, target)
        return
    from components.layouts.exporting import export_layout
    from components.layouts.huggingface import export_dataset
    from components.run.record import load_run

    state = load_run(run_uri, variants)
    what = (state.store, state.manifest, state.selection(), target)
    if layout == HUGGING_FACE:
        done = export_dataset(*what, license_id=license_id or "unknown", overwrite=overwrite)
    else:
        done = export_layout(layout, *what, overwrite=overwrite)
    click.echo(f"{done.written} edit(s) written to {target}")
    _tell("Missing", done.missing)


def _export_table(run_uri: str, variants: tuple[str, ...], target: str) -> None:
    from components.results.export import ScoreRows
    from components.results.export import export as write
    from components.run.record import load_run

    state = load_run(run_uri, variants)
    count = write(ScoreRows(state.store, state.selection()), target)
    click.echo(f"{count} row(s) written to {target}")


def _tell(what: str, lines: Iterable[str]) -> None:
    """Name what is not there, and end with the exit code that says so."""
    told = list(lines)
    for line in told:
        click.echo(f"{what}: {line}", err=True)
    if told:
        sys.exit(EXIT_FAILED_ITEMS)
