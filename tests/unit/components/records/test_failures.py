"""What one item may do wrong becomes a row; what the program does wrong does not."""

from __future__ import annotations

import errno
import re
from pathlib import Path

import pytest

from components.errors import ItemError, SourceError, TransientError, UserError
from components.records.failures import expected_errors, failure_row
from components.storage.local import LocalStore
from components.storage.schemas import SCHEMAS
from components.storage.tables import append_rows, read_table
from tav_model.errors import TavModelError


def raised(error: Exception) -> BaseException:
    with pytest.raises(Exception) as caught, expected_errors():  # noqa: PT011
        raise error
    return caught.value


@pytest.mark.parametrize(
    ("error", "name", "retryable"),
    [
        (ItemError("wrong"), "ItemError", False),
        (SourceError("damaged"), "SourceError", False),
        (TransientError("slow down"), "TransientError", True),
        (TavModelError("loss is nan"), "TavModelError", False),
    ],
)
def test_expected_errors_are_rows(
    tmp_path: Path, error: Exception, name: str, *, retryable: bool
) -> None:
    found = raised(error)
    assert isinstance(found, ItemError)
    row = failure_row("tune", found, item_key="k", video_id="v", config_hash="c", attempt=2)
    assert set(row) == set(SCHEMAS["failures"].names)
    store = LocalStore(tmp_path)
    append_rows(store, "failures", [row])
    assert read_table(store, "failures") == [row]
    assert (row["error_type"], row["message"]) == (name, str(error))
    assert (row["retryable"], row["attempt"]) == (retryable, 2)
    assert "raise error" in row["traceback"]


def test_an_out_of_memory_device_may_be_tried_again() -> None:
    import torch

    found = raised(torch.OutOfMemoryError("tried to allocate 2 GiB"))
    assert isinstance(found, TransientError)
    assert "2 GiB" in str(found)
    assert "video.num_frames" in str(found)


def test_a_full_scratch_disk_stops_the_step_with_a_remedy() -> None:
    found = raised(OSError(errno.ENOSPC, "No space left on device", "/scratch/clip.mp4"))
    assert isinstance(found, UserError)
    assert re.search(r"/scratch/clip\.mp4.*: free some there, or set TMPDIR", str(found))


def test_credentials_are_no_part_of_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cr3ts3cr3t")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAKNOWN")
    error = SourceError("s3://me:pa55@bucket/a with AKIAKNOWN and s3cr3ts3cr3t was refused")
    row = failure_row("ingest", error, item_key="k", video_id="v", config_hash="c")
    assert row["message"] == "s3://***@bucket/a with *** and *** was refused"
    assert not re.search("AKIAKNOWN|s3cr3t|pa55", str(row))


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("x"), MemoryError(), OSError("x")])
def test_defects_of_the_program_pass(error: Exception) -> None:
    assert raised(error) is error


def test_names_that_are_no_unicode_can_be_told(tmp_path: Path) -> None:
    error = SourceError("frame_\udcff.png is no readable image")
    row = failure_row("ingest", error, item_key="k", video_id="v", config_hash="c")
    append_rows(LocalStore(tmp_path), "failures", [row])
    (found,) = read_table(LocalStore(tmp_path), "failures")
    assert found["message"] == r"frame_\udcff.png is no readable image"
