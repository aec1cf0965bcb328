"""Retired protocols: their scores of old runs are found and shown, and none is computed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from components.errors import UserError
from components.records.keys import content_key
from components.results.scored import scored_edits
from components.run.current import State
from components.run.record import load_run, save_run
from components.steps.score import check_protocols
from components.storage.local import LocalStore
from eval.errors import UnknownProtocolError
from eval.measures import Measure
from eval.protocols.evidence import READER
from eval.protocols.registry import (
    PROTOCOLS,
    get_protocol,
    judges_of,
    measure_of,
    reads_mask,
    shown,
)
from eval.protocols.retired import RETIRED
from tests.whole_run import WholeRun

READ_BY = "sha256:" + "7" * 64
"""The reader of an old run."""


def old_run(root: Path, *, scored: bool) -> State:
    """A run of a former release under a protocol that is retired, read again."""
    run = WholeRun(root, score={"protocols": ["tinyworld_v1"]})
    for step in (run.ingest, run.caption, run.tune, run.sample):
        step()
    state = run.state
    revisions = {name: replace(one, reader=READ_BY) for name, one in state.revisions.items()}
    save_run(run.store, run.config, state.manifest, revisions)
    if scored:
        edit_key = state.first.planned_edits["v/e"].edit_key
        run.commit(
            "scores",
            edit_id="v/e",
            edit_key=edit_key,
            protocol="tinyworld_v1",
            score_key=content_key(
                edit_key=edit_key,
                kind="score",
                protocol="tinyworld_v1",
                score_revision=READ_BY,
            ),
            values={"edited_right": 75.0, "jitter": 0.5},
        )
    return load_run(str(root))


@pytest.mark.parametrize("name", RETIRED)
def test_what_took_its_place_is_told(name: str) -> None:
    assert name not in PROTOCOLS
    with pytest.raises(
        UnknownProtocolError, match=f"'{name}' is retired: .* ask for (\\w+)"
    ) as told:
        get_protocol(name)
    instead = str(told.value).partition("ask for ")[2].split(",")[0]
    assert instead in PROTOCOLS
    with pytest.raises(UserError, match=f"score.protocols: protocol '{name}' is retired"):
        check_protocols(["tav_paper_v1", name])


def test_its_measures_are_shown_as_they_were() -> None:
    names = ("edited_right", "unedited_kept", "motion_correlation", "flicker", "jitter")
    assert shown("tinyworld_v1", ["jitter", "extra"]) == (*names, "extra")
    assert measure_of("tinyworld_v1", "jitter") == Measure(
        label="Jitter, px", short="jitter, px", lower_is_better=True
    )
    assert measure_of("tinyworld_v1", "edited_right").whole == 100
    for name in names:  # what both have is told by one name, and better in one direction
        old, new = (measure_of(p, name) for p in ("tinyworld_v1", "tinyworld_v2"))
        assert (old.label, old.lower_is_better) == (new.label, new.lower_is_better)


def test_its_judges_are_known_as_they_name_its_scores() -> None:
    assert judges_of("tinyworld_v1") == (READER,)
    assert not reads_mask("tinyworld_v1")


def test_scores_of_an_old_run_are_found_and_shown(tmp_path: Path) -> None:
    state = old_run(tmp_path, scored=True)
    assert state.first.scores.keys() == {("v/e", "tinyworld_v1")}
    (edit,) = scored_edits(LocalStore(tmp_path), state.first.selection())
    ((protocol, values),) = ((one["protocol"], one["values"]) for one in edit.scores)
    assert (protocol, values["edited_right"], values["jitter"]) == ("tinyworld_v1", 75, 0.5)
    assert state.status().steps["score"].left == 0


def test_an_old_run_that_lacks_scores_still_tells_its_state(tmp_path: Path) -> None:
    state = old_run(tmp_path, scored=False)
    assert state.first.scores == {}
    assert state.status().steps["score"].left == 1
