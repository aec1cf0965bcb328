"""Rows whose object is gone: found, withdrawn, and computed again; and the command itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from components.cli.main import main
from components.errors import UserError
from components.steps.ledger import Ledger
from components.storage.compact import compact_table
from components.storage.garbage import Findings, survey, withdraw
from components.storage.tables import read_table
from tests.whole_run import (
    NOW,
    ODD,
    ORPHANS,
    WholeRun,
    place,
    tree,
)


def test_a_lost_edit_is_sampled_again(a_run: WholeRun) -> None:
    for lost in (a_run.edit, f"{a_run.frames}/1.png"):
        a_run.store.delete(lost)
        found = survey(a_run.store)
        (one,) = found.dangling
        edit_key = a_run.state.first.edits["v/e"]["edit_key"]
        assert (one.table, one.key) == ("edits", {"edit_id": "v/e", "edit_key": edit_key})
        assert one.address == (a_run.edit if lost == a_run.edit else a_run.frames)
        assert a_run.plan().sample_items() == []
        withdraw(a_run.store, found.dangling)
        assert survey(a_run.store).dangling == []
        (item,) = a_run.plan().sample_items()
        assert [edit["item_key"] for edit in item.edits] == [edit_key]
        a_run.sample()
        assert a_run.left == [0, 0, 0, 0, 0, 0]  # its score still counts: the edit is the same


def test_a_lost_adapter_is_tuned_and_inverted_again(a_run: WholeRun) -> None:
    a_run.store.delete(a_run.adapter)
    withdraw(a_run.store, survey(a_run.store).dangling)
    for table in ("adapters", "latents"):
        assert read_table(a_run.store, table) == []
    (item,) = a_run.plan().tune_items()
    assert item.made == []
    ledger = Ledger(a_run.store, [item])
    assert ledger.poll() == []
    assert ledger.unsettled([item]) == [item]
    a_run.tune()
    assert [outcome.video_id for outcome in ledger.poll()] == ["v"]
    assert ledger.unsettled([item]) == []
    assert a_run.left == [0, 0, 0, 0, 0, 0]


def test_a_lost_preview_is_made_again_and_nothing_else(a_run: WholeRun) -> None:
    a_run.store.delete(a_run.clip)
    withdraw(a_run.store, survey(a_run.store).dangling)
    assert len(a_run.plan().ingest_items({"/v.mp4": "1"})) == 1
    a_run.ingest()
    assert a_run.left == [0, 0, 0, 0, 0, 0]


def test_a_withdrawal_outlives_compaction(a_run: WholeRun) -> None:
    a_run.store.delete(a_run.edit)
    withdraw(a_run.store, survey(a_run.store).dangling)
    for _ in range(2):
        compact_table(a_run.store, "edits", grace=NOW)
    assert read_table(a_run.store, "edits") == read_table(a_run.store, "edits", ["prompt"]) == []


@pytest.mark.parametrize("address", ODD)
@pytest.mark.parametrize("column", ["video_uri", "frames_uri"])
def test_a_row_cannot_lead_out_of_the_run(
    a_run: WholeRun, root: Path, address: str, column: str
) -> None:
    place(root.parent, "outside.txt")
    key = a_run.state.first.edits["v/e"]["edit_key"]
    named = {"video_uri": a_run.edit, "frames_uri": a_run.frames, "num_frames": 3}
    a_run.commit("edits", edit_id="v/e", edit_key=key, **(named | {column: address}))
    before = tree(root.parent)
    found = survey(a_run.store, older_than=NOW)
    assert [one.address for one in found.dangling] == [address]
    assert found.orphans == []  # what the earlier row names is kept too
    withdraw(a_run.store, found.dangling)
    after = tree(root.parent)
    assert before.items() <= after.items()
    assert [path.split("/")[2] for path in after.keys() - before.keys()] == ["edits"]


def test_a_run_with_a_damaged_part_is_left_alone(a_run: WholeRun, root: Path) -> None:
    place(root, ORPHANS[0])
    (part,) = a_run.store.list("tables/edits")
    a_run.store.write_bytes(part.path, b"no parquet")
    before = tree(root)
    result = CliRunner().invoke(main, ["gc", str(root), "--delete"])
    assert result.exit_code == 1
    assert part.path in result.output
    assert tree(root) == before
    with pytest.raises(UserError, match=part.path):
        survey(a_run.store)


def test_the_command_is_a_dry_run_unless_told(a_run: WholeRun, root: Path) -> None:
    orphan = place(root, ORPHANS[0])
    place(root, "notes.txt")
    before = tree(root)
    result = CliRunner().invoke(main, ["gc", str(root)])
    assert result.exit_code == 0
    assert f"orphan    {ORPHANS[0]}  {len(ORPHANS[0])} bytes: no row of adapters" in result.output
    assert "unknown   'notes.txt' is kept" in result.output
    assert "Dry run: nothing was changed." in result.output
    a_run.store.delete(a_run.edit)
    del before[a_run.edit]
    result = CliRunner().invoke(main, ["gc", str(root), "--json"])
    assert result.exit_code == 4
    document = json.loads(result.stdout)
    assert document["deleted"] is False
    assert document["orphans"][0]["removed"] is False
    assert document["dangling"][0]["names"] == a_run.edit
    assert tree(root) == before
    result = CliRunner().invoke(main, ["gc", str(root), "--delete", "--older-than", "3h"])
    assert (result.exit_code, orphan.exists()) == (0, True)
    assert "1 row(s) withdrawn" in result.output
    result = CliRunner().invoke(main, ["gc", str(root), "--delete", "--json"])
    document = json.loads(result.stdout)
    assert (result.exit_code, document["deleted"], document["bytes"]) == (0, True, 53)
    assert document["orphans"][0]["removed"] is True
    assert (document["dangling"], document["unknown"]) == ([], ["notes.txt"])
    assert not orphan.exists()


@pytest.mark.parametrize("text", ["1", "h", "1w", "-1h", "1.5h", ""])
def test_a_time_without_a_meaning_is_refused(a_run: WholeRun, root: Path, text: str) -> None:
    result = CliRunner().invoke(main, ["gc", str(root), "--delete", "--older-than", text])
    assert result.exit_code == 2
    assert "is no time such as 90s" in result.output


def test_a_folder_that_is_no_run_is_left_alone(tmp_path: Path) -> None:
    orphan = place(tmp_path, ORPHANS[0])
    result = CliRunner().invoke(main, ["gc", str(tmp_path), "--delete"])
    assert result.exit_code == 1
    assert "run.json" in result.output
    assert orphan.exists()


def test_a_lost_artefact_of_one_variant_is_prepared_again(root: Path) -> None:
    run = WholeRun(
        root, variants={"pnp": {"method": "plug_and_play"}, "same": {"method": "identity"}}
    )
    run.ingest()
    run.caption()
    (stage,) = (key for key, _ in run.state.views["pnp"].wanted("v"))
    path = run._object(f"artefacts/{stage.key}-{stage.key[:12]}.safetensors")
    run.commit("artefacts", artefact_key=stage.key, kind=stage.kind, uri=path)
    assert run.state.views["pnp"].wanted("v") == []
    assert survey(run.store, older_than=NOW) == Findings([], [], [], 0)
    run.store.delete(path)
    (lost,) = survey(run.store).dangling
    assert (lost.table, lost.address) == ("artefacts", path)
    withdraw(run.store, [lost])
    assert survey(run.store).dangling == []
    assert [key for key, _ in run.state.views["pnp"].wanted("v")] == [stage]


def test_what_stands_on_a_lost_adapter_is_made_again_with_it(root: Path) -> None:
    run = WholeRun(
        root,
        variants={"full": {}, "fate": {"method": "fatezero"}, "pnp": {"method": "plug_and_play"}},
    )
    run.ingest()
    run.caption()
    run.tune()
    stages = {name: run.state.views[name].wanted("v")[-1][0] for name in ("fate", "pnp")}
    for stage in stages.values():
        path = run._object(f"artefacts/{stage.key}-{stage.key[:12]}.safetensors")
        names = {"artefact_key": stage.key, "before_key": stage.before, "kind": stage.kind}
        run.commit("artefacts", **names, uri=path)
    assert stages["fate"].before == run.state.views["full"].adapter_keys["v"]
    assert stages["pnp"].before is None
    run.store.delete(run.adapter)
    withdraw(run.store, survey(run.store).dangling)
    kept = {
        name: [key.kind for key, _ in view.wanted("v")] for name, view in run.state.views.items()
    }
    assert kept == {"full": ["adapter", "latents"], "fate": ["adapter", "inversion"], "pnp": []}
