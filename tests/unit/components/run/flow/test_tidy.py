"""What is merged beside a flow, and that its errors are the flow's."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.errors import UserError
from components.run.flow.tidy import Tidying
from components.storage.compact import MANY_PARTS
from components.storage.local import LocalStore
from components.storage.parts import MERGED_NAME
from components.storage.tables import append_rows, list_parts, read_table
from tests.unit.components.storage.test_tables import make_row


def grown(folder: Path) -> LocalStore:
    """A store with more parts of captions than a run leaves alone."""
    store = LocalStore(folder)
    for number in range(MANY_PARTS + 1):
        append_rows(store, "captions", [make_row("captions") | {"video_id": f"v{number}"}])
    return store


def merged(store: LocalStore) -> list[str]:
    names = (name for name, _ in list_parts(store, "captions"))
    return [name for name in names if MERGED_NAME.fullmatch(name)]


def test_parts_are_merged_when_it_is_due_and_once_at_a_time(tmp_path: Path) -> None:
    store = grown(tmp_path)
    rows = read_table(store, "captions")
    later = Tidying(store)
    later.tick()
    later.close()
    assert not merged(store), "not due yet"
    now = Tidying(store, pause=0)
    for _ in range(5):
        now.tick()
    now.close()
    assert len(merged(store)) == 1
    assert read_table(store, "captions") == rows


def test_a_damaged_part_ends_the_flow(tmp_path: Path) -> None:
    store = grown(tmp_path)
    Path(tmp_path, list_parts(store, "captions")[0][1]).write_bytes(b"PAR1 is not enough")
    tidying = Tidying(store, pause=0)
    tidying.tick()
    tidying.close()
    with pytest.raises(UserError, match="captions"):
        tidying.tick()
