"""What variants share is computed once, and what is lost of it is computed again."""

from __future__ import annotations

from collections import Counter
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


def test_an_adapter_serves_all_variants_that_differ_in_inversion_and_sampling(
    document: dict[str, Any],
) -> None:
    document["variants"] = {
        "noise": {"sample": {"start": "noise"}},
        "full": {},
        "no_tuning": {"tune": {"steps": 0}},
        "longer": {"invert": {"steps": 3}},
        "same": {"seed": 33},
    }
    state = PlainRunner(run_config(document, "test")).state()
    # What noise needs full has; longer needs another inversion of the same adapter.
    assert [view.name for view in state.distinct("tune")] == ["full", "no_tuning", "longer"]
    assert [view.name for view in state.distinct("sample")] == [
        "noise",
        "full",
        "no_tuning",
        "longer",
    ]
    result, state = run(document)
    assert counts(result) == {"ingest": 1, "tune": 3, "sample": 4, "score": 4}
    (adapter,) = read_table(state.store, "adapters")
    latents = Counter(row["adapter_key"] for row in read_table(state.store, "latents"))
    assert latents[adapter["adapter_key"]] == 2, "full's and longer's"
    assert len(latents) == 2, "and that of the initial weights"
    assert len(read_table(state.store, "edits")) == 4
    assert state.views["same"].edits == state.views["full"].edits
    for view in state.views.values():
        assert len(view.edits) == len(view.scores) == 1
    assert read_table(state.store, "failures") == []
    assert counts(run(document)[0]) == {}

    # One more variant computes its own share.
    document["variants"]["guided"] = {"sample": {"guidance_scale": 3}}
    assert counts(run(document)[0]) == {"sample": 1, "score": 1}
    # A method that tunes nothing meets them without touching what they have.
    document["variants"]["frames"] = {
        "method": "frame_by_frame",
        "frame_by_frame": {"inversion_steps": 2, "steps": 2},
    }
    result, state = run(document)
    assert counts(result) == {"tune": 1, "sample": 1, "score": 1}
    assert read_table(state.store, "adapters") == [adapter]
    assert len(read_table(state.store, "artefacts")) == 1


def test_an_encoding_is_made_of_the_exact_adapter_without_tuning_again(
    document: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    document["variants"] = {"exact": {}}
    run(document)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("tuned again")

    monkeypatch.setattr("tav_model.tune.tune", refuse)
    document["variants"]["sign"] = {"adapter": {"encoding": "sign"}}
    result, state = run(document)
    assert counts(result) == {"tune": 1, "sample": 1, "score": 1}
    exact, sign = read_table(state.store, "adapters")
    assert (exact["encoding"], exact["decoded_sha256"]) == ("fp32", None)
    assert sign["encoding"] == "sign"
    assert len(sign["decoded_sha256"]) == 64
    assert sign["nbytes"] < exact["nbytes"] / 2  # of matrices this small the scales are much
    assert counts(run(document)[0]) == {}


def test_an_encoding_tuned_at_once_is_what_is_encoded_later(document: dict[str, Any]) -> None:
    """Its tuning has the same draws, and what is sampled is what is stored."""
    document["variants"] = {"sign": {"adapter": {"encoding": "sign"}}}
    _, state = run(document)
    (at_once,) = read_table(state.store, "adapters")
    document |= {"run": f"{document['run']}-later", "variants": {"exact": {}}}
    run(document)
    document["variants"]["sign"] = {"adapter": {"encoding": "sign"}}
    _, state = run(document)
    later = read_table(state.store, "adapters")[-1]
    for name in ("adapter_key", "decoded_sha256", "sha256"):
        assert later[name] == at_once[name], name


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
