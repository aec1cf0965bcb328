"""A run that is finished and scored, with its record, for what reads runs by their address."""

from __future__ import annotations

from pathlib import Path

from components.run.record import save_run
from tests.whole_run import WholeRun


def scored_run(root: Path, consistency: float) -> str:
    """Commit one video with one edit, whose frame consistency is given; return the address."""
    run = WholeRun(root)
    for step in (run.ingest, run.caption, run.tune, run.sample):
        step()
    state = run.state
    edit_key = state.first.planned_edits["v/e"].edit_key
    run.commit(
        "scores",
        edit_id="v/e",
        edit_key=edit_key,
        protocol="tav_paper_v1",
        score_key=state.first.score_key(edit_key, "tav_paper_v1"),
        values={"frame_consistency": consistency},
    )
    save_run(run.store, run.config, state.manifest, state.revisions)
    return str(root)
