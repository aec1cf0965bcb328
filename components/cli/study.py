"""`tav study`; see ``main``."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from components.cli.options import together
from components.errors import EXIT_FAILED_ITEMS, UserError

if TYPE_CHECKING:
    from components.run.current import State
    from components.study.clips import Clips
    from components.study.design import Asked
    from components.study.record import Record

QUESTIONS = ("paper", "loveu", "both")


@click.group()
def study() -> None:
    """Ask people which of two variants' clips they prefer, and count their votes."""


def _pair(
    _context: click.Context, _option: click.Parameter, texts: tuple[str, ...]
) -> tuple[tuple[str, str], ...] | None:
    """``one,other`` as pairs."""
    found = []
    for text in texts:
        names = [name.strip() for name in text.split(",")]
        if len(names) != 2 or not all(names):  # noqa: PLR2004 - a pair
            raise click.BadParameter(f"{text!r} is not of the form ONE,OTHER, such as full,sdedit")
        found.append((names[0], names[1]))
    return tuple(found) or None


def _rater(
    _context: click.Context, _option: click.Parameter, texts: tuple[str, ...]
) -> tuple[int, ...]:
    """``r3`` as 3."""
    digits = [text.removeprefix("r") for text in texts]
    for text, number in zip(texts, digits, strict=True):
        if not (number.isascii() and number.isdigit() and len(number) < 10):  # noqa: PLR2004
            raise click.BadParameter(f"{text!r} is no rater's name, such as r3")
    return tuple(dict.fromkeys(int(number) for number in digits))


DATABASE = click.option(
    "--database",
    default="sqlite:///study.sqlite",
    show_default=True,
    metavar="URL",
    help="Where the study is kept: any address of SQLAlchemy.",
)
DESIGN = together(
    click.option(
        "--pairs",
        multiple=True,
        callback=_pair,
        metavar="ONE,OTHER",
        help="Two variants to compare, the one that is preferred or not first; may be repeated.",
    ),
    click.option(
        "--questions",
        type=click.Choice(QUESTIONS),
        help="The paper's two (default), LOVEU-TGVE-2023's three, or all.",
    ),
    click.option("--ties/--no-ties", default=None, help="Whether raters may see no difference."),
    click.option("--raters-per-pair", type=int, help="Raters who see each pair; 5 by default."),
    click.option("--pairs-per-rater", type=int, help="Pairs a rater sees; all by default."),
    click.option("--repeated", type=float, help="Share of them shown again; 0.1 by default."),
    click.option("--checks", type=int, help="Attention checks a rater; 2 by default."),
    click.option("--seed", type=int, help="Of sides and orders; 0 by default."),
)
ADDRESS = click.option(
    "--address", help="Of the server, as raters reach it; where it listens by default."
)


@study.command()
@click.argument("run_uri", metavar="RUN")
@DESIGN
@DATABASE
@ADDRESS
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", default=8765, show_default=True, help="0 for any that is free.")
def serve(
    run_uri: str, database: str, address: str | None, host: str, port: int, **options: Any
) -> None:
    """Serve a study of a run's clips, made when it is not there yet.

    Prints an invitation for each rater, once: the database does not hold them. What is asked, of
    which clips, is frozen when the study is made.
    """
    from components.study.sequence import files
    from components.study.serving import base_address, listening
    from components.study.serving import serve as run_server

    with listening(host, port) as at, _study(run_uri, database, options) as (record, clips, tokens):
        found = files(record.sequences, clips)
        base = address or base_address(at, host)

        def ready() -> None:
            _print_invitations(base, tokens)
            if not tokens:
                click.echo("Who is invited stays invited; for new ones: tav study invite")
            click.echo(f"Serving {record.where} at {base} until Ctrl-C")

        run_server(record, found, at, ready)


@study.command()
@click.argument("raters", metavar="RATER...", nargs=-1, required=True, callback=_rater)
@DATABASE
@click.option("--address", required=True, help="Of the server, as raters reach it.")
def invite(raters: tuple[int, ...], database: str, address: str) -> None:
    """Print new invitations for raters such as r3; their former ones are void at once.

    What they have answered stays.
    """
    from components.study.record import Record

    _print_invitations(address, Record.open(database).invite(raters))


@study.command()
@click.argument("run_uri", metavar="RUN")
@DESIGN
@DATABASE
@click.option("--to", "target", required=True, help="A folder, made if absent.")
def bundle(run_uri: str, database: str, target: str, **options: Any) -> None:
    """Write the study as static files for a bucket; `tav study import` reads the answers.

    Prints each rater's page within the folder. Who knows it is that rater.
    """
    from components.layouts.layout import local_path
    from components.study.bundle import write_bundle
    from components.study.record import rater_name
    from components.study.sequence import files

    folder = local_path(target, "--to")
    with _study(run_uri, database, options) as (record, clips, _):
        pages = write_bundle(record, files(record.sequences, clips), folder)
    for rater, path in pages.items():
        click.echo(f"{rater_name(rater)}: {path}")


@study.command(name="import")
@click.argument(
    "paths", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@DATABASE
def import_(paths: tuple[Path, ...], database: str) -> None:
    """Read the answers that raters of a bundle saved.

    Exit code 3 where some of it is left out, which is told. Importing a file again changes nothing.
    """
    from components.study.importing import import_answers
    from components.study.record import Record

    found = import_answers(Record.open(database), list(paths))
    click.echo(f"{found.places} page(s) of answers kept, {found.known} known before")
    for line in found.left_out:
        click.echo(f"Left out: {line}", err=True)
    if found.left_out:
        sys.exit(EXIT_FAILED_ITEMS)


@study.command()
@click.argument("run_uri", metavar="[RUN]", required=False)
@DATABASE
@click.option("--to", "target", help="A .md, .json or .csv file, in place of printing.")
@click.option("--votes", "votes_target", help="Also write every vote: a .jsonl file.")
@click.option(
    "--allow-wrong",
    default=0,
    show_default=True,
    type=click.IntRange(min=0),
    help="Wrong answers to attention checks that do not leave a rater out.",
)
def export(
    run_uri: str | None,
    database: str,
    target: str | None,
    votes_target: str | None,
    allow_wrong: int,
) -> None:
    """Count the votes: preferences, ranking, agreement, and who was left out.

    With RUN also how far each of its measures orders edits as the raters do. CSV holds the
    preferences alone.
    """
    from components.results.export import write_whole
    from components.study.outcome import count
    from components.study.outcome_files import markdown, write, writer_of
    from components.study.record import Record, vote_lines

    if target:
        writer_of(target)
    if votes_target and Path(votes_target).suffix.lower() != ".jsonl":
        raise UserError(f"cannot write votes to {votes_target!r}: its suffix must be .jsonl")
    record = Record.open(database)
    votes = record.votes()
    found = count(record, votes, _values(run_uri), allow_wrong)
    if votes_target:
        write_whole(votes_target, vote_lines(votes).encode())
        click.echo(f"{len(votes)} vote(s) written to {votes_target}")
    if target:
        write(found, target)
        click.echo(target)
    else:
        click.echo(markdown(found), nl=False)


def _values(run_uri: str | None) -> Any:
    if run_uri is None:
        return None
    from components.results.export import score_table
    from components.results.values import score_values

    state = _state(run_uri)
    return list(score_values(score_table(state.store, state.selection())))


def _state(run_uri: str) -> State:
    from components.run.record import load_run

    return load_run(run_uri)


@contextmanager
def _study(
    run_uri: str, database: str, options: dict[str, Any]
) -> Iterator[tuple[Record, Clips, Mapping[int, str]]]:
    """The study, its clips, and the tokens of one that is made now."""
    from components.storage.scratch import scratch_folder
    from components.study.clips import Clips
    from components.study.design import Asked

    state = _state(run_uri)
    click.echo("Fetching the clips", err=True)
    with scratch_folder("tav-study-") as folder:
        clips = Clips(state.store, folder)
        record, tokens = _opened(state, database, Asked(**options), clips)
        yield record, clips, tokens


def _opened(
    state: State, database: str, asked: Asked, clips: Clips
) -> tuple[Record, Mapping[int, str]]:
    from components.study.database import open_database, shown
    from components.study.design import check_same
    from components.study.making import make_design
    from components.study.record import Record

    engine = open_database(database, create=True)
    record = Record.find(engine)
    tokens: Mapping[int, str] = {}
    if record is None:
        design, left_out = make_design(state.store, state.selection(), asked, clips)
        for line in left_out:
            click.echo(f"Left out: {line}", err=True)
        record, tokens = Record.make(engine, design)
        plan = design.plan
        click.echo(f"Made a study of {len(plan.units)} pair(s) for {plan.raters} rater(s)")
    check_same(record.design, asked, shown(engine.url))
    return record, tokens


def _print_invitations(base: str, tokens: Mapping[int, str]) -> None:
    from components.study.record import rater_name
    from components.study.server import addresses

    for rater, address in addresses(base, tokens).items():
        click.echo(f"{rater_name(rater)}: {address}")
