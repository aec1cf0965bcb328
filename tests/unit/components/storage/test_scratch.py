"""Scratch folders: gone at the end, or told; never the end of what was done in them."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from components.storage.scratch import remove, scratch_folder


def busy(*_: object, **__: object) -> None:
    """What rmdir says on NFS of a folder that holds a file which is still open."""
    raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))


def test_a_scratch_folder_goes_with_all_that_is_in_it() -> None:
    with scratch_folder("tav-x-") as folder:
        (folder / "a").mkdir()
        (folder / "a" / "b").write_bytes(b"x")
        assert folder.name.startswith("tav-x-")
    assert not folder.exists()


def test_a_folder_that_does_not_empty_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with scratch_folder() as folder, monkeypatch.context() as patch:
        patch.setattr(os, "rmdir", busy)
        assert not remove(folder)
    assert f"{folder} could not be removed (Directory not empty): remove it later" in caplog.text
    assert not folder.exists()


def test_an_error_in_it_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "rmdir", busy)
        with pytest.raises(KeyError, match="work"), scratch_folder() as folder:
            raise KeyError("work")
    remove(folder)


def test_a_link_is_removed_and_not_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there")
    assert remove(tmp_path / "link")
    assert remove(tmp_path / "gone")
    assert (tmp_path / "there").is_dir()
