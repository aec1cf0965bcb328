"""A name in another Unicode form is told (S3: tests/integration/test_s3.py)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from unicodedata import normalize

import pytest

from components.errors import SourceError
from components.manifest.load import load_manifest
from components.video.sources import fetch_source, stat_source
from tests.manifest_files import problems, write
from tests.sample_videos import write_folder, write_video

NAME = "étoilé 각.mp4"
Form = Literal["NFC", "NFD"]


@pytest.mark.parametrize(("here", "asked"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_file_in_another_form_is_told(tmp_path: Path, here: Form, asked: Form) -> None:
    folder = tmp_path / normalize("NFC", "dossié")  # each part has a form of its own
    folder.mkdir()
    there = folder / normalize(here, NAME)
    write_video(there, 3)
    missing = tmp_path / normalize(asked, "dossié") / normalize(asked, NAME)
    for uri in (str(missing), missing.as_uri()):
        for use in (stat_source, lambda uri: fetch_source(uri, tmp_path)):
            with pytest.raises(SourceError) as caught:
                use(uri)
            message = str(caught.value)
            assert "does not exist, but a name that looks the same does: " in message
            assert ascii(str(there)) in message
            assert f"in place of {str(missing)!a}: write it in that Unicode form" in message
    assert stat_source(str(there)).size > 0


def test_a_folder_of_frames_and_a_manifest_in_another_form_are_told(tmp_path: Path) -> None:
    write_folder(tmp_path / normalize("NFD", "é_frames"), ["1.png", "2.png"])
    with pytest.raises(SourceError, match="a name that looks the same does"):
        stat_source(str(tmp_path / normalize("NFC", "é_frames")))
    uri = write(tmp_path, normalize("NFD", "é.jsonl"), '{"id": "a", "uri": "/a.mp4"}')
    assert len(load_manifest(uri).videos) == 1
    (line,) = problems(normalize("NFC", uri))
    assert "a name that looks the same does" in line


def test_a_name_that_is_nowhere_is_only_missing(tmp_path: Path) -> None:
    for name in ("é.mp4", "a.mp4", "e\u0301/é.mp4"):
        with pytest.raises(SourceError, match="does not exist: check the manifest's uri"):
            stat_source(str(tmp_path / name))
