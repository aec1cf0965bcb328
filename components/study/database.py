"""The tables of a study, in any database that SQLAlchemy reaches; one database holds one study."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    Column,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    make_url,
)
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from components.errors import UserError

METADATA = MetaData()
STUDY = Table(
    "tav_study",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),
    Column("name", String(32), nullable=False),
    Column("design", Text(1 << 24), nullable=False),
    Column("secret", String(64), nullable=False),
    Column("made_at", String(40), nullable=False),
)
"""One row, of id 1. ``secret``: what names of clips and folders are drawn with, in hex."""
RATERS = Table(
    "tav_study_raters",
    METADATA,
    Column("rater", Integer, primary_key=True, autoincrement=False),
    Column("token_sha256", String(64), nullable=False, unique=True),
)
"""Who may answer: no token is here, only what knows one."""
ANSWERS = Table(
    "tav_study_answers",
    METADATA,
    Column("rater", Integer, primary_key=True, autoincrement=False),
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("question", String(64), primary_key=True),
    Column("choice", String(8), nullable=False),
    Column("answered_at", String(40), nullable=False),
)
"""One row for each rater, place and question, of a place all or none; ``answered_at``: ISO, UTC."""

_SECONDS = 30
"""How long one writer waits for another."""


def open_database(address: str, *, create: bool = False) -> Engine:
    """An engine on a database.

    Args:
        address: Of SQLAlchemy, such as ``sqlite:///study.sqlite``.
        create: Whether a SQLite file that is not there is made, readable by its owner alone.

    Raises:
        UserError: the address is none, its driver is not installed, or the file is not there.
    """
    try:
        url = make_url(address)
        found = url.get_dialect()
    except (ArgumentError, ValueError) as error:
        raise UserError(
            "--database is no address of a database: give one of SQLAlchemy, such as "
            "sqlite:///study.sqlite or postgresql+psycopg://user@host/name"
        ) from error
    except NoSuchModuleError as error:
        raise UserError(
            f"--database names {url.drivername!r}, which SQLAlchemy does not know: install its "
            "package, or give another address"
        ) from error
    if found.name == "sqlite":
        _check_file(url, create=create)
    try:
        engine = create_engine(url, hide_parameters=True)
    except ImportError as error:
        raise UserError(
            f"the driver of {shown(url)} is not installed ({error.name}): install it, or give "
            "another --database"
        ) from error
    if found.name == "sqlite":
        event.listen(engine, "connect", _durable)
    return engine


def shown(url: URL) -> str:
    """An address without user, password and options, any of which may be secret."""
    told = URL.create(url.drivername, host=url.host, port=url.port, database=url.database)
    return str(told)


@contextmanager
def told(engine: Engine) -> Iterator[None]:
    """Turn a database's own errors into ones that say where, and repeat no password.

    Raises:
        UserError: the database refused, is damaged, or cannot be reached.
    """
    try:
        yield
    except SQLAlchemyError as error:
        # Only the kind: drivers repeat addresses and values in their words.
        what = type(getattr(error, "orig", None) or error).__name__
        raise UserError(
            f"{shown(engine.url)} cannot be used ({what}): see that it is a database, that it can "
            "be reached and written, and that its disk is not full"
        ) from error


def _check_file(url: URL, *, create: bool) -> None:
    name = url.database
    if not name or name == ":memory:" or name.startswith("file:"):
        raise UserError(
            "--database is a SQLite database without a file, whose votes nobody would find again: "
            "give a file, such as sqlite:///study.sqlite"
        )
    path = Path(name)
    if path.exists():
        return
    if not create:
        raise UserError(f"{shown(url)} is not there: give the --database of `tav study serve`")
    try:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    except OSError as error:
        raise UserError(
            f"{shown(url)} cannot be made ({error.strerror}): see --database"
        ) from error


def _durable(connection: Any, _: Any) -> None:
    """A commit is on the disk when it returns, and readers do not wait for it."""
    cursor = connection.cursor()
    for setting in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={_SECONDS * 1000}"):
        cursor.execute(f"PRAGMA {setting}")
    cursor.close()
