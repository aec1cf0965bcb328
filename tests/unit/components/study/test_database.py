"""Databases: durable, closed to others, and silent about passwords."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from sqlalchemy import text

from components.errors import UserError
from components.study.database import open_database, shown, told


def test_a_file_is_its_owners_and_commits_are_on_the_disk(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path / 'a.sqlite'}", create=True)
    with engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2, "FULL"
        connection.execute(text("CREATE TABLE x (y INTEGER)"))
    for file in tmp_path.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_a_file_is_not_made_by_those_who_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not there"):
        open_database(f"sqlite:///{tmp_path / 'a.sqlite'}")
    assert not list(tmp_path.iterdir())
    with pytest.raises(UserError, match="cannot be made"):
        open_database(f"sqlite:///{tmp_path / 'no' / 'a.sqlite'}", create=True)


@pytest.mark.parametrize(
    "address", ["sqlite://", "sqlite:///:memory:", "sqlite:///file:x?uri=true"]
)
def test_a_database_in_memory_is_refused(address: str) -> None:
    with pytest.raises(UserError, match="without a file"):
        open_database(address, create=True)


@pytest.mark.parametrize(
    "address",
    [
        "study.sqlite",
        "postgresql://u:s3cret@h:s3cret/x",
        "s3cretdb://u:s3cret@h/x",
        "postgresql+s3cret://u:s3cret@h/x",
        "mysql+pymysql://s3cret:s3cret@h/x?password=s3cret",
        "oracle+cx_oracle://u:s3cret@h/x",
    ],
)
def test_what_cannot_be_opened_is_refused_and_no_password_is_told(address: str) -> None:
    with pytest.raises(UserError) as caught:
        open_database(address.replace("s3cretdb", "nodb").replace("+s3cret", "+nodriver"))
    assert "s3cret" not in str(caught.value)


def test_an_address_is_shown_without_what_may_be_secret(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path / 'a.sqlite'}?timeout=3", create=True)
    assert shown(engine.url) == f"sqlite:///{tmp_path / 'a.sqlite'}"
    url = engine.url.set(
        drivername="postgresql", username="me", password="s3cret", host="h", database="x"
    )
    assert shown(url) == "postgresql://h/x"


def test_what_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.sqlite").write_bytes(b"no database at all, but long enough to be read" * 99)
    engine = open_database(f"sqlite:///{tmp_path / 'a.sqlite'}")
    with pytest.raises(UserError, match=r"a\.sqlite cannot be used \(DatabaseError\)"):  # noqa: SIM117
        with told(engine), engine.connect():
            pass
