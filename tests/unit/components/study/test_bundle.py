"""A bundle holds each rater's pages in a folder of theirs, and tells no more than the server."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.errors import UserError
from components.study.bundle import write_bundle
from eval.study.votes import Kind
from tests.study_run import HOSTILE
from tests.unit.components.study.conftest import Study


def sequence_of(page: Path) -> dict[str, Any]:
    text = page.read_text(encoding="utf-8")
    (found,) = re.findall(r'<script type="application/json" id="sequence">(.*?)</script>', text)
    document: dict[str, Any] = json.loads(found)
    return document


def test_each_rater_has_a_folder(make: Callable[..., Study], tmp_path: Path) -> None:
    record, _, files = make(ties=True)
    pages = write_bundle(record, files, tmp_path / "out")
    assert list(pages) == list(range(5))
    assert len(set(pages.values())) == 5
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("study.js", "study.css"),
        *(page.partition("/")[0] for page in pages.values()),
    }
    for rater, page in pages.items():
        found = sequence_of(tmp_path / "out" / page)
        sequences = record.sequences
        assert found["study"] == record.name
        assert found["rater"] == page.partition("/")[0]
        assert len(found["rater"]) == 43
        assert found["asked"] == sequences.asked()
        assert found["pages"] == [
            sequences.page(rater, place) for place in range(len(sequences.of(rater)))
        ]
        folder = (tmp_path / "out" / page).parent
        names = {clip["name"] for one in found["pages"] for clip in one["clips"].values()}
        assert {path.name for path in folder.iterdir()} == {
            "index.html",
            *(f"{name}.mp4" for name in names),
        }
        for name in names:
            edit, shown = sequences.clips(rater)[name]
            data = files[edit.video, edit.edit, shown].read_bytes()
            assert (folder / f"{name}.mp4").read_bytes() == data


def test_it_says_neither_variants_nor_checks_nor_tokens(
    make: Callable[..., Study], tmp_path: Path
) -> None:
    record, tokens, files = make()
    pages = write_bundle(record, files, tmp_path / "out")
    for rater, page in pages.items():
        text = (tmp_path / "out" / page).read_text(encoding="utf-8")
        sequence = json.dumps(sequence_of(tmp_path / "out" / page)).replace(
            json.dumps(HOSTILE)[1:-1], ""
        )
        for word in ("full", "pnp", "noise", *map(str, (Kind.CHECK, Kind.REPEAT))):
            assert word not in sequence
        assert tokens[rater] not in text


def test_a_hostile_prompt_stays_data(make: Callable[..., Study], tmp_path: Path) -> None:
    record, _, files = make()
    pages = write_bundle(record, files, tmp_path / "out")
    for page in pages.values():
        text = (tmp_path / "out" / page).read_text(encoding="utf-8")
        assert HOSTILE in [one["prompt"] for one in sequence_of(tmp_path / "out" / page)["pages"]]
        assert "<script>document" not in text
        assert "<img" not in text
        assert "default-src 'none'; script-src 'self'" in text.replace("&#39;", "'")


def test_made_again_it_is_the_same(make: Callable[..., Study], tmp_path: Path) -> None:
    record, _, files = make()
    trees = []
    for name in ("a", "b"):
        write_bundle(record, files, tmp_path / name)
        found = sorted((tmp_path / name).rglob("*"))
        trees.append(
            {
                str(path.relative_to(tmp_path / name)): path.read_bytes()
                for path in found
                if path.is_file()
            }
        )
    assert trees[0] == trees[1]


def test_what_is_there_is_not_mixed_with(make: Callable[..., Study], tmp_path: Path) -> None:
    record, _, files = make()
    (tmp_path / "out").mkdir()
    write_bundle(record, files, tmp_path / "out")
    with pytest.raises(UserError, match=r"out is there: give another --to"):
        write_bundle(record, files, tmp_path / "out")
    (tmp_path / "file").touch()
    for target in ("file", "file/out"):
        with pytest.raises(UserError, match=r"--to"):
            write_bundle(record, files, tmp_path / target)
    assert not list(tmp_path.glob(".tmp-*"))
