"""What variants share is computed once, and what is lost of it is computed again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.chaos.plain import PlainRunner
from components.config import run_config
from components.run.current import State
from components.run.runner import RunResult
from components.storage.garbage import Findings, remove, survey, withdraw
from components.storage.tables import read_table
from tests.runs import counts, tiny_document, tiny_videos, write_manifest
from tests.whole_run import NOW, paths, place


@pytest.fixture
def document(tmp_path: Path, tiny_models: Path, tiny_clips: Path) -> dict[str, Any]:
    """One clip with one edit."""
    document = tiny_document(tmp_path, tiny_models)
    video = tiny_videos(tiny_clips)[0]
    write_manifest(document, [video | {"edits": video["edits"][:1]}])
    return document


def run(document: dict[str, Any]) -> tuple[RunResult, State]:
    runner = PlainRunner(run_config(document, "test"))
    return runner.run(), runner.state()


def test_a_lost_artefact_is_found_withdrawn_and_prepared_anew(document: dict[str, Any]) -> None:
    own = {"inversion_steps": 2, "steps": 2}
    document |= {"method": "frame_by_frame", "frame_by_frame": own}
    result, state = run(document)
    assert counts(result) == {"ingest": 1, "tune": 1, "sample": 1, "score": 1}
    store, root = state.store, Path(document["run"])
    (row,) = read_table(store, "artefacts")
    assert (row["method"], row["kind"], row["video_id"]) == ("frame_by_frame", "inversion", "fish")
    assert row["nbytes"] == (root / row["uri"]).stat().st_size
    (edit,) = read_table(store, "edits")
    assert edit["artefact_key"] == row["artefact_key"]
    assert survey(store, older_than=NOW) == Findings([], [], [], 0)

    # A checkpoint of what is finished goes, and that of what is not stays.
    done = f"checkpoints/{row['artefact_key']}.safetensors"
    place(root, done)
    other = place(root, f"checkpoints/{'0' * 32}.safetensors")
    orphan = place(root, f"artefacts/{'0' * 32}-{'0' * 12}.safetensors")
    found = survey(store, older_than=NOW)
    assert paths(found) == [str(orphan.relative_to(root)), done]
    assert found.unknown == []
    remove(store, found.orphans)
    assert other.is_file()
    assert not orphan.exists()

    before = (root / row["uri"]).read_bytes()
    (root / row["uri"]).unlink()
    (dangling,) = survey(store, older_than=NOW).dangling
    assert (dangling.table, dangling.address) == ("artefacts", row["uri"])
    withdraw(store, [dangling])
    assert read_table(store, "artefacts") == []
    assert survey(store, older_than=NOW).dangling == []
    result, state = run(document)
    assert counts(result) == {"tune": 1}
    (again,) = read_table(store, "artefacts")
    assert (again["artefact_key"], again["sha256"]) == (row["artefact_key"], row["sha256"])
    assert (root / again["uri"]).read_bytes() == before
    assert counts(run(document)[0]) == {}
